"""Segmenters from labelled recordings: class maps and pictures to batches, updates and scores."""
