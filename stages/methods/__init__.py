"""What a student is made of and how it learns from targets, one file a method."""
