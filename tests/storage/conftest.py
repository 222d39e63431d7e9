"""A small teacher of every layout, clips for it, and a way to fill a store with both."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import settings

from avkd.storage.clips import clip_id
from avkd.storage.schema import ClipRow, OutputSpec, ProducerSpec
from avkd.storage.store import Store

settings.register_profile("unhurried", deadline=None)  # shared machines stall now and then
settings.load_profile("unhurried")

ROWS_PER_SHARD = 8

MakeClips = Callable[..., list[ClipRow]]
Fill = Callable[..., Store]


@pytest.fixture(scope="session")
def teacher() -> ProducerSpec:
    return ProducerSpec(
        kind="teacher",
        name="seer",
        fingerprint={"weights": "ab12", "extraction_version": 1, "scale": {"height": 224}},
        outputs=(
            OutputSpec(
                name="logits",
                shape=(2, 5),
                dtype="float16",
                axes=("step", "class"),
                class_names=("cat", "dog", "bell", "rain", "sea"),
            ),
            OutputSpec(
                name="wide",
                shape=(2, 40),
                dtype="float16",
                axes=("step", "class"),
                layout="sparse_logits",
                num_kept=6,
            ),
            OutputSpec(name="faces", shape=(), dtype="float32", axes=(), layout="boxes"),
        ),
    )


@pytest.fixture(scope="session")
def waveform() -> ProducerSpec:
    output = OutputSpec(
        name="waveform",
        shape=(1, 64),
        dtype="int16",
        axes=("channel", "sample"),
        attributes={"sample_rate": 22_050},
    )
    return ProducerSpec(
        kind="input", name="sound", fingerprint={"sample_rate": 22_050}, outputs=(output,)
    )


@pytest.fixture(scope="session")
def make_clips() -> MakeClips:
    def make(
        first_row: int, num_clips: int, *, first_clip: int | None = None, attempt: int = 0
    ) -> list[ClipRow]:
        clip = first_row if first_clip is None else first_clip
        return [
            ClipRow(
                row=first_row + i,
                clip_id=clip_id(f"video{(clip + i) // 2}", 20.0 * ((clip + i) % 2), 20.0),
                recording_id=f"video{(clip + i) // 2}",
                streams={"rgb": f"/videos/{(clip + i) // 2}.mp4", "audio": "/a.wav"},
                start_seconds=20.0 * ((clip + i) % 2),
                duration_seconds=20.0,
                num_steps=2,
                attempt=attempt,
                metadata={"place": "quay", "height_m": 1.5},
            )
            for i in range(num_clips)
        ]

    return make


def values_of(clips: Sequence[ClipRow], output: OutputSpec, rows_per_shard: int) -> object:
    """What a deterministic teacher says: it depends on the clip alone, not on its row."""
    if output.layout == "boxes":
        boxes = [(c.row, i) for c in clips for i in range(1 + int(c.clip_id[0], 16) % 3)]
        columns = {
            "row": [row for row, _ in boxes],
            "step": [number % 2 for _, number in boxes],
            "box": [[0.0, 0.25, 0.5, 1.0]] * len(boxes),
            "score": [0.5] * len(boxes),
            "class": [1] * len(boxes),
        }
        return pa.table(columns)
    values = np.zeros((rows_per_shard, *output.shape), np.float32)
    for clip in clips:
        random = np.random.default_rng(int(clip.clip_id, 16))
        values[clip.row % rows_per_shard] = random.normal(size=output.shape, scale=4)
    return values.astype(np.int16) if output.dtype == "int16" else values


@pytest.fixture(scope="session", name="values_of")
def values_of_fixture() -> Callable[..., object]:
    return values_of


@pytest.fixture(scope="session")
def fill() -> Fill:
    def fill_store(
        store: Store, producer: ProducerSpec, *, failed: Sequence[str] = (), limit: int = 1000
    ) -> Store:
        store.declare(producer)
        for shard in store.missing_shards(producer.name)[:limit]:
            clips = store.read_clips(shard)
            arrays = {
                output.name: values_of(clips, output, store.rows_per_shard)
                for output in producer.outputs
            }
            failures = {c.row: ("no_video", "no picture") for c in clips if c.clip_id in failed}
            store.write_shard(
                producer.name, shard, arrays, failures=failures, timings={"teach": 0.1}
            )
        return store

    return fill_store


@pytest.fixture(scope="session")
def finished_store(tmp_path_factory, teacher, make_clips, fill) -> Path:
    place = tmp_path_factory.mktemp("finished") / "store"
    made = Store.create(
        str(place), clip_policy={"clip_seconds": 20.0}, rows_per_shard=ROWS_PER_SHARD
    )
    clips = make_clips(0, 20)
    made.plan_clips(clips)
    fill(made, teacher, failed=[clips[3].clip_id])
    return place


@pytest.fixture
def store(tmp_path, finished_store) -> Store:
    """Two whole shards and a half, all committed by one teacher; row 3 failed."""
    shutil.copytree(finished_store, tmp_path / "store")
    return Store.open(str(tmp_path / "store"))
