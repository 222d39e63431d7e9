"""The rows that every store holds, and how what comes back is counted and checked.

Imports numpy alone: a store whose package needs other versions runs in an environment of its own.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]
"""By output: (rows, steps, ...), float16 as stored or float32 as a student takes it."""

OUTPUTS = ("embedding", "logits")
DONE_NAME = "done"
"""Of an empty file beside rows that are all written."""
NUM_STEPS = 4
NUM_CLASSES = 1000
NUM_FEATURES = 1280


def write_source(folder: Path, num_rows: int, seed: int = 0) -> None:
    """Draw rows as a classifier of 1000 classes gives them for clips of four steps: float16."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    shapes = {"logits": (NUM_STEPS, NUM_CLASSES), "embedding": (NUM_STEPS, NUM_FEATURES)}
    for name, shape in shapes.items():
        values = np.lib.format.open_memmap(
            folder / f"{name}.npy", "w+", np.float16, (num_rows, *shape)
        )
        for first in range(0, num_rows, 1024):
            part = random.standard_normal((min(1024, num_rows - first), *shape), np.float32)
            # An embedding comes out of a rectifier: half of it is zero, which compresses.
            values[first : first + 1024] = 2 * part if name == "logits" else np.maximum(part, 0)
        values.flush()
    (folder / DONE_NAME).touch()


def open_source(folder: Path) -> Arrays:
    """The rows, mapped into memory."""
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in OUTPUTS}


def take_all(batches: Iterable[Arrays]) -> dict[str, int]:
    """Take every batch and count what came."""
    num_rows = num_bytes = 0
    for batch in batches:
        num_rows += len(batch[OUTPUTS[0]])
        num_bytes += sum(values.nbytes for values in batch.values())
    return {"num_rows": num_rows, "num_bytes": num_bytes}


def check_all(batches: Iterable[Arrays], source: Arrays) -> dict[str, Any]:
    """Digest the rows whatever their order, and say how far they were moved.

    ``mean_displacement`` is how far a row lies from its place in the source, over their number: 0
    in order, a third after a whole shuffle.
    """
    places = {digest: place for place, digest in enumerate(_digest_rows([source]))}
    digests = list(_digest_rows(batches))
    total = sum(int.from_bytes(digest) for digest in digests) % 2**128
    known = [places[digest] for digest in digests if digest in places]
    moved = np.abs(np.array(known) - np.arange(len(known)))
    return {
        "digest": f"{total:032x}",
        "num_rows": len(digests),
        "num_strangers": len(digests) - len(known),
        "num_distinct": len(set(digests)),
        "mean_displacement": float(moved.mean() / len(places)) if known else 0.0,
    }


def to_float32(arrays: Arrays) -> Arrays:
    """What a student takes."""
    return {name: np.asarray(values, np.float32) for name, values in arrays.items()}


def sync_folder(folder: Path) -> None:
    """Make a disk hold what was written: nobody is faster for leaving that to later."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _digest_rows(batches: Iterable[Arrays]) -> Iterator[bytes]:
    for batch in batches:
        # float32 holds every float16: the way back is exact.
        halves = [np.ascontiguousarray(batch[name]).astype(np.float16) for name in OUTPUTS]
        for row in zip(*halves, strict=True):
            yield hashlib.sha256(b"".join(values.tobytes() for values in row)).digest()[:16]
