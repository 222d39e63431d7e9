"""Demos: whole runs on made-up worlds, as users would type them."""
