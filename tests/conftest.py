"""A store of vectors in two streams and finished runs over it, for what evaluates and compares.

Heavy imports stay inside: most tests need none of this.
"""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest

ROWS_PER_SHARD = 32
CLASSES = ("bell", "drum", "horn")
SPLITS = {"train": 60, "test": 36, "spare": 6, "strange": 2}
FAILED_ROW = 3
"""Of split test, counted from its start: without ``beta`` and unseen by the teacher."""


@pytest.fixture(scope="session")
def row_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two clips a recording; ``alpha`` (2,) tells the class vaguely, ``beta`` (3,) well.

    Columns: ``label`` (a class; none in spare, a stranger's in strange), ``tags`` (the class, and
    ``loud`` besides where beta says so), ``speaker`` (others in every split).
    """
    from avkd.storage.store import Store

    folder = tmp_path_factory.mktemp("row_store")
    store = Store.create(str(folder), clip_policy={}, rows_per_shard=ROWS_PER_SHARD)
    clips = _clips()
    store.plan_clips(clips)
    _fill(store, clips)
    return str(folder)


@pytest.fixture(scope="session")
def train_rows(row_store: str) -> Callable[..., None]:
    """Trains ``supervised`` on that store: ``train(run, streams, seed=0, set=overrides)``."""
    from avkd.pipeline.recipe import (
        DataConfig,
        EncoderConfig,
        MethodConfig,
        OptimiserConfig,
        Recipe,
        ScheduleConfig,
        with_overrides,
    )
    from avkd.pipeline.train import train_student

    def train(
        run: Path | str,
        streams: tuple[str, ...],
        *,
        seed: int = 0,
        overrides: tuple[str, ...] = (),
        task: str = "class",
        label_column: str = "label",
    ) -> None:
        recipe = Recipe(
            name="rows",
            variant="tiny",
            seed=seed,
            method=MethodConfig(name="supervised", options={"task": task}),
            encoder=EncoderConfig(name="vectors", options={"streams": streams, "hidden_size": 16}),
            data=DataConfig(
                split="train", label_column=label_column, batch_size=64, validation_fraction=0.0
            ),
            optimiser=OptimiserConfig(learning_rate=1e-2),
            schedule=ScheduleConfig(num_updates=30),
        )
        train_student(row_store, str(run), with_overrides(recipe, overrides), device="cpu")

    return train


@pytest.fixture(scope="session")
def row_runs(train_rows: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``alone`` (alpha) and ``both`` (alpha and beta), two seeds each."""
    folder = tmp_path_factory.mktemp("row_runs")
    for name, streams in (("alone", ("alpha",)), ("both", ("alpha", "beta"))):
        for seed in (0, 1):
            train_rows(folder / name / f"seed-{seed}", streams, seed=seed)
    return folder


