"""Whether contestants gave the same answers for the same pictures, before any timing counts.

A difference is measured against the spread of the reference over pictures: networks whose answers
hardly change would let anything pass otherwise.
"""

import io
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from peers import npy_path
from work import Work

from avkd.storage.store import Store

Values: TypeAlias = npt.NDArray[np.float32]
Answers: TypeAlias = Mapping[str, Mapping[str, Values]]
"""By recording id and output: (pictures, ...), in the order of the instants."""

OUTPUTS = ("logits", "embedding")
TOLERANCE = 0.05
"""Of the spread, root mean square: another decoder's rounding, and float16."""
LOSSY_TOLERANCE = 0.8
"""The same after encoding anew, which changes pictures visibly; a wrong picture is about 1.4."""
PIXEL_TOLERANCE = 2.0
"""Of 255, mean absolute, between two decoders."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far answers are from the reference."""

    num_pictures: int
    deviation: Mapping[str, float]
    """By output, the root mean square of the differences over that of the reference's spread."""
    tolerance: float
    problem: str = ""
    """What else is wrong; empty when nothing is."""

    @property
    def why_not(self) -> str:
        """Why the answers are not the same; empty when they are."""
        if self.problem:
            return self.problem
        wide = {name: far for name, far in self.deviation.items() if not far <= self.tolerance}
        said = ", ".join(f"{name} by {far:.3g}" for name, far in wide.items())
        return f"answers differ ({said}; allowed {self.tolerance:g} of the spread)" if said else ""

    def describe(self) -> dict[str, Any]:
        """For the raw rows."""
        return {**asdict(self), "deviation": dict(self.deviation)}


def compare_answers(found: Answers, reference: Answers, tolerance: float) -> Agreement:
    """Hold answers to the reference's, picture by picture."""
    problem = _find_problem(found, reference)
    if problem:
        return Agreement(num_pictures=0, deviation={}, tolerance=tolerance, problem=problem)
    deviation = {}
    for output in OUTPUTS:
        theirs, ours = (
            np.concatenate([answers[name][output] for name in sorted(reference)]).astype(np.float64)
            for answers in (found, reference)
        )
        spread = np.sqrt(np.mean((ours - ours.mean(axis=0)) ** 2))
        deviation[output] = float(np.sqrt(np.mean((theirs - ours) ** 2)) / max(spread, 1e-12))
    num_pictures = sum(len(each[OUTPUTS[0]]) for each in reference.values())
    return Agreement(num_pictures=num_pictures, deviation=deviation, tolerance=tolerance)


def compare_thumbnails(found: Mapping[str, Values], reference: Mapping[str, Values]) -> str:
    """Say why a decoder's pictures are not the reference's; empty when they are."""
    if found.keys() != reference.keys():
        return "other recordings"
    for name, thumbnails in reference.items():
        if found[name].shape != thumbnails.shape:
            return f"{name}: {len(found[name])} pictures instead of {len(thumbnails)}"
        far = float(np.abs(found[name] - thumbnails).mean(axis=(1, 2, 3)).max())
        if far > PIXEL_TOLERANCE:
            return f"{name}: a picture differs by {far:.3g} of 255"
    return ""


def read_store_answers(store_place: Path, teacher: str, work: Work) -> Answers:
    """What avkd stored: the rows of a recording, one after the other, are its instants."""
    store = Store.open(str(store_place))
    whole = set(store.ok_rows(teacher).tolist())
    for commit in store.commits(teacher):
        whole -= commit.failures.keys()
    parts: dict[str, dict[str, list[Values]]] = {
        each.recording_id: {output: [] for output in OUTPUTS} for each in work.recordings
    }
    for shard in store.shards():
        clips = store.read_clips(shard)
        first = clips[0].row
        rows = {
            output: store.read_rows(teacher, output, first, first + len(clips))
            for output in OUTPUTS
        }
        for clip in clips:
            if clip.row in whole:
                for output, values in rows.items():
                    real = np.asarray(values[clip.row - first][: clip.num_steps], np.float32)
                    parts[clip.recording_id][output].append(real)
    return _join_parts(parts)


def read_npy_answers(out: Path, work: Work) -> Answers:
    """What the loop of one file a key wrote."""
    return {
        each.recording_id: {
            output: np.load(npy_path(out, each, output), allow_pickle=False).astype(np.float32)
            for output in OUTPUTS
        }
        for each in work.recordings
        if npy_path(out, each, OUTPUTS[-1]).exists()
    }


def read_tar_answers(out: Path) -> Answers:
    """What the loop of tars wrote."""
    answers: dict[str, dict[str, Values]] = {}
    for path in sorted(out.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                name, _, rest = member.name.partition(".")
                output = rest.removesuffix(".npy")
                file = tar.extractfile(member)
                if output in OUTPUTS and file is not None:
                    values = np.load(io.BytesIO(file.read()), allow_pickle=False)
                    answers.setdefault(name, {})[output] = values.astype(np.float32)
    return answers


def _join_parts(parts: Mapping[str, Mapping[str, list[Values]]]) -> Answers:
    return {
        name: {output: np.concatenate(arrays) for output, arrays in outputs.items()}
        for name, outputs in parts.items()
        if all(outputs.values())
    }


def _find_problem(found: Answers, reference: Answers) -> str:
    missing = sorted(reference.keys() - found.keys())
    if missing:
        return f"{len(missing)} recordings are missing, the first {missing[0]}"
    for name, outputs in reference.items():
        for output, values in outputs.items():
            there = found[name][output]
            if there.shape != values.shape:
                return f"{name}: {output} is {there.shape} instead of {values.shape}"
            if not np.isfinite(there).all():
                return f"{name}: {output} is not finite"
    return ""
