"""Offline audio-visual knowledge distillation: teachers look once, students learn later."""

__version__ = "0.1.0"
