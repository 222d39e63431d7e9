"""What can be measured on a bench: the distilled student and each control, as functions.

Scores called ``..._softmax`` are of a head trained on the labels; all others are of linear probes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy

import numpy as np

from avkd.errors import InvalidValueError
from avkd.pipeline.evaluation.bench import Bench
from avkd.pipeline.evaluation.controls import (
    build_fresh_encoder,
    build_random,
    predict_labels,
    train_classifier,
)
from avkd.pipeline.evaluation.features import Features, batches_of, calibrate_normalisation
from avkd.pipeline.evaluation.scores import (
    ProbeKind,
    ProbeScore,
    TrialResult,
    pooled_kind,
    run_probe,
)
from avkd.pipeline.evaluation.target_features import read_target_features
from avkd.pipeline.evaluation.trials import ALL_LABELS, Trial
from avkd.pipeline.training.learning_set import has_dense_logits
from avkd.pipeline.training.students import read_learning_shape
from avkd.stages.encoders.registry import Encoder
from avkd.stages.methods.student import Student
from avkd.stages.metrics.mfcc import mfcc_features
from avkd.storage.store import Store

DISTILLED = "distilled"


def _measure_distilled(bench: Bench) -> Iterator[ProbeScore]:
    for layer in bench.layers:
        features = bench.features(bench.student, layer)
        yield from _probe_fixed(bench, DISTILLED, layer, bench.kind, features)


def _measure_mfcc(bench: Bench) -> Iterator[ProbeScore]:
    rate = bench.student.encoder.sample_rate
    features = np.concatenate(
        [mfcc_features(batch, rate).numpy() for batch in batches_of(bench.waveforms)]
    )
    yield from _probe_fixed(bench, "mfcc", "mfcc", pooled_kind(), features)


def _measure_teacher(bench: Bench) -> Iterator[ProbeScore]:
    """What the targets themselves tell: the dataset's recordings must be in the run's store."""
    origin = bench.run.read_origin()
    store = Store.open(origin["store"])
    specs = store.producers()
    dense = [name for name in origin["teachers"] if has_dense_logits(specs[name])]
    if not dense:
        raise InvalidValueError(
            f"no teacher of {store.url} stored dense logits; leave out the teacher control"
        )
    uris = [clip.path for clip in bench.dataset.clips]
    features = read_target_features(store, uris, dense)
    yield from _probe_fixed(bench, "teacher", "logits", pooled_kind(), features)


def _measure_random(bench: Bench) -> Iterator[ProbeScore]:
    targets = read_learning_shape(bench.run)
    students = [build_random(bench.recipe, targets, seed) for seed in bench.seeds]
    # Without labels: the sounds of all clips, as the student saw those of all recordings.
    students = [calibrate_normalisation(s, bench.waveforms, bench.device) for s in students]
    for layer in bench.layers:
        features = [bench.features(student, layer) for student in students]
        for per_class in bench.labels_per_class:
            results = [
                [run_probe(bench.kind, each, bench.dataset.labels, trial) for trial in trials]
                for each, trials in zip(features, _trials_by_seed(bench, per_class), strict=True)
            ]
            yield bench.summarise("random", layer, per_class, results)


def _measure_scratch(bench: Bench) -> Iterator[ProbeScore]:
    for per_class in bench.labels_per_class:
        probed: dict[str, list[list[TrialResult]]] = {layer: [] for layer in bench.layers}
        softmax: list[list[TrialResult]] = []
        for seed, trials in zip(bench.seeds, _trials_by_seed(bench, per_class), strict=True):
            students = [
                _train_on_labels(bench, trial, seed, build_fresh_encoder(bench.recipe, seed))
                for trial in trials
            ]
            softmax.append(_predict_all(bench, trials, students))
            for layer, results in probed.items():
                results.append(_probe_all(bench, layer, trials, students))
        for layer, results in probed.items():
            yield bench.summarise("scratch", layer, per_class, results)
        yield bench.summarise("scratch_softmax", "labels", per_class, softmax)


def _measure_fine_tuned(bench: Bench) -> Iterator[ProbeScore]:
    for per_class in bench.labels_per_class:
        results = []
        for seed, trials in zip(bench.seeds, _trials_by_seed(bench, per_class), strict=True):
            students = [
                _train_on_labels(bench, trial, seed, deepcopy(bench.student.encoder))
                for trial in trials
            ]
            results.append(_predict_all(bench, trials, students))
        yield bench.summarise("fine_tuned_softmax", "labels", per_class, results)


def _probe_fixed(
    bench: Bench, name: str, layer: str, kind: ProbeKind, features: Features
) -> Iterator[ProbeScore]:
    """Features that no seed changes: with all labels, one seed says it all."""
    for per_class in bench.labels_per_class:
        by_seed = _trials_by_seed(bench, per_class)
        if per_class == ALL_LABELS:
            by_seed = by_seed[:1]
        results = [
            [run_probe(kind, features, bench.dataset.labels, trial) for trial in trials]
            for trials in by_seed
        ]
        yield bench.summarise(name, layer, per_class, results)


def _trials_by_seed(bench: Bench, per_class: int) -> list[list[Trial]]:
    return [bench.labelled(per_class, seed) for seed in bench.seeds]


def _train_on_labels(bench: Bench, trial: Trial, seed: int, encoder: Encoder) -> Student:
    return train_classifier(
        encoder,
        bench.waveforms[trial.train],
        bench.dataset.labels[trial.train],
        len(bench.dataset.class_names),
        bench.recipe.evaluation,
        seed=seed,
        device=bench.device,
    )


def _predict_all(
    bench: Bench, trials: Sequence[Trial], students: Sequence[Student]
) -> list[TrialResult]:
    return [
        TrialResult(
            trial=trial,
            predictions=predict_labels(student, bench.waveforms[trial.test], bench.device),
        )
        for trial, student in zip(trials, students, strict=True)
    ]


def _probe_all(
    bench: Bench, layer: str, trials: Sequence[Trial], students: Sequence[Student]
) -> list[TrialResult]:
    return [
        run_probe(bench.kind, bench.features(student, layer), bench.dataset.labels, trial)
        for trial, student in zip(trials, students, strict=True)
    ]


MEASURES: Mapping[str, Callable[[Bench], Iterator[ProbeScore]]] = {
    DISTILLED: _measure_distilled,
    "random": _measure_random,
    "scratch": _measure_scratch,
    "teacher": _measure_teacher,
    "mfcc": _measure_mfcc,
    "fine_tuned": _measure_fine_tuned,
}
