"""Batches held to what is stored, row by row and without any of the loader's ways to be fast."""

import shutil
from contextlib import closing
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from avkd.errors import CorruptStoreError
from avkd.pipeline.training import reading
from avkd.pipeline.training.examples import UNSEEN, find_examples
from avkd.pipeline.training.loading import (
    SERIAL_ELEMENTS,
    BatchOrder,
    BatchShape,
    Loader,
    _steps,
)
from avkd.pipeline.training.reading import (
    RowReader,
    SparseRows,
    StoredSound,
    TargetReader,
    read_scattered,
    read_together,
)
from avkd.pipeline.training.stored_boxes import BoxReader
from avkd.stages.types import CLASS_MAP
from avkd.storage.clips import clip_id
from avkd.storage.schema import ClipRow, OutputSpec, ProducerSpec
from avkd.storage.store import Store

NUM_ROWS, ROWS_PER_SHARD, NUM_STEPS, PADDED = 40, 8, 2, 3
SHAPES = {
    "embedding": ((NUM_STEPS, 5), "float16"),
    "features": ((NUM_STEPS, 2, 3, 4), "float16"),
    CLASS_MAP: ((NUM_STEPS, 3, 4), "uint8"),
    "vector": ((7,), "float32"),
}
FLAT = ("whole", "vector")


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> Store:
    """A store with an output of every kind; the last shard has a hole."""
    random = np.random.default_rng(0)
    place = str(tmp_path_factory.mktemp("everything") / "store")
    store = Store.create(place, clip_policy={}, rows_per_shard=ROWS_PER_SHARD)
    store.plan_clips([plan(row) for row in range(NUM_ROWS)])
    outputs = [output(name, *SHAPES[name]) for name in ("embedding", "features", CLASS_MAP)]
    logits = output("logits", (NUM_STEPS, 30), "float16")
    sparse = replace(logits, layout="sparse_logits", num_kept=4)
    boxes = OutputSpec(name="boxes", shape=(NUM_STEPS,), dtype="float32", axes=("step",))
    add(store, "teacher", "few", (sparse,), random)
    add(store, "teacher", "rich", (logits, *outputs, replace(boxes, layout="boxes")), random)
    add(store, "teacher", "whole", (output("logits", (6,), "float16"),), random)
    add(store, "input", "vector", (output("vector", *SHAPES["vector"]),), random)
    add(store, "input", "waveform", (output("waveform", (2, 50), "int16"),), random)
    return store


def plan(row: int) -> ClipRow:
    return ClipRow(
        row=row,
        clip_id=clip_id(f"film{row}", 0.0, 1.0),
        recording_id=f"film{row}",
        streams={},
        start_seconds=0.0,
        duration_seconds=1.0,
        num_steps=NUM_STEPS,
    )


def output(name: str, shape: tuple[int, ...], dtype: str) -> OutputSpec:
    axes = tuple(f"axis{number}" for number in range(len(shape)))
    return OutputSpec(name=name, shape=shape, dtype=dtype, axes=axes)


def add(store, kind, name, outputs, random) -> None:
    store.declare(ProducerSpec(kind=kind, name=name, outputs=outputs, fingerprint={"of": name}))
    for shard in store.shards():
        failures = {33: ("decode_error", "broken")} if shard == 4 else {}
        arrays = {each.name: draw(each, shard, random) for each in outputs}
        store.write_shard(name, shard, arrays, failures=failures, timings={})


def draw(spec: OutputSpec, shard: int, random) -> object:
    if spec.layout == "boxes":
        rows = np.repeat(np.arange(ROWS_PER_SHARD) + ROWS_PER_SHARD * shard, 3)
        rows = rows[rows != 33]
        return pa.table(
            {
                "row": rows,
                "step": np.tile([0, 0, 1], ROWS_PER_SHARD)[: len(rows)],
                "box": random.uniform(size=(len(rows), 4)).astype(np.float32).tolist(),
                "score": random.uniform(size=len(rows)).astype(np.float32),
                "class": random.integers(0, 5, len(rows)),
            }
        )
    values = random.normal(scale=4, size=(ROWS_PER_SHARD, *spec.shape)) * 10
    return np.abs(values).astype(spec.dtype) if spec.dtype == "uint8" else values.astype(spec.dtype)


