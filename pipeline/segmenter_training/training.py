"""Training a segmenter from a labelled corpus: class maps and pictures to updates to a teacher."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import torch

from avkd.errors import InvalidValueError
from avkd.pipeline.evaluation.class_truth import ClassTruth, read_class_truth
from avkd.pipeline.picture_training.folder import begin_run, finish_run, refuse_other_run
from avkd.pipeline.picture_training.kinds import Kinds, choose_kinds
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
from avkd.pipeline.segmenter_training.pictures import (
    MappedPictures,
    count_classes,
    decode_pictures,
    digest_pictures,
)
from avkd.pipeline.segmenter_training.planning import SegmenterPlan, plan_pictures
from avkd.pipeline.segmenter_training.recipe import SegmenterRecipe
from avkd.pipeline.segmenter_training.scoring import Scores, score_segmenter
from avkd.pipeline.segmenter_training.updates import Learner, weigh_classes
from avkd.pipeline.signals import watch_signals
from avkd.stages.teachers.segmenter import build_segmenter
from avkd.stages.teachers.segmenter_folder import SEGMENTER_FOLDER, read_segmenter
from avkd.storage.corpus import read_corpus

SegmenterRequest: TypeAlias = TrainingRequest[SegmenterRecipe]
"""Its truth is a table of class maps (evaluation/class_truth.py)."""


@dataclass(frozen=True, kw_only=True)
class SegmenterFacts:
    """What a segmenter was trained on, and how well it does; in its folder as well."""

    num_recordings: int
    """That were learned from."""
    num_held_out_recordings: int
    num_without_truth: int
    """Recordings of the split that the truth has no class maps of, or none that can be read."""
    num_without_stream: int
    """Recordings with class maps that lack the stream."""
    num_pictures: int
    num_held_out_pictures: int
    num_failed_pictures: int
    """That could not be decoded, or whose class map could not."""
    every: int
    """1, or every how manyth picture was taken for want of memory."""
    kinds: dict[str, tuple[str, ...]]
    """By class, the classes of the truth that it stands for."""
    shares: dict[str, float]
    """By class, its share of the pixels that were learned from and count."""
    num_updates: int
    loss: float | None
    """Of the last update."""
    scores: Scores
    """Of held-out recordings, by group; ``all`` is all of them."""


SegmenterReport: TypeAlias = TrainingReport[SegmenterFacts]


@dataclass(frozen=True, kw_only=True)
class _Labelled:
    """All that a training learns from, and is scored by."""

    plan: SegmenterPlan
    kinds: Kinds
    learned: MappedPictures
    held_out: MappedPictures
    content: str
    """Digest of both."""

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.kinds.by_class)


def train_segmenter(
    request: SegmenterRequest, *, on_progress: OnProgress = lambda what, done, total, remark: None
) -> SegmenterReport:
    """Train the recipe's segmenter, or go on where an earlier session stopped.

    On a CPU, a run that was interrupted ends with the same weights, bit for bit, as one that was
    not, if both had as many threads.

    Raises:
        InvalidValueError: Corpus, truth and recipe do not go together, or the folder holds another
            run.
        InterruptedRunError: A signal came; a checkpoint was written.
        TooManyFailuresError: Not one picture could be decoded.
    """
    started = time.monotonic()
    folder, recipe = Path(request.run), request.recipe
    refuse_other_run(SEGMENTER_FOLDER, folder, recipe)
    if SEGMENTER_FOLDER.is_finished(folder):
        return _report_finished(request, started)
    with watch_signals() as stop:
        labelled = _gather_labelled(request, stoppable(stop, on_progress))
        begin_run(SEGMENTER_FOLDER, folder, recipe, labelled.content, truth="class maps")
        learner = _build_learner(request, labelled)
        trained = run_updates(
            learner,
            stop,
            lambda done, total, loss: on_progress("train", done, total, f"loss {loss:.4f}"),
        )
    names = labelled.class_names
    scores = score_segmenter(learner.network, labelled.held_out, names, recipe.data, learner.device)
    facts = _gather_facts(labelled, trained, scores)
    description = recipe.describe(names, asdict(facts))
    finish_run(SEGMENTER_FOLDER, folder, learner.network, description.to_json())
    return SegmenterReport(
        run=request.run,
        stream=recipe.data.stream,
        class_names=names,
        facts=facts,
        first_update=trained.first_update,
        seconds=time.monotonic() - started,
        was_finished=False,
    )


def train_segmenters(
    request: SegmenterRequest,
    seeds: Sequence[int],
    *,
    on_progress: OnProgress = lambda what, done, total, remark: None,
) -> tuple[SegmenterReport, ...]:
    """Train with each seed, one after the other; several go to ``RUN/seed-N``.

    No seed is the recipe's own. Raises what ``train_segmenter`` raises.
    """
    return train_each(request, seeds, lambda each: train_segmenter(each, on_progress=on_progress))


def plan_training(request: SegmenterRequest) -> tuple[ClassTruth, Kinds, SegmenterPlan]:
    """Read corpus and truth, and choose classes and pictures; nothing is decoded.

    Raises:
        InvalidValueError: They do not go together.
    """
    data = request.recipe.data
    everything = read_corpus(request.corpus)
    recordings = choose_recordings(request.corpus, everything, data.split)
    truth = read_class_truth(request.truth, [each.recording_id for each in everything])
    names = truth.class_names
    kinds = choose_kinds(request.truth, names, names, data.classes or names)
    return truth, kinds, plan_pictures(recordings, truth, data)


def _gather_labelled(request: SegmenterRequest, tell: OnProgress) -> _Labelled:
    data = request.recipe.data
    truth, kinds, plan = plan_training(request)
    pictures = decode_pictures(
        plan,
        truth,
        kinds.class_of,
        data,
        on_picture=lambda done, total: tell("pictures", done, total, ""),
    )
    learned, held_out = split_pictures(pictures, data.validation_fraction)
    if not count_classes(learned, len(kinds.by_class)).any():
        raise InvalidValueError(
            f"{len(learned)} pictures to learn from have no pixel that counts, {len(held_out)} are "
            "held out; give more recordings, or change data.validation_fraction"
        )
    return _Labelled(
        plan=plan,
        kinds=kinds,
        learned=learned,
        held_out=held_out,
        content=digest_pictures(pictures, tuple(kinds.by_class)),
    )


def _build_learner(request: SegmenterRequest, labelled: _Labelled) -> Learner:
    recipe, device = request.recipe, find_device(request.device)
    names = labelled.class_names
    network = build_seeded(recipe.seed, lambda: build_segmenter(recipe.describe(names, {})))
    counts = count_classes(labelled.learned, len(names))
    return Learner(
        recipe=recipe,
        network=network.to(device).to(memory_format=torch.channels_last),
        pictures=labelled.learned,
        class_weights=weigh_classes(counts, recipe.data.balance),
        folder=Path(request.run),
        device=device,
    )


def _gather_facts(labelled: _Labelled, trained: Trained, scores: Scores) -> SegmenterFacts:
    plan, learned, held_out = labelled.plan, labelled.learned, labelled.held_out
    names = labelled.class_names
    counts = count_classes(learned, len(names))
    shares = (counts / counts.sum()).tolist()
    return SegmenterFacts(
        num_recordings=learned.num_recordings,
        num_held_out_recordings=held_out.num_recordings,
        num_without_truth=plan.num_without_truth,
        num_without_stream=plan.num_without_stream,
        num_pictures=len(learned),
        num_held_out_pictures=len(held_out),
        num_failed_pictures=plan.num_pictures - len(learned) - len(held_out),
        every=plan.every,
        kinds=dict(labelled.kinds.by_class),
        shares=dict(zip(names, shares, strict=True)),
        num_updates=trained.num_updates,
        loss=trained.loss,
        scores=scores,
    )


def _report_finished(request: SegmenterRequest, started: float) -> SegmenterReport:
    from pydantic import TypeAdapter

    described = read_segmenter(request.run)
    return SegmenterReport(
        run=request.run,
        stream=described.stream,
        class_names=described.class_names,
        facts=TypeAdapter(SegmenterFacts).validate_python(described.facts),
        first_update=0,
        seconds=time.monotonic() - started,
        was_finished=True,
    )
