"""What a worker waited for: its wall time, cut into parts that add up.

Several things go on at once in a worker, so each moment counts as the first of these that is true:
the teachers compute (``model``); pictures and sound go from the decoders to the teachers' batches
and the shard's arrays (``transfer``); a shard needs the next clip, which is not decoded yet
(``decode``); bytes go to the store (``disk``); a shard is averaged, compressed and hashed
(``encode``); teachers are loaded (``load``); none of it (``other``). So ``model`` is the share in
which the teachers were busy, and each other part is what they stood still for. A GPU that
computes on while its worker waits for the next clip counts as waiting.

Time in which a worker has no shard in hand does not count.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, TypeAlias, get_args

Part: TypeAlias = Literal["model", "transfer", "decode", "disk", "encode", "load"]
PARTS: tuple[Part, ...] = get_args(Part)
OTHER = "other"


class Stalls:
    """Sums the seconds of each part; for all threads of a worker."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Begin with no shard in hand."""
        self._clock = clock
        self._lock = threading.Lock()
        self._num_active = dict.fromkeys(PARTS, 0)
        self._num_shards = 0
        self._since = 0.0
        self._seconds: dict[str, float] = {}

    @contextmanager
    def during(self, part: Part) -> Iterator[None]:
        """Tell that something goes on."""
        with self._lock:
            self._count()
            self._num_active[part] += 1
        try:
            yield
        finally:
            with self._lock:
                self._count()
                self._num_active[part] -= 1

    @contextmanager
    def shard_in_hand(self) -> Iterator[None]:
        """Tell that there is a shard to compute."""
        with self._lock:
            self._count()
            self._num_shards += 1
        try:
            yield
        finally:
            with self._lock:
                self._count()
                self._num_shards -= 1

    def take(self) -> Mapping[str, float]:
        """Give the seconds since they were last taken."""
        with self._lock:
            self._count()
            taken, self._seconds = self._seconds, {}
        return taken

    def _count(self) -> None:
        """Add the time since the last change to what went on since."""
        now = self._clock()
        if self._num_shards and now > self._since:
            part = next((each for each in PARTS if self._num_active[each]), OTHER)
            self._seconds[part] = self._seconds.get(part, 0.0) + now - self._since
        self._since = now


def order_parts(seconds: Mapping[str, float]) -> dict[str, float]:
    """Give all parts in the order in which they count, those without time as 0."""
    return {part: seconds.get(part, 0.0) for part in (*PARTS, OTHER)}


_ADVICE = {
    "model": "the teachers are the bottleneck: a GPU, another --runtime, --precision, --compile "
    "or smaller teachers help, more decoding does not",
    "decode": "decoding is the bottleneck: more cores or workers, fewer frames a step, or "
    "recordings in a codec that decodes faster help, a faster teacher does not",
    "transfer": "moving pictures and sound is the bottleneck: smaller pictures or several workers "
    "help",
    "disk": "the store's disk is the bottleneck: a faster one, or larger shards by "
    "--rows-per-shard, help",
    "encode": "compressing what is stored is the bottleneck: fewer or smaller inputs and outputs, "
    "or several workers help",
    "load": "loading teachers took longest: it is done once a worker, so longer runs and fewer "
    "workers hide it",
}


def tell_bottleneck(seconds: Mapping[str, float]) -> tuple[str, ...]:
    """Give one line of shares and one that says what to turn; nothing where nothing was done."""
    whole = sum(seconds.values())
    if whole <= 0:
        return ()
    ordered = order_parts(seconds)
    shares = ", ".join(f"{part} {each / whole:.2f}" for part, each in ordered.items())
    first = max(PARTS, key=lambda part: ordered[part])
    told = f"shares of {whole:.1f} s of the workers: {shares}"
    return (told, _ADVICE[first]) if ordered[first] else (told,)