def build_loader(store: Store, memory_limit_bytes: int = 0) -> Loader:
    examples = find_examples(store, ["few", "rich", "whole", "vector", "waveform"])
    targets = TargetReader(
        store=store,
        examples=examples,
        logits_of=("few", "rich", "whole"),
        embeddings_of=("rich",),
        boxes_of={"rich": "boxes"},
        maps_of=(("rich", "features"),),
        class_maps_of=("rich",),
        min_box_score=0.25,
        inputs={"vector": "vector"},
    )
    sound = StoredSound(store=store, examples=examples, input_name="waveform")
    return Loader(
        examples=examples,
        reader=RowReader(targets, sound, memory_limit_bytes),
        shape=BatchShape(num_steps=PADDED, num_samples=64),
        order=BatchOrder(batch_size=7, block_rows=4, buffer_rows=10, seed=3),
        flat=frozenset(FLAT),
    )


def widen(row, dtype=np.float32):
    """The row with steps that it does not have."""
    result = np.zeros((PADDED, *row.shape[1:]), dtype)
    result[:NUM_STEPS] = row
    return result


def assert_same(tensor: torch.Tensor, expected, dtype: torch.dtype = torch.float32) -> None:
    assert tensor.dtype == dtype
    assert tensor.numpy().tobytes() == np.stack(expected).tobytes()
    assert tensor.shape == np.stack(expected).shape


def check(store: Store, loader: Loader, batch) -> None:
    known = dict(zip(loader.examples.clip_ids, loader.examples.clip_rows.tolist(), strict=True))
    rows = [known[name] for name in batch.clip_ids]

    def read(name, output):
        return [store.read_rows(name, output, row, row + 1)[0] for row in rows]

    assert_same(batch.targets["rich"], [widen(row) for row in read("rich", "logits")])
    assert_same(batch.targets["whole"], [row.astype(np.float32) for row in read("whole", "logits")])
    assert_same(batch.embeddings["rich"], [widen(row) for row in read("rich", "embedding")])
    assert_same(batch.maps["rich", "features"], [widen(row) for row in read("rich", "features")])
    class_maps = [widen(row, np.uint8) for row in read("rich", CLASS_MAP)]
    assert_same(batch.class_maps["rich"], class_maps, torch.uint8)
    assert_same(batch.inputs["vector"], read("vector", "vector"))
    sounds = np.zeros((len(rows), 2, 64), np.float32)
    sounds[..., :50] = np.stack(read("waveform", "waveform")) / np.float32(32_768)
    assert_same(batch.waveform, sounds)
    few = [store.read_rows("few", "logits", row, row + 1) for row in rows]
    assert_same(batch.targets["few"].values, [widen(row.values[0]) for row in few])
    assert_same(batch.targets["few"].ids, [widen(row.ids[0], np.int64) for row in few], torch.int64)
    assert_same(batch.targets["few"].log_sum_exp, [widen(row.lse[0]) for row in few])
    assert batch.targets["few"].temperatures == few[0].temperatures
    found = [store.read_rows("rich", "boxes", row, row + 1).to_pylist() for row in rows]
    boxes = [(place, box) for place, each in enumerate(found) for box in each]
    boxes = [(place, box) for place, box in boxes if box["score"] >= 0.25]
    assert batch.boxes["rich"].row.tolist() == [place for place, _ in boxes]
    for name, column in (("step", "step"), ("classes", "class")):
        assert getattr(batch.boxes["rich"], name).tolist() == [box[column] for _, box in boxes]
    assert_same(batch.boxes["rich"].boxes, [np.float32(box["box"]) for _, box in boxes])
    assert_same(batch.boxes["rich"].scores, [np.float32(box["score"]) for _, box in boxes])


@pytest.mark.parametrize("memory_limit_bytes", [0, 5_000, 1 << 30])
@pytest.mark.parametrize("large_row_bytes", [1, 1 << 15])
def test_batches_are_what_is_stored_byte_by_byte(
    everything, monkeypatch, memory_limit_bytes, large_row_bytes
):
    monkeypatch.setattr(reading, "LARGE_ROW_BYTES", large_row_bytes)
    loader = build_loader(everything, memory_limit_bytes)
    for epoch in range(2):
        with closing(loader.batches(epoch)) as batches:
            read = list(batches)
        assert sum(len(batch.clip_ids) for batch in read) == NUM_ROWS - 1
        for batch in read:
            check(everything, loader, batch)


