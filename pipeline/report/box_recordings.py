"""Reads what an evaluation left to be drawn: boxes of every step, and where the pictures lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from avkd.pipeline.evaluation.box_files import boxes_file, read_box_frames
from avkd.pipeline.evaluation.box_reference import ClassRule, TruthReference
from avkd.pipeline.evaluation.box_said import clip_instants, require_policy
from avkd.pipeline.evaluation.box_truth import read_truth
from avkd.pipeline.report.box_runs import Report
from avkd.pipeline.report.numbers import counted
from avkd.pipeline.report.shown import ShownRecording, ShownRun, ShownStep
from avkd.pipeline.run_dir import RunDir
from avkd.pipeline.training.examples import find_examples
from avkd.stages.metrics.boxes import FrameBoxes
from avkd.storage import objects
from avkd.storage.schema import ClipRow
from avkd.storage.store import Store

PICTURES = "rgb"
"""The column of the corpus whose pictures are shown, whatever the teacher saw."""
SOUND = "audio"
LIGHT = "light"
ALL_CLASSES = ClassRule(names=("",), is_merged=True)


@dataclass(frozen=True, kw_only=True)
class _Boxes:
    """All boxes of one file, by recording and step."""

    frames: Mapping[str, Mapping[int, FrameBoxes]]
    min_score: float

    def at(self, recording_id: str, seconds: float) -> FrameBoxes:
        found = self.frames.get(recording_id, {}).get(_microsecond(seconds))
        if found is None:
            return _nothing(seconds)
        return found.take(found.scores >= self.min_score)


@dataclass(frozen=True, kw_only=True)
class _Sources:
    store: Store
    report: Report
    said: _Boxes
    teachers: tuple[_Boxes, ...]
    truth: TruthReference | None

    @cached_property
    def step_seconds(self) -> float:
        return require_policy(self.store).step_seconds

    def steps(self, clips: Sequence[ClipRow]) -> tuple[ShownStep, ...]:
        """The steps of one recording."""
        name, policy = clips[0].recording_id, require_policy(self.store)
        instants = sorted(t for clip in clips for t in clip_instants(clip, policy).tolist())
        true = [None] * len(instants) if self.truth is None else self.truth.at(name, instants)
        return tuple(
            ShownStep(
                time_seconds=seconds,
                said=self.said.at(name, seconds),
                truth=frame.boxes if frame else None,
                teachers=tuple(each.at(name, seconds) for each in self.teachers),
            )
            for seconds, frame in zip(instants, true, strict=True)
        )


def read_shown(store: Store, report: Report, truth: str | None) -> ShownRun:
    """Read what can be drawn of an evaluation; the student is not run again.

    ``truth`` None is the table that the evaluation names, where it is still there.

    Raises:
        CorpusError: ``truth`` is no table of boxes.
        CorruptStoreError: The evaluation's boxes are missing or damaged.
    """
    notes: list[str] = []
    table = _choose_truth(report, truth, notes)
    run, min_score = Path(report["run"]), float(report["min_score"])
    learned_from = find_learned_score(run, min_score)
    teachers = tuple(str(scores["name"]) for scores in report["scores"][1:])
    sources = _Sources(
        store=store,
        report=report,
        said=_read_boxes(boxes_file(run, report["name"]), min_score),
        teachers=tuple(
            _read_boxes(boxes_file(run, report["name"], name), learned_from) for name in teachers
        ),
        truth=_read_truth(store, report, table) if table else None,
    )
    clips = _read_clips(store, report["split"])
    column = _choose_column(report, clips)
    return ShownRun(
        run=report["run"],
        split=report["split"],
        column=column,
        teachers=teachers,
        teacher_min_score=learned_from,
        truth=table,
        step_seconds=sources.step_seconds,
        recordings=_show(sources, clips, column, notes),
        notes=tuple(notes),
    )


def find_learned_score(run: Path, min_score: float) -> float:
    """From which score on teachers' boxes were learned from, and never below ``min_score``."""
    learned = RunDir(path=run).read_recipe().method.options.get("min_score")
    return max(min_score, learned) if isinstance(learned, int | float) else min_score


def _show(
    sources: _Sources, clips: Mapping[str, Sequence[ClipRow]], column: str, notes: list[str]
) -> tuple[ShownRecording, ...]:
    """Recordings by id, without those whose files are gone."""
    shown, without, gone = [], [], []
    for name, own in sorted(clips.items()):
        streams = own[0].streams
        pictures = streams.get(PICTURES, "")
        sound = streams.get(SOUND, pictures)
        if not pictures:
            without.append(name)
        elif not all(objects.exists(uri) for uri in {pictures, sound}):
            gone.append(name)
        else:
            shown.append(
                ShownRecording(
                    recording_id=name,
                    group=str(own[0].metadata.get(column, "")),
                    pictures=pictures,
                    sound=sound,
                    steps=sources.steps(own),
                )
            )
    for names, why in ((without, f"have no {PICTURES}"), (gone, "lie no longer where they did")):
        if names:
            total = counted(len(clips), "recording")
            notes.append(f"{len(names)} of {total} {why} and cannot be shown, such as {names[0]}")
    return tuple(shown)


def _choose_truth(report: Report, truth: str | None, notes: list[str]) -> str:
    if truth is not None:
        return truth
    if report["reference"] != "truth":
        return ""
    table = str(report["against"])
    if objects.exists(table):
        return table
    notes.append(f"the truth {table} is no longer there; give it with --truth to have it drawn")
    return ""


def _read_truth(store: Store, report: Report, table: str) -> TruthReference:
    return TruthReference(
        table=read_truth(table),
        rule=ALL_CLASSES,
        step_seconds=require_policy(store).step_seconds,
        min_visible=float(report["min_visible"] or 0.0),
    )


def _choose_column(report: Report, clips: Mapping[str, Sequence[ClipRow]]) -> str:
    """Light where the corpus knows it, else what was evaluated by."""
    if any(LIGHT in each[0].metadata for each in clips.values()):
        return LIGHT
    groups = [str(group["group"]) for group in report["scores"][0]["groups"]]
    return next((name.partition("=")[0] for name in groups if "=" in name), "")


def _read_clips(store: Store, split: str) -> dict[str, list[ClipRow]]:
    """By recording: the clips that have all of the stored inputs, as evaluation took them."""
    inputs = [name for name, spec in store.producers().items() if spec.kind == "input"]
    rows = set(find_examples(store, inputs, split or None).clip_rows.tolist())
    found: dict[str, list[ClipRow]] = {}
    for shard in sorted({row // store.rows_per_shard for row in rows}):
        for clip in store.read_clips(shard):
            if clip.row in rows:
                found.setdefault(clip.recording_id, []).append(clip)
    return found


def _read_boxes(file: Path, min_score: float) -> _Boxes:
    return _Boxes(
        frames={
            name: {_microsecond(frame.time_seconds): frame for frame in frames}
            for name, frames in read_box_frames(file).items()
        },
        min_score=min_score,
    )


def _microsecond(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _nothing(seconds: float) -> FrameBoxes:
    return FrameBoxes(
        time_seconds=seconds,
        boxes=np.empty((0, 4), np.float32),
        scores=np.empty(0, np.float32),
        classes=np.empty(0, np.int32),
    )
