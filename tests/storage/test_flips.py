"""Two hundred flipped bytes, anywhere in a store that has something of everything."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from avkd.storage import removals
from avkd.storage.schema import OutputSpec, ProducerSpec
from avkd.storage.store import Store
from avkd.storage.verify import verify_store

NUM_FLIPS = 200
ROWS_PER_SHARD = 4
KINDS = {
    "store.json": "the store's own file",
    "plans/": "plans",
    "clips/": "clip tables",
    "removals/": "removals",
    "producer.json": "declarations",
    "zarr.json": "lengths of arrays",
    "wide/": "sparse logits",
    "targets/truth/class_map/c.": "class maps",
    "targets/": "dense outputs of teachers",
    "inputs/place/": "vectors",
    "inputs/": "other student inputs",
    "boxes/": "boxes",
    "commits/": "commits",
}
"""A part of a path, the first that fits, and what such files are."""


def place() -> ProducerSpec:
    output = OutputSpec(name="place", shape=(3,), dtype="float32", axes=("feature",))
    return ProducerSpec(kind="input", name="place", outputs=(output,), fingerprint={"of": "place"})


def truth() -> ProducerSpec:
    output = OutputSpec(
        name="class_map",
        shape=(2, 6, 8),
        dtype="uint8",
        axes=("step", "height", "width"),
        class_names=("sky", "road", "car"),
        attributes={"is_truth": True},
    )
    return ProducerSpec(kind="teacher", name="truth", outputs=(output,), fingerprint={"of": "it"})


def write(store: Store, producer: ProducerSpec) -> None:
    store.declare(producer)
    (output,) = producer.outputs
    for shard in store.missing_shards(producer.name):
        numbers = np.random.default_rng(shard)
        shape = (ROWS_PER_SHARD, *output.shape)
        values = numbers.integers(0, 3, shape).astype(output.dtype)
        failures = {shard * ROWS_PER_SHARD: ("partial", "3 of 4 s")}
        store.write_shard(
            producer.name, shard, {output.name: values}, failures=failures, timings={"read": 0.5}
        )


@pytest.fixture
def rich_store(tmp_path, teacher, waveform, make_clips, fill):
    """Of two plans, four producers, every layout, and a removed recording."""
    store = Store.create(
        str(tmp_path / "store"), clip_policy={"clip_seconds": 20.0}, rows_per_shard=ROWS_PER_SHARD
    )
    store.plan_clips(make_clips(0, 6))
    fill(store, teacher, limit=1)
    store.plan_clips(make_clips(8, 3))
    for producer in (teacher, waveform):
        fill(store, producer, failed=[store.read_clips(1)[0].clip_id])
    for producer in (place(), truth()):
        write(store, producer)
    removals.write_removal(store.url, {"video4": removals.NEVER})
    assert verify_store(store.url) == ()
    return Path(store.url)


def kind_of(name: str) -> str:
    return next(kind for part, kind in KINDS.items() if part in name)


def pick_places(files: list[Path]) -> list[tuple[Path, int]]:
    """Half of the places are drawn from all bytes, half from all files, so that none is missed."""
    picks = random.Random(2026)
    sizes = [file.stat().st_size for file in files]
    by_bytes = picks.choices(files, weights=sizes, k=NUM_FLIPS // 2)
    order = picks.sample(files, len(files))
    by_files = [order[number % len(order)] for number in range(NUM_FLIPS - len(by_bytes))]
    return [(file, picks.randrange(file.stat().st_size)) for file in (*by_bytes, *by_files)]


def test_every_one_of_two_hundred_flipped_bytes_is_found(rich_store):
    files = sorted(path for path in rich_store.rglob("*") if path.is_file())
    assert {kind_of(file.relative_to(rich_store).as_posix()) for file in files} == {*KINDS.values()}
    picks = random.Random(6)
    found, mended = Counter(), 0
    for file, position in pick_places(files):
        name = file.relative_to(rich_store).as_posix()
        whole = file.read_bytes()
        flipped = bytearray(whole)
        flipped[position] ^= picks.randrange(1, 256)
        file.write_bytes(flipped)
        problems = verify_store(str(rich_store))
        if problems:
            assert name in {problem.file for problem in problems}, (name, position)
            found[kind_of(name)] += 1
        else:
            # One flip can hurt nobody: of a length to that of an earlier plan. Readers take the
            # length from the plans, and verifying has written it again.
            assert name.endswith("zarr.json"), (name, position)
            assert file.read_bytes() == whole, (name, position)
            mended += 1
        file.write_bytes(whole)
    assert found.total() + mended == NUM_FLIPS
    assert found.keys() == {*KINDS.values()}
    assert verify_store(str(rich_store)) == ()