def test_float16_of_any_size_becomes_the_float32_that_numpy_makes_of_it():
    finite = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = finite[np.isfinite(finite)]
    assert len(finite) > 2 * SERIAL_ELEMENTS
    for values in (finite, finite[:1], finite[:SERIAL_ELEMENTS]):
        assert_same(_steps([values], None), [values.astype(np.float32)])


def test_rows_that_a_teacher_has_not_seen_are_zero(everything):
    rows = np.array([5, UNSEEN, 30, UNSEEN])
    dense = read_together(everything, "rich", "embedding", rows)
    assert [bool(np.any(row)) for row in dense] == [True, False, True, False]
    sparse = read_together(everything, "few", "logits", rows)
    assert isinstance(sparse, SparseRows)
    assert [bool(np.any(row)) for row in sparse.lse] == [True, False, True, False]
    (nothing,) = read_together(everything, "rich", "embedding", np.array([UNSEEN]))
    assert nothing.shape == (NUM_STEPS, 5)
    assert not nothing.any()


def test_rows_come_one_by_one_as_they_come_together(everything):
    rows = np.array([5, UNSEEN, 30, 4])
    together = read_together(everything, "few", "logits", rows)
    alone = read_scattered(everything, "few", "logits", rows)
    assert isinstance(together, SparseRows)
    assert len(alone) == 4
    for name in ("values", "ids", "lse"):
        one_by_one = np.stack([getattr(row, name) for row in alone])
        np.testing.assert_array_equal(one_by_one, getattr(together, name))


def test_a_large_row_in_a_buffer_does_not_keep_its_block(everything, monkeypatch):
    rows = np.arange(4)
    together = read_together(everything, "rich", "features", rows)
    monkeypatch.setattr(reading, "LARGE_ROW_BYTES", 1)
    apart = read_together(everything, "rich", "features", rows)
    assert isinstance(together, np.ndarray)
    assert all(row.base is None for row in apart)
    np.testing.assert_array_equal(together, np.stack(apart))


def test_boxes_of_a_shard_are_read_once_while_they_are_held(everything, monkeypatch):
    asked = []
    read_rows = Store.read_rows
    monkeypatch.setattr(
        Store, "read_rows", lambda *words: asked.append(words[3]) or read_rows(*words)
    )
    small, large = (BoxReader(everything, "rich", "boxes", 0.0, size) for size in (1, 1 << 20))
    rows = np.array([9, 1, 10, 2, UNSEEN])
    held = large.read(rows)
    assert asked == [8, 0]
    dropped = small.read(rows)
    assert asked == [8, 0, 8, 0, 8, 0]
    for one, other in zip(held, dropped, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
    assert [len(each) for each in held] == [3, 3, 3, 3, 0]
    for row, boxes in zip(rows.tolist(), held[:-1], strict=False):
        stored = read_rows(everything, "rich", "boxes", row, row + 1).to_pydict()
        np.testing.assert_array_equal(boxes.boxes, np.float32(stored["box"]))


def test_shards_in_which_nothing_was_found_are_not_held_for_ever(everything):
    reader = BoxReader(everything, "rich", "boxes", 2.0, limit_bytes=10_000)  # no score is so high
    assert [len(each) for each in reader.read(np.arange(32))] == [0] * 32
    assert len(reader._shards) == 2


def test_a_damaged_chunk_ends_the_epoch(everything, tmp_path):
    shutil.copytree(everything.url, tmp_path / "store")
    path = tmp_path / "store" / "targets" / "rich" / "embedding" / "c.2.0.0"
    data = bytearray(path.read_bytes())
    data[9] ^= 4
    path.write_bytes(data)
    loader = build_loader(Store.open(str(tmp_path / "store")))
    with closing(loader.batches(0)) as batches, pytest.raises(CorruptStoreError, match="damaged"):
        list(batches)
