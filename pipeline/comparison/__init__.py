"""Runs with their evaluations, groups of seeds, paired tests, and what the papers print."""
