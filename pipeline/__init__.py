"""What is computed where and when: the only place where compute meets bytes."""
