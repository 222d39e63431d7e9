"""A page's worth of made-up results, and a small store with real pictures."""

from pathlib import Path

import numpy as np
import pytest

from avkd.pipeline.report.content import (
    ConfusionMatrix,
    GalleryItem,
    Headline,
    Judgement,
    LossCurve,
    OutputFact,
    ProbeResult,
    ReportContent,
    StoreFacts,
    Table,
)
from avkd.stages.simulation.files import write_movie
from avkd.stages.types import ClipPolicy
from avkd.storage.clips import clip_id
from avkd.storage.schema import ClipRow, OutputSpec, ProducerSpec
from avkd.storage.store import Store

CLASSES = ("cat", "dog", "bell", "rain", "sea")
ROWS_PER_SHARD = 4


@pytest.fixture
def content() -> ReportContent:
    """Something in every section."""
    return ReportContent(
        title="A <made-up> run",
        simulated=True,
        sentences=("The student scored 71.2 % of the clips.",),
        headlines=(Headline(value="71.2 %", label="distilled", detail="3 seeds"),),
        probes=(
            ProbeResult(name="distilled", accuracies=(0.7, 0.72, 0.74), labels_per_class=5),
            ProbeResult(name="scratch", accuracies=(0.4,), labels_per_class=5),
            ProbeResult(name="distilled", accuracies=(0.8, 0.82, 0.84)),
        ),
        chance=0.2,
        losses=(LossCurve(name="distilled", updates=(1, 2, 3), losses=(3.0, 2.0, 1.0)),),
        store=StoreFacts(
            num_recordings=1,
            num_clips=1200,
            num_shards=3,
            statuses={"ok": 1199, "decode_error": 1},
            outputs=(
                OutputFact(
                    producer="seer",
                    kind="teacher",
                    output="logits",
                    shape=(4, 1000),
                    dtype="float16",
                    num_rows=1199,
                    num_bytes=2_500_000,
                    fingerprint="abcdef0123456789",
                ),
            ),
            content_digest="feedbeef",
            failures=(("bad.mp4", "decode_error", "moov atom not found"),),
        ),
        gallery=(
            GalleryItem(
                picture=np.zeros((6, 8, 3), np.uint8),
                recording_id="one.mp4",
                at_seconds=62.5,
                judgements=(Judgement(teacher="seer", classes=(("cat", 0.75), ("dog", 0.1))),),
            ),
        ),
        confusion=ConfusionMatrix(
            class_names=("cat", "dog"), counts=np.array([[3, 1], [0, 4]]), of="The student's."
        ),
        tables=(Table(title="By layer", header=("layer", "accuracy"), rows=(("conv4", "61 %"),)),),
        provenance={"avkd": "0.1.0"},
        seconds={"extraction": 125.0},
    )


@pytest.fixture(scope="session")
def movies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three movies of 4 s: red, green, blue; each is bright in its second half."""
    folder = tmp_path_factory.mktemp("movies")
    for number in range(3):
        frames = []
        for index in range(16):
            frame = np.full((48, 64, 3), 20, np.uint8)
            frame[:, :, number] = 100 if index < 8 else 220
            frames.append(frame)
        write_movie(
            folder / f"m{number}.mp4",
            frames,
            np.zeros(32_000),
            frame_size=(64, 48),
            frame_rate=4,
            sample_rate=8_000,
        )
    return folder


@pytest.fixture
def store(movies: Path, tmp_path: Path) -> Store:
    """Two shards: each movie's halves, a clip that failed and one whose file is gone."""
    policy = ClipPolicy(clip_seconds=2.0, step_seconds=1.0)
    store = Store.create(
        str(tmp_path / "store"), clip_policy=vars(policy), rows_per_shard=ROWS_PER_SHARD
    )
    store.plan_clips([_clip(movies, row) for row in range(8)])
    for name, layout in (("seer", "dense"), ("sparse", "sparse_logits")):
        store.declare(_teacher(name, layout))
        for shard in range(2):
            first = shard * ROWS_PER_SHARD
            logits = np.stack([_logits(row) for row in range(first, first + ROWS_PER_SHARD)])
            failures = {6: ("decode_error", "moov atom not found")} if shard else {}
            store.write_shard(name, shard, {"logits": logits}, failures=failures, timings={})
    return store


def _clip(movies: Path, row: int) -> ClipRow:
    recording = f"m{row // 2}.mp4"
    start = 2.0 * (row % 2)
    return ClipRow(
        row=row,
        clip_id=clip_id(recording, start, 2.0),
        recording_id=recording,
        streams={"rgb": str(movies / recording)},
        start_seconds=start,
        duration_seconds=2.0,
        num_steps=2,
    )


def _teacher(name: str, layout: str) -> ProducerSpec:
    output = OutputSpec(
        name="logits",
        shape=(2, 5),
        dtype="float16",
        axes=("step", "class"),
        layout=layout,
        num_kept=3 if layout == "sparse_logits" else 0,
        class_names=CLASSES if name == "seer" else (),
        attributes={"activation": "softmax"},
    )
    return ProducerSpec(kind="teacher", name=name, outputs=(output,), fingerprint={"name": name})


def _logits(row: int) -> np.ndarray:
    """Step 1 of a row is sure of class row modulo 5."""
    logits = np.zeros((2, 5), np.float32)
    logits[1, row % 5] = 6.0
    return logits
