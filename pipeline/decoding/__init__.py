"""Decode children of a process, and the jobs that they get."""
