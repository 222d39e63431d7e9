"""What stores and runs on disk can tell of themselves."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from avkd.errors import StoreNotFoundError
from avkd.pipeline.report.content import (
    ConfusionMatrix,
    LossCurve,
    OutputFact,
    ProbeResult,
    StoreFacts,
)
from avkd.storage.schema import DATA_STATUSES
from avkd.storage.store import Store
from avkd.storage.summary import ProducerSummary

RUN_FILE, METRICS_FILE, EVALUATIONS = "recipe.json", "metrics.jsonl", "evaluation-*.json"
BOXES, CLASS_MAPS = "boxes", "class_maps"


@dataclass(frozen=True, kw_only=True)
class FailedClip:
    """A clip that a producer does not hold as it should."""

    recording_id: str
    start_seconds: float
    producer: str
    status: str
    reason: str


def list_failures(store: Store, limit: int | None = None) -> tuple[FailedClip, ...]:
    """Give the rows that are not ok, of the attempt at each clip that counts.

    Args:
        store: to look at.
        limit: give so many of the first; None gives all.
    """
    return tuple(islice(_iterate_failures(store), limit))


def _iterate_failures(store: Store) -> Iterator[FailedClip]:
    for name in store.producers():
        superseded = store.superseded_rows(name)
        for commit in store.commits(name):
            rows = sorted(commit.failures.keys() - superseded)
            if not rows:
                continue
            clips = {clip.row: clip for clip in store.read_clips(commit.shard)}
            for row in rows:
                status, reason = commit.failures[row]
                yield FailedClip(
                    recording_id=clips[row].recording_id,
                    start_seconds=clips[row].start_seconds,
                    producer=name,
                    status=status,
                    reason=reason,
                )


def read_store_facts(store: Store, num_failures: int = 30) -> StoreFacts:
    """Count what a store holds, and name its first failures."""
    summary = store.summary()
    kinds = {"teacher": summary.teachers, "input": summary.inputs}
    return StoreFacts(
        num_recordings=summary.num_recordings,
        num_clips=summary.num_clips,
        num_shards=summary.num_shards,
        statuses=summary.status,
        outputs=tuple(
            fact
            for kind, producers in kinds.items()
            for producer in producers
            for fact in _describe_outputs(kind, producer)
        ),
        content_digest=summary.content_digest,
        failures=tuple(
            (clip.recording_id, f"{clip.status} ({clip.producer})", clip.reason)
            for clip in list_failures(store, num_failures)
        ),
    )


def _describe_outputs(kind: str, producer: ProducerSummary) -> Iterator[OutputFact]:
    for output in producer.outputs:
        yield OutputFact(
            producer=producer.name,
            kind=kind,
            output=output.name,
            shape=output.shape,
            dtype=output.dtype,
            num_rows=sum(producer.status.get(status, 0) for status in DATA_STATUSES),
            num_bytes=output.num_bytes,
            fingerprint=producer.fingerprint,
        )


def read_loss_curve(run: str, name: str = "") -> LossCurve | None:
    """Read the losses of a run's log, or None where nothing was trained yet.

    Raises:
        StoreNotFoundError: there is no run.
    """
    file = _run_folder(run) / METRICS_FILE
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    records = [json.loads(line) for line in lines if line.endswith("}")]
    records = [record for record in records if "loss" in record]
    if not records:
        return None
    return LossCurve(
        name=name or Path(run).name,
        updates=tuple(float(record["update"]) for record in records),
        losses=tuple(float(record["loss"]) for record in records),
    )


def read_evaluations(run: str) -> tuple[dict[str, Any], ...]:
    """Read the probes that ``avkd evaluate`` left in a run, by name of the dataset.

    Raises:
        StoreNotFoundError: there is no run.
    """
    return tuple(one for one in _read_all(run) if "dataset" in one)


def read_row_reports(run: str) -> tuple[dict[str, Any], ...]:
    """Read what ``avkd evaluate`` said of a run's labels and trials on the rows of stores.

    Raises:
        StoreNotFoundError: there is no run.
    """
    reports = (one for one in _read_all(run) if "dataset" not in one)
    return tuple(one for one in reports if one.get("kind") not in (BOXES, CLASS_MAPS))


def read_class_map_reports(run: str) -> tuple[dict[str, Any], ...]:
    """Read what ``avkd evaluate`` said of a run's class maps.

    Raises:
        StoreNotFoundError: there is no run.
    """
    return tuple(one for one in _read_all(run) if one.get("kind") == CLASS_MAPS)


def read_box_reports(run: str) -> tuple[dict[str, Any], ...]:
    """Read what ``avkd evaluate`` said of a run's boxes.

    Raises:
        StoreNotFoundError: there is no run.
    """
    return tuple(one for one in _read_all(run) if one.get("kind") == BOXES)


def _read_all(run: str) -> list[dict[str, Any]]:
    files = sorted(_run_folder(run).glob(EVALUATIONS))
    return [json.loads(file.read_text("utf-8")) for file in files]


def gather_probes(evaluations: Sequence[dict[str, Any]]) -> tuple[ProbeResult, ...]:
    """Combine evaluations of one dataset: every score of the same features, layer and labels."""
    values: dict[tuple[str, int], list[float]] = {}
    layers = {
        score["layer"]
        for evaluation in evaluations
        for score in evaluation["scores"]
        if score["features"] == "distilled"
    }
    for evaluation in evaluations:
        for score in evaluation["scores"]:
            is_probe = score["layer"] in layers and len(layers) > 1
            name = f"{score['features']} {score['layer']}" if is_probe else score["features"]
            key = (name, score["labels_per_class"])
            values.setdefault(key, []).extend(score["accuracies"])
    return tuple(
        ProbeResult(name=name, labels_per_class=labels, accuracies=tuple(accuracies))
        for (name, labels), accuracies in values.items()
    )


def read_confusion(evaluation: dict[str, Any], features: str = "distilled") -> ConfusionMatrix:
    """Take the confusion matrix of some features with the most labels that were given."""
    scores = [score for score in evaluation["scores"] if score["features"] == features]
    score = max(scores, key=lambda one: (one["labels_per_class"] == 0, one["labels_per_class"]))
    return ConfusionMatrix(
        class_names=tuple(evaluation["class_names"]),
        counts=np.array(score["confusion"], np.int64),
        of=f"The {features} features of layer {score['layer']}, linear probe, on "
        f"{evaluation['dataset']}.",
    )


def _run_folder(run: str) -> Path:
    folder = Path(run)
    if not (folder / RUN_FILE).exists():
        raise StoreNotFoundError(f"no run at {run}; make one with avkd train-student")
    return folder
