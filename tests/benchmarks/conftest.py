"""The scripts of benchmarks/, a handful of tiny files, and a teacher that is arithmetic."""

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from avkd.stages.teachers.declaration import TeacherDeclaration
from avkd.stages.teachers.registry import register_teacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import FrameFormat, TeacherOutput

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SIDE = 32
CELL = 8
FRAME_FORMAT = FrameFormat(height=SIDE, width=SIDE, crop_fraction=1.0)


@pytest.fixture(scope="session")
def bench() -> Iterator[Callable[[str], ModuleType]]:
    """Imports a script of benchmarks/ by its name, as the scripts import one another."""
    before = set(sys.modules)
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module
    sys.path.remove(str(BENCHMARKS))
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture(scope="session")
def specs(bench: Callable[[str], ModuleType]) -> Any:
    """Six files of a second or two: every codec that there is, both kinds of frame rate."""
    media = bench("media")
    return media.plan_corpus(
        sizes=[(64, 48)],
        gops=[12],
        codecs=media.list_encoders(),
        seconds=(1.2, 2.2),
    )


@pytest.fixture(scope="session")
def corpus(
    bench: Callable[[str], ModuleType], specs: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder of them. Not to be written to."""
    folder = tmp_path_factory.mktemp("corpus")
    bench("media").write_corpus(specs, folder)
    return folder


@pytest.fixture(scope="session")
def work(
    bench: Callable[[str], ModuleType],
    corpus: Path,
    specs: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    """Two pictures a second of all of them, in clips of a second."""
    return bench("work").plan_work(
        [corpus / spec.name for spec in specs],
        tmp_path_factory.mktemp("work"),
        clip_seconds=1.0,
        step_seconds=0.25,
    )


@pytest.fixture
def one_less(work: Any) -> Any:
    """The same work, each picture the one that was shown before."""
    earlier = tuple(
        replace(
            each,
            frame_seconds=(each.frame_seconds[0], *each.frame_seconds[:-1]),
            frame_indices=(each.frame_indices[0], *each.frame_indices[:-1]),
        )
        for each in work.recordings
    )
    return replace(work, recordings=earlier)


def look(frames: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
    """Means of cells, and of columns of cells: tells one picture from the next."""
    cells = frames.reshape(len(frames), SIDE // CELL, CELL, SIDE // CELL, CELL, 3)
    means = cells.mean(axis=(2, 4)).astype(np.float32) / 64
    return {"logits": means.reshape(len(frames), -1), "embedding": means.mean(axis=(1, 3))}


class CellsTeacher:
    """Looks in batches of a fixed size."""

    def __init__(self, declaration: TeacherDeclaration) -> None:
        self.declaration = declaration

    def predict(self, frames: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        return look(frames)


class CellsFamily:
    summary = "means of cells"

    def declare(self, request: TeacherRequest) -> TeacherDeclaration:
        num_cells = SIDE // CELL
        outputs = (
            TeacherOutput(name="logits", shape=(3 * num_cells**2,), axes=("class",)),
            TeacherOutput(name="embedding", shape=(num_cells,), axes=("feature",)),
        )
        return TeacherDeclaration(
            name=request.name,
            frame_format=FRAME_FORMAT,
            outputs=outputs,
            fingerprint={"batch_size": request.batch_size},
            batch_size=request.batch_size,
        )

    def load(self, request: TeacherRequest) -> CellsTeacher:
        return CellsTeacher(self.declare(request))


register_teacher("bench_cells")(CellsFamily)


@pytest.fixture
def cells_request() -> TeacherRequest:
    """A request for that teacher, settled."""
    return TeacherRequest(
        name="cells", family="bench_cells", batch_size=4, device="cpu", runtime="torch"
    )


@pytest.fixture
def cells_look(bench: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the loops of others look with the same arithmetic."""
    loaded = FRAME_FORMAT, look
    monkeypatch.setattr(bench("peers"), "load_any_batch", lambda request: loaded)
