"""The made-up worlds, one file each."""