@pytest.fixture(scope="session")
def row_trials(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All pairs of the 18 recordings of split test; six speakers with three recordings each."""
    pairs = combinations(range(SPLITS["test"] // 2), 2)
    lines = [f"{int(a % 6 == b % 6)} test/{a} test/{b}" for a, b in pairs]
    path = tmp_path_factory.mktemp("row_trials") / "trials.txt"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.fixture(scope="session")
def evaluated_runs(
    row_runs: Path, row_store: str, row_trials: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A copy of the runs with reports on labels, with the teacher beside, and on trials."""
    from avkd.pipeline.evaluation.rows import evaluate_rows

    folder = tmp_path_factory.mktemp("evaluated") / "runs"
    copytree(row_runs, folder)
    for run in sorted(folder.glob("*/seed-*")):
        evaluate_rows(str(run), row_store, teacher_targets=["sage"], device="cpu")
        evaluate_rows(str(run), row_store, trials=row_trials, label_column="speaker", device="cpu")
    return folder


@pytest.fixture
def own_runs(evaluated_runs: Path, tmp_path: Path) -> Path:
    """A copy of the evaluated runs that a test may write to."""
    copytree(evaluated_runs, tmp_path / "runs")
    return tmp_path / "runs"


def _clips() -> list[Any]:
    from avkd.storage.clips import clip_id
    from avkd.storage.schema import ClipRow

    clips: list[Any] = []
    for split, num_rows in SPLITS.items():
        for number in range(num_rows):
            recording_id = f"{split}/{number // 2}"
            start = float(number % 2)
            clips.append(
                ClipRow(
                    row=len(clips),
                    clip_id=clip_id(recording_id, start, 1.0),
                    recording_id=recording_id,
                    streams={},
                    start_seconds=start,
                    duration_seconds=1.0,
                    num_steps=1,
                    metadata={"split": split, **_labels(split, number)},
                )
            )
    return clips


def _labels(split: str, number: int) -> dict[str, str]:
    name = CLASSES[number // 2 % 3]
    if split == "spare":
        return {}
    if split == "strange":
        return {"label": "whistle"}
    tags = f"{name};loud" if number % 4 < 2 else name
    return {"label": name, "tags": tags, "speaker": f"{split}-{number // 2 % 6}"}


def _fill(store: Any, clips: list[Any]) -> None:
    from avkd.storage.schema import OutputSpec, ProducerSpec

    def vector(name: str, size: int) -> Any:
        output = OutputSpec(name=name, shape=(size,), dtype="float32", axes=("feature",))
        return ProducerSpec(kind="input", name=name, outputs=(output,), fingerprint={"name": name})

    logits = OutputSpec(
        name="logits", shape=(3,), dtype="float32", axes=("class",), class_names=CLASSES
    )
    embedding = OutputSpec(name="embedding", shape=(3,), dtype="float32", axes=("feature",))
    sage = ProducerSpec(
        kind="teacher", name="sage", outputs=(logits, embedding), fingerprint={"weights": "sage"}
    )
    values = {clip.row: _values(clip) for clip in clips}
    failed = sum(SPLITS[split] for split in ("train",)) + FAILED_ROW
    for spec in (vector("alpha", 2), vector("beta", 3), sage):
        store.declare(spec)
        for shard in store.missing_shards(spec.name):
            rows = [clip.row for clip in store.read_clips(shard)]
            arrays = {
                output.name: np.zeros((ROWS_PER_SHARD, *output.shape), np.float32)
                for output in spec.outputs
            }
            for row in rows:
                for name, array in arrays.items():
                    array[row % ROWS_PER_SHARD] = values[row][name]
            failures = {failed: ("no_video", "black")} if failed in rows else {}
            if spec.name == "alpha":
                failures = {}
            store.write_shard(spec.name, shard, arrays, failures=failures, timings={})


def _values(clip: Any) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(clip.row)
    number = CLASSES.index(clip.metadata.get("label", "bell")) if _is_known(clip) else 0
    angle = 2 * np.pi * number / 3
    place = np.array([np.cos(angle), np.sin(angle)])
    is_loud = "loud" in str(clip.metadata.get("tags"))
    told = np.eye(3)[number if clip.row % 5 else (number + 1) % 3]
    return {
        "alpha": place + generator.normal(scale=1.0, size=2),
        "beta": np.array([*place, 2.0 * is_loud]) + generator.normal(scale=0.25, size=3),
        "logits": 3 * told,
        "embedding": told + generator.normal(scale=0.1, size=3),
    }


def _is_known(clip: Any) -> bool:
    return clip.metadata.get("label") in CLASSES


BOX_RATE, BOX_STEP_SECONDS, BOX_CLIP_SECONDS, NUM_BOX_CLIPS = 4_000, 0.25, 1.0, 2
MIDDLE = (0.4, 0.35, 0.6, 0.65)
"""What the ``steady`` student says of every step."""
NEXT_TO_IT = (0.42, 0.35, 0.62, 0.65)
CORNER = (0.1, 0.1, 0.2, 0.2)
BOX_TRUTH = {
    "day/0": ((MIDDLE, 1.0),),
    "day/1": ((CORNER, 1.0),),
    "night/2": ((MIDDLE, 0.1),),
    "night/3": ((NEXT_TO_IT, 1.0), (CORNER, 1.0)),
    "train/4": (),
}
"""By recording: boxes that stand still, and how much of each is seen."""


@pytest.fixture(scope="session")
def box_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Recordings of two microphones, two clips of four steps each, with a detector's boxes.

    The detector ``rgb`` finds all by day, with a score of 0.9, and nothing by night; it did not see
    the second clip of day/1. Vectors: ``camera_height_metres``.
    """
    from avkd.storage.store import Store

    folder = tmp_path_factory.mktemp("box_store")
    policy = {
        "clip_seconds": BOX_CLIP_SECONDS,
        "step_seconds": BOX_STEP_SECONDS,
        "frames_per_step": 1,
        "tail": "keep",
    }
    store = Store.create(str(folder / "store"), clip_policy=policy, rows_per_shard=4)
    clips = _box_clips(folder)
    store.plan_clips(clips)
    for name in BOX_TRUTH:
        _write_stereo(folder / f"{name.replace('/', '-')}.wav", box_sound(name))
    _fill_box_store(store, clips)
    return str(folder / "store")


@pytest.fixture(scope="session")
def box_truth(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The table of ``BOX_TRUTH``."""
    path = tmp_path_factory.mktemp("box_truth") / "boxes.csv"
    header = "recording_id,frame_time_seconds,track_id,kind,x_min,y_min,x_max,y_max"
    lines = [f"{header},visible_fraction"]
    num_steps = round(NUM_BOX_CLIPS * BOX_CLIP_SECONDS / BOX_STEP_SECONDS)
    for name, boxes in BOX_TRUTH.items():
        for step in range(num_steps):
            for track, (box, visible) in enumerate(boxes):
                sides = ",".join(map(str, box))
                seconds = (step + 0.5) * BOX_STEP_SECONDS
                lines.append(f"{name},{seconds},{track},car,{sides},{visible}")
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.fixture(scope="session")
def make_box_run(box_store: str) -> Callable[..., None]:
    """Makes finished runs of ``stereosoundnet``: ``make(run, seed=0, steady=True, metadata=())``.

    A ``steady`` student says ``MIDDLE`` with a score of 0.88 whatever it hears; others hear.
    """

    def make(
        run: Path | str, *, seed: int = 0, steady: bool = True, metadata: tuple[str, ...] = ()
    ) -> None:
        import torch

        from avkd.pipeline.recipe import (
            DataConfig,
            EncoderConfig,
            MethodConfig,
            Recipe,
            ScheduleConfig,
        )
        from avkd.pipeline.run_dir import open_run
        from avkd.pipeline.training.learning_set import describe_inputs
        from avkd.pipeline.training.students import build_student, save_student
        from avkd.stages.methods.batch import LearningShape, TargetShape
        from avkd.storage.store import Store

        options = {
            "ranking": "off",
            "classes": ("car",),
            "anchors": (0.2, 0.3) if steady else (0.8, 0.8),
            "grid_size": 1 if steady else 3,
            "map_channels": 4,
            "bottleneck": 8,
            "deconv_widths": (4, 4),
        }
        encoder = {"window_seconds": 0.5, "widths": (4,) * 10, "metadata": metadata}
        recipe = Recipe(
            name="boxes",
            variant="tiny",
            seed=seed,
            method=MethodConfig(name="stereosoundnet", options=options),
            encoder=EncoderConfig(name="spectrogram_pair", options=encoder),
            data=DataConfig(split="train"),
            schedule=ScheduleConfig(num_updates=1),
        )
        seen = TargetShape(num_steps=4, num_classes=0, box_classes=("car", "person"))
        learning = LearningShape(
            targets={"rgb": seen}, inputs=describe_inputs(Store.open(box_store))
        )
        _, student = build_student(recipe, learning)
        head = student.get_submodule("head")
        with torch.no_grad():
            if steady:
                head.weight.zero_()
                head.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 0.0, 2.0, 0.0]))
            else:
                head.weight.mul_(20.0)
                head.bias.zero_()
        folder = open_run(str(run), recipe, {"store": box_store})
        save_student(folder, student, learning)

    return make


