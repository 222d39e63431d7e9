"""From stored rows to a trained student on disk."""
