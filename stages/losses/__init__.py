"""Distances between what a student says and what was stored."""
