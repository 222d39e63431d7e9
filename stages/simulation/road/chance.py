"""Streams of chance, one for each purpose, so that no draw of one moves another."""

import numpy as np


def stream(seed: int, purpose: str) -> np.random.Generator:
    """The generator of a seed and a purpose: the same numbers each time."""
    return np.random.default_rng([seed, *purpose.encode()])
