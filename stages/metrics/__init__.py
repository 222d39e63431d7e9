"""How well features and predictions do, on labels."""
