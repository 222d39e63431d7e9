"""The kinds of things, one file each: how one looks and how one sounds."""
