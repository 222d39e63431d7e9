"""Training a detector from a labelled corpus: truth and pictures to updates to a teacher."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch

from avkd.errors import InvalidValueError
from avkd.pipeline.detector_training.pictures import LabelledPictures, decode_pictures
from avkd.pipeline.detector_training.planning import PicturePlan, plan_pictures
from avkd.pipeline.detector_training.recipe import DetectorRecipe
from avkd.pipeline.detector_training.scoring import Scores, score_detector
from avkd.pipeline.detector_training.truth import Truth, read_labels
from avkd.pipeline.detector_training.updates import Learner
from avkd.pipeline.picture_training.folder import begin_run, finish_run, refuse_other_run
from avkd.pipeline.picture_training.pictures import split_pictures
from avkd.pipeline.picture_training.running import (
    OnProgress,
    TrainingReport,
    TrainingRequest,
    build_seeded,
    choose_recordings,
    find_device,
    stoppable,
    train_each,
)
from avkd.pipeline.picture_training.updates import Trained, run_updates
from avkd.pipeline.signals import watch_signals
from avkd.stages.teachers.detector_folder import DETECTOR_FOLDER, read_description
from avkd.stages.teachers.pyramid_detector import PyramidDetector, build_pyramid
from avkd.storage.corpus import read_corpus

DetectorRequest: TypeAlias = TrainingRequest[DetectorRecipe]
"""Its truth is a table of boxes (detector_training/truth.py)."""


@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """What a detector was trained on, and how well it does; in its folder as well."""

    num_recordings: int
    """That were learned from."""
    num_held_out_recordings: int
    num_without_truth: int
    """Recordings of the split that the truth has no row of."""
    num_without_stream: int
    """Recordings with truth that lack the stream."""
    num_pictures: int
    num_held_out_pictures: int
    num_pictures_without_row: int
    """Of those learned from: what shows nothing because the truth does not list it."""
    num_failed_pictures: int
    """That could not be decoded."""
    every: int
    """1, or every how manyth picture was taken for want of memory."""
    num_boxes: int
    """That were learned from, ignored ones not counted."""
    num_ignored_boxes: int
    kinds: dict[str, tuple[str, ...]]
    """By class, the kinds of the truth that it stands for."""
    num_updates: int
    loss: float | None
    """Of the last update."""
    scores: Scores
    """Of held-out recordings, by group; ``all`` is all of them."""


DetectorReport: TypeAlias = TrainingReport[TrainingFacts]


def train_detector(
    request: DetectorRequest, *, on_progress: OnProgress = lambda what, done, total, remark: None
) -> DetectorReport:
    """Train the recipe's detector, or go on where an earlier session stopped.

    On a CPU, a run that was interrupted ends with the same weights, bit for bit, as one that was
    not, if both had as many threads.

    Raises:
        InvalidValueError: Corpus, truth and recipe do not go together, or the folder holds another
            run.
        InterruptedRunError: A signal came; a checkpoint was written.
        TooManyFailuresError: Not one picture could be decoded.
    """
    started = time.monotonic()
    folder = Path(request.run)
    refuse_other_run(DETECTOR_FOLDER, folder, request.recipe)
    if DETECTOR_FOLDER.is_finished(folder):
        return _report_finished(request, started)
    with watch_signals() as stop:
        truth, plan = plan_training(request)
        tell = stoppable(stop, on_progress)
        pictures = decode_pictures(
            plan,
            request.recipe.data,
            on_picture=lambda done, total: tell("pictures", done, total, ""),
        )
        learned, held_out = _split(pictures, request.recipe.data.validation_fraction)
        content = digest_plan(plan)
        begin_run(DETECTOR_FOLDER, folder, request.recipe, content, truth="boxes")
        learner = _build_learner(request, truth, learned)
        trained = run_updates(
            learner,
            stop,
            lambda done, total, loss: on_progress("train", done, total, f"loss {loss:.4f}"),
        )
    scores = score_detector(learner.network, held_out, request.recipe.data, learner.device)
    facts = _gather_facts(truth, plan, learned, held_out, trained, scores)
    description = request.recipe.describe(truth.class_names, asdict(facts))
    finish_run(DETECTOR_FOLDER, folder, learner.network, description.to_json())
    return DetectorReport(
        run=request.run,
        stream=request.recipe.data.stream,
        class_names=truth.class_names,
        facts=facts,
        first_update=trained.first_update,
        seconds=time.monotonic() - started,
        was_finished=False,
    )


def train_detectors(
    request: DetectorRequest,
    seeds: Sequence[int],
    *,
    on_progress: OnProgress = lambda what, done, total, remark: None,
) -> tuple[DetectorReport, ...]:
    """Train with each seed, one after the other; several go to ``RUN/seed-N``.

    No seed is the recipe's own. Raises what ``train_detector`` raises.
    """
    return train_each(request, seeds, lambda each: train_detector(each, on_progress=on_progress))


def plan_training(request: DetectorRequest) -> tuple[Truth, PicturePlan]:
    """Read corpus and truth, and choose the pictures; nothing is decoded.

    Raises:
        InvalidValueError: They do not go together.
    """
    data = request.recipe.data
    everything = read_corpus(request.corpus)
    recordings = choose_recordings(request.corpus, everything, data.split)
    known = [each.recording_id for each in everything]
    truth = read_labels(request.truth, known, data.classes, data.min_visible)
    return truth, plan_pictures(recordings, truth, data)


def _split(
    pictures: LabelledPictures, fraction: float
) -> tuple[LabelledPictures, LabelledPictures]:
    """Pictures to learn from and those held out, by recording.

    Raises:
        InvalidValueError: There is no box to learn from.
    """
    learned, held_out = split_pictures(pictures, fraction)
    if not any((~each.is_ignored).any() for each in learned.truth):
        raise InvalidValueError(
            f"{len(learned)} pictures to learn from show nothing to find, {len(held_out)} are held "
            "out; give more recordings, or change data.min_visible or data.validation_fraction"
        )
    return learned, held_out


def _build_learner(request: DetectorRequest, truth: Truth, learned: LabelledPictures) -> Learner:
    recipe, device = request.recipe, find_device(request.device)
    network = build_first(recipe, truth.class_names).to(device)
    return Learner(
        recipe=recipe,
        network=network.to(memory_format=torch.channels_last),
        pictures=learned,
        folder=Path(request.run),
        device=device,
    )


def build_first(recipe: DetectorRecipe, class_names: tuple[str, ...]) -> PyramidDetector:
    """Build the network with the first weights of the recipe's seed."""
    return build_seeded(recipe.seed, lambda: build_pyramid(recipe.describe(class_names, {})))


