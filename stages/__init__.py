"""Compute: decode, sample, teachers, encoders, losses, methods, metrics. Knows no store."""
