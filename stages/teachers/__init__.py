"""Frozen models that look once, one file a family."""
