"""The bodies of students, one file a family."""
