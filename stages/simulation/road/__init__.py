"""A road: vehicles that drive past a camera and its microphones."""
