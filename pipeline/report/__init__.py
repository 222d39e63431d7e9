"""A run told to a person: one HTML file with its pictures inside."""
