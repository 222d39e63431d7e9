"""Made-up people: what they look like, what they sound like, and who is like whom."""