def digest_plan(plan: PicturePlan) -> str:
    """Give the sha256 in hex of what is learned from: recordings, instants and boxes."""
    digest = hashlib.sha256()
    for each in plan.recordings:
        digest.update(f"{each.recording.recording_id}\n".encode())
        for picture in each.pictures:
            digest.update(f"{picture.time_seconds!r} {len(picture.boxes)}\n".encode())
            for array in (picture.boxes, picture.classes, picture.is_ignored):
                digest.update(array.tobytes())
    return digest.hexdigest()


def _gather_facts(
    truth: Truth,
    plan: PicturePlan,
    learned: LabelledPictures,
    held_out: LabelledPictures,
    trained: Trained,
    scores: Scores,
) -> TrainingFacts:
    is_ignored = np.concatenate([each.is_ignored for each in learned.truth])
    return TrainingFacts(
        num_recordings=learned.num_recordings,
        num_held_out_recordings=held_out.num_recordings,
        num_without_truth=plan.num_without_truth,
        num_without_stream=plan.num_without_stream,
        num_pictures=len(learned),
        num_held_out_pictures=len(held_out),
        num_pictures_without_row=sum(not each.has_row for each in learned.truth),
        num_failed_pictures=plan.num_pictures - len(learned) - len(held_out),
        every=plan.every,
        num_boxes=int((~is_ignored).sum()),
        num_ignored_boxes=int(is_ignored.sum()),
        kinds=dict(truth.kinds),
        num_updates=trained.num_updates,
        loss=trained.loss,
        scores=scores,
    )


def _report_finished(request: DetectorRequest, started: float) -> DetectorReport:
    from pydantic import TypeAdapter

    described = read_description(request.run)
    return DetectorReport(
        run=request.run,
        stream=described.stream,
        class_names=described.class_names,
        facts=TypeAdapter(TrainingFacts).validate_python(described.facts),
        first_update=0,
        seconds=time.monotonic() - started,
        was_finished=True,
    )
