"""Datasets with labels, students and controls, and what they score."""
