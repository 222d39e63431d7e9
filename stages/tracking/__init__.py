"""Following boxes from frame to frame."""
