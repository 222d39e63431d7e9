"""Bytes: corpus and clip tables, the target store, commits, checksums. Never imports torch."""
