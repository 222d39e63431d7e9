"""A store of everything that a trained teacher can look at, and runs that look at it."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.request import ExtractReport, ExtractRequest
from avkd.pipeline.recipe import DataConfig, EncoderConfig, MethodConfig, Recipe, ScheduleConfig
from avkd.pipeline.run_dir import open_run
from avkd.pipeline.training.learning_set import describe_inputs
from avkd.pipeline.training.students import build_student, save_student
from avkd.stages.methods.batch import LabelKind, LearningShape
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import WaveformFormat
from avkd.storage.store import Store

NAMES = ("a.mp4", "c_broken.mp4", "d.mp4", "e_silent.mp4", "f_sound.wav")
CLASSES = ("x", "y", "z")

Extract = Callable[..., ExtractReport]
SaveRun = Callable[..., str]


@pytest.fixture(scope="session")
def movies(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings with a column of two numbers."""
    path = tmp_path_factory.mktemp("tables") / "movies.jsonl"
    rows = (
        {"path": str(recordings / name), "recording_id": name, "pose": [n / 8, 1 - n]}
        for n, name in enumerate(NAMES)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


BASE: dict[str, Any] = {
    "clip_seconds": 2.0,
    "step_seconds": 1.0,
    "rows_per_shard": 3,
    "num_decode_workers": 1,
    "inputs": WaveformFormat(),
    "frames_size": (16, 12),
    "vectors": ("pose",),
}


@pytest.fixture
def extract(movies: Path, tmp_path: Path, bright_request: TeacherRequest) -> Extract:
    """Extract the recordings into shards of 3 rows: sound, pictures, a vector, a teacher."""

    def run(*runs: str, store: str = "store", **options: Any) -> ExtractReport:
        batch_size = options.pop("batch_size", 2)
        trained = tuple(_request(text, batch_size) for text in runs)
        base = options.pop("teachers", (bright_request,))
        request = ExtractRequest(
            corpus=options.pop("corpus", str(movies)),
            store=str(tmp_path / store),
            teachers=(*base, *trained),
            **{**BASE, **options},
        )
        return extract_teacher(request)

    return run


def _request(text: str, batch_size: int) -> TeacherRequest:
    """``NAME=RUN`` or ``RUN``."""
    name, equals, family = text.rpartition("=")
    return TeacherRequest(
        name=name if equals else Path(family).name, family=family, batch_size=batch_size
    )


@pytest.fixture(scope="session")
def base_store(movies: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """What every trained teacher here looks at. Not to be written to."""
    place = tmp_path_factory.mktemp("base") / "store"
    bright = TeacherRequest(name="bright", family="brightness", batch_size=4)
    extract_teacher(
        ExtractRequest(corpus=str(movies), store=str(place), teachers=(bright,), **BASE)
    )
    return Store.open(str(place))


@pytest.fixture
def store(base_store: Store, tmp_path: Path) -> Store:
    """A copy of it where ``extract`` writes."""
    shutil.copytree(base_store.url, tmp_path / "store")
    return Store.open(str(tmp_path / "store"))


@pytest.fixture
def save_run(tmp_path: Path) -> SaveRun:
    """Save a finished run with fresh weights, as if it had learned from a store's labels.

    ``only`` names what the store held then; the rest are options of the method.
    """

    def save(
        store: Store,
        encoder: str,
        options: Mapping[str, Any],
        *,
        name: str = "judge",
        seed: int = 0,
        only: Sequence[str] = (),
        **method: Any,
    ) -> str:
        recipe = _recipe(encoder, options, seed, method)
        run = open_run(str(tmp_path / "runs" / name), recipe, {})
        inputs = describe_inputs(store)
        if only:
            inputs = {stream: inputs[stream] for stream in only}
        learning = LearningShape(inputs=inputs, class_names=CLASSES)
        _, student = build_student(recipe, learning)
        kind: LabelKind = "classes" if method.get("task") == "classes" else "class"
        save_student(run, student, learning, kind)
        return str(run.path)

    return save


def _recipe(
    encoder: str, options: Mapping[str, Any], seed: int, method: Mapping[str, Any]
) -> Recipe:
    return Recipe(
        name="test",
        variant="fresh",
        method=MethodConfig(name="supervised", options=dict(method)),
        encoder=EncoderConfig(name=encoder, options=dict(options)),
        data=DataConfig(label_column="label"),
        schedule=ScheduleConfig(num_epochs=1),
        seed=seed,
    )
