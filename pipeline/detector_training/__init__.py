"""Detectors from labelled recordings: truth and pictures to batches, updates and scores."""
