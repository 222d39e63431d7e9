"""Where the time of a run goes."""

import time


class Stopwatch:
    """Sums seconds by part: each lap ends one and begins the next."""

    def __init__(self) -> None:
        """Begin the first lap."""
        self.seconds: dict[str, float] = {}
        self._lap_began = time.perf_counter()

    def lap(self, part: str) -> None:
        """Count the time since the last lap as that part's."""
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._lap_began
        self._lap_began = now