def box_sound(recording_id: str) -> np.ndarray:
    """int16 (2, samples): noise of the recording's own loudness, later in the second channel."""
    number = int(recording_id.split("/")[1])
    num_samples = round(NUM_BOX_CLIPS * BOX_CLIP_SECONDS * BOX_RATE)
    noise = np.random.default_rng(number).normal(size=num_samples + 3)
    swell = 1 + np.sin(np.arange(num_samples + 3) / 700 + number)
    sound = 1_500 * noise * swell
    return np.stack([sound[3:], sound[:-3]]).astype(np.int16)


def _box_clips(folder: Path) -> list[Any]:
    from avkd.storage.clips import clip_id
    from avkd.storage.schema import ClipRow

    clips: list[Any] = []
    for name in BOX_TRUTH:
        for number in range(NUM_BOX_CLIPS):
            start = number * BOX_CLIP_SECONDS
            light = name.split("/")[0]
            clips.append(
                ClipRow(
                    row=len(clips),
                    clip_id=clip_id(name, start, BOX_CLIP_SECONDS),
                    recording_id=name,
                    streams={"audio": str(folder / f"{name.replace('/', '-')}.wav")},
                    start_seconds=start,
                    duration_seconds=BOX_CLIP_SECONDS,
                    num_steps=4,
                    metadata={"split": "train" if light == "train" else "test", "light": light},
                )
            )
    return clips


