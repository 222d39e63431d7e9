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
