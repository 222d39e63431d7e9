"""Recordings to frames and waveforms; runs in child processes and imports no torch."""
