import json

import pytest

from avkd.errors import StoreNotFoundError
from avkd.pipeline.report.facts import (
    gather_probes,
    list_failures,
    read_confusion,
    read_evaluations,
    read_loss_curve,
    read_store_facts,
)


def score(features, layer, accuracies, labels_per_class=0):
    return {
        "features": features,
        "layer": layer,
        "labels_per_class": labels_per_class,
        "accuracies": accuracies,
        "confusion": [[labels_per_class, 1], [2, 3]],
    }


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "seed-0"
    folder.mkdir()
    (folder / "recipe.json").write_text("{}")
    return folder


def test_a_failed_clip_is_named_with_its_place_and_reason(store):
    failed = list_failures(store, 10)
    assert {clip.producer for clip in failed} == {"seer", "sparse"}
    assert {(clip.recording_id, clip.start_seconds) for clip in failed} == {("m3.mp4", 0.0)}
    assert failed[0].status == "decode_error"
    assert failed[0].reason == "moov atom not found"


def test_no_more_failures_than_asked_for(store):
    assert len(list_failures(store, 1)) == 1


def test_a_store_is_counted(store):
    facts = read_store_facts(store)
    assert (facts.num_recordings, facts.num_clips, facts.num_shards) == (4, 8, 2)
    assert facts.statuses == {"ok": 7, "decode_error": 1}
    logits = next(output for output in facts.outputs if output.producer == "seer")
    assert (logits.kind, logits.shape, logits.num_rows) == ("teacher", (2, 5), 7)
    assert logits.num_bytes > 0
    assert facts.content_digest == store.content_digest()


def test_a_loss_curve_holds_updates_only(run):
    records = [
        {"update": 1, "loss": 3.0},
        {"update": 1, "validation_loss": 2.9},
        {"update": 2, "loss": 2.0},
    ]
    lines = [json.dumps(record) for record in records]
    (run / "metrics.jsonl").write_text("\n".join(lines) + '\n{"update": 3, "lo')
    curve = read_loss_curve(str(run))
    assert curve is not None
    assert (curve.name, curve.updates, curve.losses) == ("seed-0", (1.0, 2.0), (3.0, 2.0))


def test_a_run_that_learned_nothing_yet_has_no_curve(run):
    assert read_loss_curve(str(run)) is None


@pytest.mark.parametrize("read", [read_loss_curve, read_evaluations])
def test_a_missing_run_is_refused(tmp_path, read):
    with pytest.raises(StoreNotFoundError, match="none"):
        read(str(tmp_path / "none"))


def test_evaluations_are_read_by_name(run):
    for name in ("sounds", "esc10"):
        (run / f"evaluation-{name}.json").write_text(json.dumps({"dataset": name}))
    assert [one["dataset"] for one in read_evaluations(str(run))] == ["esc10", "sounds"]


def test_seeds_of_several_runs_become_one_probe():
    evaluations = [
        {"scores": [score("distilled", "conv4", [0.5]), score("mfcc", "mfcc", [0.2])]},
        {"scores": [score("distilled", "conv4", [0.7])]},
    ]
    probes = {probe.name: probe.accuracies for probe in gather_probes(evaluations)}
    assert probes == {"distilled": (0.5, 0.7), "mfcc": (0.2,)}


def test_several_layers_stay_apart():
    scores = [score("distilled", "conv4", [0.5]), score("distilled", "conv5", [0.6])]
    names = [probe.name for probe in gather_probes([{"scores": scores}])]
    assert names == ["distilled conv4", "distilled conv5"]


def test_the_confusion_is_that_with_all_labels():
    evaluation = {
        "dataset": "sounds",
        "class_names": ["a", "b"],
        "scores": [score("distilled", "conv4", [0.5], 5), score("distilled", "conv4", [0.5], 0)],
    }
    matrix = read_confusion(evaluation)
    assert matrix.counts.tolist() == [[0, 1], [2, 3]]
    assert "conv4" in matrix.of
