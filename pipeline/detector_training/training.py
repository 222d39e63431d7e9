"""Training a detector from a labelled corpus: truth and pictures to updates to a teacher."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch

from avkd.errors import InterruptedRunError, InvalidValueError
from avkd.pipeline.detector_training.folder import (
    begin_run,
    finish_run,
    is_finished,
    refuse_other_run,
)
from avkd.pipeline.detector_training.pictures import LabelledPictures, decode_pictures
from avkd.pipeline.detector_training.planning import (
    PicturePlan,
    choose_recordings,
    plan_pictures,
)
from avkd.pipeline.detector_training.recipe import DetectorRecipe
from avkd.pipeline.detector_training.scoring import Scores, score_detector
from avkd.pipeline.detector_training.truth import Truth, read_labels
from avkd.pipeline.detector_training.updates import Learner, Trained, run_updates
from avkd.pipeline.signals import StopRequest, watch_signals
from avkd.pipeline.training.examples import is_held_out
from avkd.stages.teachers.detector_folder import read_description
from avkd.stages.teachers.pyramid_detector import PyramidDetector, build_pyramid
from avkd.storage.corpus import read_corpus

Device: TypeAlias = Literal["auto", "cpu"]
OnProgress: TypeAlias = Callable[[str, int, int, str], None]
"""Told what is done, how much of it, of how much, and a remark."""


@dataclass(frozen=True, kw_only=True)
class DetectorRequest:
    """One training; equal requests are the same run."""

    corpus: str
    """Folder, glob, table or URL (storage/corpus.py)."""
    truth: str
    """Table of boxes (detector_training/truth.py)."""
    run: str
    """Folder, new or to go on with."""
    recipe: DetectorRecipe
    device: Device = "auto"


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


@dataclass(frozen=True, kw_only=True)
class DetectorReport:
    """What a training did."""

    run: str
    stream: str
    class_names: tuple[str, ...]
    facts: TrainingFacts
    first_update: int
    """Where this session began: above 0 when it went on from a checkpoint."""
    seconds: float
    was_finished: bool
    """The run was finished before; nothing was done."""


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
    refuse_other_run(folder, request.recipe)
    if is_finished(folder):
        return _report_finished(request, started)
    with watch_signals() as stop:
        truth, plan = plan_training(request)
        tell = _stoppable(stop, on_progress)
        pictures = decode_pictures(
            plan,
            request.recipe.data,
            on_picture=lambda done, total: tell("pictures", done, total, ""),
        )
        learned, held_out = _split(pictures, request.recipe.data.validation_fraction)
        begin_run(folder, request.recipe, plan)
        learner = _build_learner(request, truth, learned)
        trained = run_updates(
            learner,
            stop,
            lambda done, total, loss: on_progress("train", done, total, f"loss {loss:.4f}"),
        )
    scores = score_detector(learner.network, held_out, request.recipe.data, learner.device)
    facts = _gather_facts(truth, plan, learned, held_out, trained, scores)
    description = request.recipe.describe(truth.class_names, asdict(facts))
    finish_run(folder, learner.network, description)
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
    chosen = tuple(dict.fromkeys(seeds)) or (request.recipe.seed,)
    return tuple(
        train_detector(
            replace(
                request,
                run=request.run if len(chosen) == 1 else f"{request.run}/seed-{seed}",
                recipe=replace(request.recipe, seed=seed),
            ),
            on_progress=on_progress,
        )
        for seed in chosen
    )


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


def _stoppable(stop: StopRequest, on_progress: OnProgress) -> OnProgress:
    """End the run where it has nothing to keep yet."""

    def tell(what: str, done: int, total: int, remark: str) -> None:
        on_progress(what, done, total, remark)
        if stop.received:
            raise InterruptedRunError(
                f"stopped by a signal at picture {done} of {total}; the same command begins again"
            )

    return tell


def _split(
    pictures: LabelledPictures, fraction: float
) -> tuple[LabelledPictures, LabelledPictures]:
    """Pictures to learn from and those held out, by recording.

    Raises:
        InvalidValueError: There is no box to learn from.
    """
    is_out = np.array([is_held_out(r.recording_id, fraction) for r in pictures.recordings], bool)
    learned, held_out = pictures.take(~is_out), pictures.take(is_out)
    if not any((~each.is_ignored).any() for each in learned.truth):
        raise InvalidValueError(
            f"{len(learned)} pictures to learn from show nothing to find, {len(held_out)} are held "
            "out; give more recordings, or change data.min_visible or data.validation_fraction"
        )
    return learned, held_out


def _build_learner(request: DetectorRequest, truth: Truth, learned: LabelledPictures) -> Learner:
    recipe = request.recipe
    has_cuda = request.device == "auto" and torch.cuda.is_available()
    device = torch.device("cuda" if has_cuda else "cpu")
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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return build_pyramid(recipe.describe(class_names, {}))


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
        num_recordings=_count_recordings(learned),
        num_held_out_recordings=_count_recordings(held_out),
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


def _count_recordings(pictures: LabelledPictures) -> int:
    return len({each.recording_id for each in pictures.recordings})


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
