"""Made-up recordings, written as real files."""
