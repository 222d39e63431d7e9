"""From a corpus to committed shards, one file a part of the work."""
