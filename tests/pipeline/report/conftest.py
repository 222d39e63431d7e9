"""A page's worth of made-up results, and small stores with real pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from avkd.pipeline.report.content import (
    BoxesContent,
    BoxEvaluation,
    ConfusionMatrix,
    GalleryItem,
    Headline,
    Judgement,
    LossCurve,
    OutputFact,
    OverlayVideo,
    PrecisionRecall,
    ProbeResult,
    ReportContent,
    Still,
    StoreFacts,
    Table,
)
from avkd.stages.simulation.files import write_movie
from avkd.stages.types import ClipPolicy
from avkd.storage.boxes import box_schema
from avkd.storage.clips import clip_id
from avkd.storage.schema import ClipRow, OutputSpec, ProducerSpec
from avkd.storage.store import Store

CLASSES = ("cat", "dog", "bell", "rain", "sea")
ROWS_PER_SHARD = 4

MIDDLE = (0.4, 0.35, 0.6, 0.65)
"""What the student of ``ear`` says of every step, with a score of 0.88."""
ROAD = {"day/0": range(8), "day/1": (), "dusk/2": range(8), "night/3": range(4, 8)}
"""By recording of two seconds: the steps, of eight, at which a vehicle is in the middle."""
GONE = "dusk/2"
"""Its file is gone."""


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
        boxes=BoxesContent(
            evaluations=(
                BoxEvaluation(
                    title="Against the truth boxes.csv, split test",
                    curves=(PrecisionRecall(name="ear", group="all", precisions=(1.0, 0.5)),),
                    tables=(Table(title="all", header=("", "AP@0.5"), rows=(("ear", "0.750"),)),),
                    notes=("hidden vehicles are left out",),
                ),
            ),
            stills=(Still(picture=np.zeros((6, 8, 3), np.uint8), caption="night, r1 at 0:01.0"),),
            stills_note="Chosen by place alone.",
            videos=(OverlayVideo(data=b"mp4", caption="day, r2"),),
            videos_note="The first recording by name.",
            notes=("1 of 3 recordings has no rgb",),
        ),
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


@pytest.fixture(scope="session")
def road_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The recordings of ``ROAD``; step s is grey of 40 + 20 s, and ``rgb`` finds all by day."""
    folder = tmp_path_factory.mktemp("road")
    policy = ClipPolicy(clip_seconds=1.0, step_seconds=0.25)
    store = Store.create(str(folder / "store"), clip_policy=vars(policy), rows_per_shard=8)
    clips = [_road_clip(folder, name, half) for name in ROAD for half in range(2)]
    store.plan_clips(clips)
    for name in ROAD:
        if name != GONE:
            _write_greys(_road_file(folder, name))
    sound = OutputSpec(
        name="waveform",
        shape=(2, 4_000),
        dtype="int16",
        axes=("channel", "sample"),
        attributes={"sample_rate": 4_000},
    )
    boxes = OutputSpec(
        name="boxes",
        shape=(4,),
        dtype="float32",
        axes=("step",),
        layout="boxes",
        class_names=("car",),
    )
    found = [
        {"row": clip.row, "step": step, "box": list(MIDDLE), "score": 0.9, "class": 0}
        for clip in clips
        for step in range(4)
        if clip.recording_id.startswith("day")
        and 4 * int(clip.start_seconds) + step in ROAD[clip.recording_id]
    ]
    content = {
        "waveform": np.zeros((8, 2, 4_000), np.int16),
        "rgb": pa.Table.from_pylist(found, schema=box_schema()),
    }
    for kind, name, output in (("input", "waveform", sound), ("teacher", "rgb", boxes)):
        spec = ProducerSpec(kind=kind, name=name, outputs=(output,), fingerprint={"of": name})
        store.declare(spec)
        store.write_shard(name, 0, {output.name: content[name]}, failures={}, timings={})
    return store.url


@pytest.fixture(scope="session")
def road_truth(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The vehicles of ``ROAD``, and one by night that is hidden."""
    header = "recording_id,frame_time_seconds,track_id,kind,x_min,y_min,x_max,y_max"
    sides = ",".join(map(str, MIDDLE))
    lines = [
        f"{name},{0.25 * step + 0.125},0,car,{sides},1.0"
        for name, steps in ROAD.items()
        for step in steps
    ]
    lines.append(f"night/3,0.125,1,car,{sides},0.1")
    path = tmp_path_factory.mktemp("road_truth") / "boxes.csv"
    path.write_text("\n".join([f"{header},visible_fraction", *lines]))
    return str(path)


@pytest.fixture(scope="session")
def ears(
    make_box_run: Callable[..., None],
    road_store: str,
    road_truth: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Two seeds of a student, evaluated against truth and teacher; ``other`` hears differently."""
    from avkd.pipeline.evaluation.box_evaluation import evaluate_boxes
    from avkd.pipeline.evaluation.box_request import BoxesRequest

    folder = tmp_path_factory.mktemp("runs")
    for name, seed in (("ear", 0), ("ear", 1), ("other", 0)):
        run = str(folder / name / f"seed-{seed}")
        make_box_run(run, seed=seed, steady=name == "ear")
        held = {"run": run, "store": road_store}
        against_truth = BoxesRequest(**held, truth=road_truth, by=("light",))
        evaluate_boxes(against_truth, teacher_targets=["rgb"], device="cpu")
        evaluate_boxes(BoxesRequest(**held, against="rgb"), device="cpu")
    return folder


def _road_file(folder: Path, name: str) -> Path:
    return folder / f"{name.replace('/', '-')}.mp4"


def _road_clip(folder: Path, name: str, half: int) -> ClipRow:
    return ClipRow(
        row=2 * list(ROAD).index(name) + half,
        clip_id=clip_id(name, float(half), 1.0),
        recording_id=name,
        streams={"rgb": str(_road_file(folder, name)), "audio": str(_road_file(folder, name))},
        start_seconds=float(half),
        duration_seconds=1.0,
        num_steps=4,
        metadata={"split": "test", "light": name.split("/")[0]},
    )


def _write_greys(path: Path) -> None:
    frames = [np.full((60, 80, 3), 40 + 20 * step, np.uint8) for step in range(8)]
    sound = 0.3 * np.sin(np.arange(16_000) / 5)
    write_movie(path, frames, sound, frame_size=(80, 60), frame_rate=4, sample_rate=8_000)


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
