"""One store doing one thing, as a process of its own.

    python benchmarks/store_contestant.py npy write --source rows/ --place out/

``stores.py`` starts these, each with the Python that has the store's package.
"""

import argparse
import importlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from store_kinds import KINDS, BenchStore
from store_rows import OUTPUTS, Arrays, check_all, open_source, sync_folder, take_all

ACTIONS = ("write", "scan", "epoch")
NUM_EPOCHS = 4
WARM = {
    "npy": ("numpy",),
    "parquet": ("pyarrow.parquet",),
    "webdataset": ("webdataset",),
    "mosaicml": ("streaming",),
    "avkd": (
        *("avkd.storage.store", "avkd.pipeline.training.loading", "torch", "zarr.codecs"),
        *("pyarrow.parquet", "pyarrow.compute"),
    ),
}
"""By store, the modules that it uses; without the first it is left out."""


def act(
    name: str,
    action: str,
    source: Path,
    place: Path,
    *,
    batch_size: int = 64,
    seed: int = 0,
    checks: bool = False,
) -> dict[str, Any]:
    """Do it, and tell in how many seconds, or, with ``checks``, what came.

    Epochs are several, as a student takes them: the first, which makes room in memory for all
    others, is told apart from the median of those.
    """
    for module in WARM[name]:  # a long run pays for imports once
        importlib.import_module(module)
    store, rows = KINDS[name](), open_source(source)
    if action == "write":
        place.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        store.write(rows, place)
        sync_folder(place)
        return {"work_seconds": time.perf_counter() - began, **take_all([rows])}
    if checks:
        return check_all(_batches(store, action, place, batch_size, seed), rows)
    seconds, counts = [], {}
    for number in range(NUM_EPOCHS if action == "epoch" else 1):
        began = time.perf_counter()
        counts = take_all(_batches(store, action, place, batch_size, seed + number))
        seconds.append(time.perf_counter() - began)
        assert counts["num_rows"] == len(rows[OUTPUTS[0]]), "not every row came once"
    return {"work_seconds": median(seconds[1:] or seconds), "first_seconds": seconds[0], **counts}


def _batches(
    store: BenchStore, action: str, place: Path, batch_size: int, seed: int
) -> Iterator[Arrays]:
    return store.scan(place) if action == "scan" else store.epoch(place, batch_size, seed)


def main() -> None:
    """Do what the words say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", choices=WARM)
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--place", type=Path, required=True)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    told = act(
        asked.store,
        asked.action,
        asked.source,
        asked.place,
        batch_size=asked.batch_size,
        seed=asked.seed,
        checks=asked.check,
    )
    print(json.dumps(told))


if __name__ == "__main__":
    main()