def _fill_box_store(store: Any, clips: list[Any]) -> None:
    from avkd.storage.schema import OutputSpec, ProducerSpec

    num_samples = round(BOX_CLIP_SECONDS * BOX_RATE)
    waveform = OutputSpec(
        name="waveform",
        shape=(2, num_samples),
        dtype="int16",
        axes=("channel", "sample"),
        attributes={"sample_rate": BOX_RATE},
    )
    height = OutputSpec(name="camera_height_metres", shape=(1,), dtype="float32", axes=("feature",))
    boxes = OutputSpec(
        name="boxes",
        shape=(4,),
        dtype="float32",
        axes=("step",),
        layout="boxes",
        class_names=("car", "person"),
    )
    for kind, output in (("input", waveform), ("input", height), ("teacher", boxes)):
        name = "rgb" if output is boxes else output.name
        spec = ProducerSpec(kind=kind, name=name, outputs=(output,), fingerprint={"of": name})
        store.declare(spec)
        for shard in store.missing_shards(name):
            rows = [clip for clip in clips if clip.row // 4 == shard]
            arrays = {output.name: _box_content(output, rows)}
            failures = {3: ("no_video", "black")} if name == "rgb" and shard == 0 else {}
            store.write_shard(name, shard, arrays, failures=failures, timings={})


def _box_content(output: Any, clips: list[Any]) -> Any:
    if output.layout == "boxes":
        return _detected(clips)
    content = np.zeros((4, *output.shape), output.dtype)
    for clip in clips:
        if output.name == "waveform":
            start = round(clip.start_seconds * BOX_RATE)
            sound = box_sound(clip.recording_id)[:, start : start + output.shape[1]]
            content[clip.row % 4] = sound
        else:
            content[clip.row % 4] = 4.0 + clip.row
    return content


def _detected(clips: list[Any]) -> Any:
    """What ``rgb`` found: by day all vehicles, and in every picture a person."""
    import pyarrow as pa

    from avkd.storage.boxes import box_schema

    rows = []
    for clip in clips:
        found = [(box, 0.9, 0) for box, _ in BOX_TRUTH[clip.recording_id]]
        if not clip.recording_id.startswith("day"):
            found = []
        found.append(((0.0, 0.0, 0.1, 0.1), 0.8, 1))
        for step in range(4):
            rows += [
                {"row": clip.row, "step": step, "box": list(box), "score": score, "class": number}
                for box, score, number in found
            ]
    return pa.Table.from_pylist(rows, schema=box_schema())


def _write_stereo(path: Path, samples: np.ndarray) -> None:
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(samples))
        file.setsampwidth(2)
        file.setframerate(BOX_RATE)
        file.writeframes(np.ascontiguousarray(samples.T).tobytes())
