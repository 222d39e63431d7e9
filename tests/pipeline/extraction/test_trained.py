import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from avkd.errors import CorruptStoreError, InvalidValueError, StoreNotFoundError
from avkd.pipeline.extraction.producers import (
    describe_frames,
    describe_waveform,
    frames_of_size,
)
from avkd.pipeline.extraction.trained import (
    TrainedRun,
    build_fingerprint,
    describe_trained,
    find_sources,
    is_trained,
    order_by_inputs,
    read_run,
)
from avkd.pipeline.run_dir import RunDir
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import ClipPolicy, WaveformFormat
from avkd.storage.digest import fingerprint_digest
from avkd.storage.schema import OutputSpec, ProducerSpec
from avkd.storage.store import Store

Extract = Callable[..., Any]
SaveRun = Callable[..., str]
ALPHA = {"streams": ("pose",), "hidden_size": 4}
LEARNED = {
    "waveform": {"shape": [1, 44_100], "sample_rate": 22_050},
    "frames": {"shape": [2, 12, 16, 3], "sample_rate": 0},
    "pose": {"shape": [2], "sample_rate": 0},
    "seer": {"shape": [2, 5], "sample_rate": 0},
}


def looking_at(*streams: str, name: str = "judge") -> TrainedRun:
    return TrainedRun(
        request=TeacherRequest(name=name, family=f"runs/{name}"),
        description={"streams": list(streams), "inputs": LEARNED},
    )


def producer(kind: Any, name: str, shape: tuple[int, ...], axes: tuple[str, ...]) -> ProducerSpec:
    output = "embedding" if kind == "teacher" else name
    spec = OutputSpec(name=output, shape=shape, dtype="float16", axes=axes)
    return ProducerSpec(kind=kind, name=name, outputs=(spec,), fingerprint={"name": name})


def test_runs_come_after_those_they_look_at() -> None:
    last, middle = looking_at("middle", "pose", name="last"), looking_at("first", name="middle")
    first = looking_at("pose", name="first")
    ordered = order_by_inputs([last, middle, first])
    assert [run.name for run in ordered] == ["first", "middle", "last"]


@pytest.mark.parametrize(
    "circle",
    [[looking_at("a", name="a")], [looking_at("b", name="a"), looking_at("a", name="b")]],
)
def test_runs_that_look_at_each_other_are_refused(circle: list[TrainedRun]) -> None:
    with pytest.raises(InvalidValueError, match="look at each other; give one another name"):
        order_by_inputs(circle)


@pytest.mark.parametrize(
    ("stream", "option"),
    [
        ("waveform", "--inputs waveform --sample-rate 22050"),
        ("frames", "--frames 16x12"),
        ("pose", "--vector pose, or --teacher pose=FAMILY if it is a teacher"),
        ("seer", "--teacher seer=FAMILY"),
    ],
)
def test_a_missing_input_is_told_with_the_option_that_makes_it(stream: str, option: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        find_sources(looking_at(stream), {})
    message = str(caught.value)
    assert message.startswith(f"teacher 'judge' looks at {stream!r}, which the store does not hold")
    assert message.endswith(option)
    assert "\n" not in message


def test_inputs_may_be_longer_than_those_that_were_learned_from() -> None:
    producers = {
        "waveform": describe_waveform(WaveformFormat(), ClipPolicy()),
        "frames": producer("input", "frames", (9, 12, 16, 3), ("step", "height", "width", "c")),
        "seer": producer("teacher", "seer", (9, 5), ("step", "feature")),
    }
    sources = find_sources(looking_at("waveform", "frames", "seer"), producers)
    assert [source.output.name for source in sources.values()] == [
        "waveform",
        "frames",
        "embedding",
    ]


@pytest.mark.parametrize(
    ("stream", "other"),
    [
        ("waveform", describe_waveform(WaveformFormat(sample_rate=8_000), ClipPolicy())),
        ("frames", producer("input", "frames", (2, 12, 12, 3), ("step", "h", "w", "c"))),
        ("frames", describe_frames(frames_of_size(16, 12), ClipPolicy(frames_per_step=2))),
        ("pose", producer("input", "pose", (3,), ("feature",))),
        ("seer", producer("teacher", "seer", (5,), ("feature",))),
    ],
)
def test_inputs_of_another_form_are_refused(stream: str, other: ProducerSpec) -> None:
    with pytest.raises(InvalidValueError, match=f"'judge' learned from '{stream}' of shape"):
        find_sources(looking_at(stream), {stream: other})


def test_the_fingerprint_of_a_run_of_before_is_what_it_was() -> None:
    """Its classes lay beside the targets; what a store holds of it must not be refused."""
    rest: dict[str, Any] = {"inputs": {}, "targets": {}, "labels": {}}
    for more in ({}, {"class_names": {"seer": ["a", "b"]}}):
        description = {**rest, **more}
        run = replace(
            looking_at(), description={**description, "encoder": {}, "method": {}, "more": 1}
        )
        fingerprint = build_fingerprint(run, {}, 0, weights_sha256="ab")
        assert fingerprint["description_sha256"] == fingerprint_digest(description)


def test_a_teacher_without_embeddings_cannot_be_looked_at() -> None:
    logits = OutputSpec(name="logits", shape=(2, 5), dtype="float16", axes=("step", "class"))
    blind = ProducerSpec(kind="teacher", name="seer", outputs=(logits,), fingerprint={})
    with pytest.raises(InvalidValueError, match="the embedding of 'seer', which stores none"):
        find_sources(looking_at("seer"), {"seer": blind})


def test_a_finished_run_is_a_teacher_and_other_names_are_none(
    base_store: Store, save_run: SaveRun
) -> None:
    run = save_run(base_store, "vectors", ALPHA)
    assert is_trained(TeacherRequest(name="t", family=run))
    assert not is_trained(TeacherRequest(name="t", family="efficientnet_lite0"))
    RunDir(path=Path(run)).student_file.unlink()
    with pytest.raises(StoreNotFoundError, match="is not finished"):
        is_trained(TeacherRequest(name="t", family=run))


def test_a_student_that_speaks_of_steps_is_no_teacher(base_store: Store, save_run: SaveRun) -> None:
    run = save_run(base_store, "vectors", ALPHA)
    file = RunDir(path=Path(run)).student_file
    description = json.loads(file.read_text())
    file.write_text(json.dumps({k: v for k, v in description.items() if k != "streams"}))
    with pytest.raises(InvalidValueError, match="speaks of steps, not of a clip"):
        read_run(TeacherRequest(name="t", family=run))
    file.write_text("{")
    with pytest.raises(CorruptStoreError, match=r"student\.json"):
        read_run(TeacherRequest(name="t", family=run))


def test_weights_and_classes_are_those_of_the_run() -> None:
    for given in ({"weights": "other.safetensors"}, {"classes": "names.txt"}):
        request = TeacherRequest(name="t", family="runs/t", **given)
        with pytest.raises(InvalidValueError, match="weights and classes of its own"):
            read_run(request)


def test_a_relearned_input_makes_another_teacher(base_store: Store, save_run: SaveRun) -> None:
    run = read_run(TeacherRequest(name="t", family=save_run(base_store, "vectors", ALPHA)))
    known = base_store.producers()
    pose = known["pose"]
    relearned = ProducerSpec(
        kind="input", name="pose", outputs=pose.outputs, fingerprint={"column": "pose", "of": 2}
    )
    one, two = (
        describe_trained(run, {**known, "pose": spec}, sparse_top_k=0) for spec in (pose, relearned)
    )
    assert one.outputs[0].shape == two.outputs[0].shape
    changed = {name for name in one.fingerprint if one.fingerprint[name] != two.fingerprint[name]}
    assert "inputs" in changed
    assert one.fingerprint["weights_sha256"] == two.fingerprint["weights_sha256"]


def test_new_rows_need_the_teachers_that_it_looks_at(
    store: Store, extract: Extract, save_run: SaveRun, movies: Path, tmp_path: Path
) -> None:
    run = save_run(store, "stored", {"stream": "bright"})
    extract(run)
    more = tmp_path / "more.jsonl"
    more.write_text(movies.read_text().replace('"recording_id": "', '"recording_id": "again_'))
    with pytest.raises(InvalidValueError, match="'bright', which lacks 3 of the shards") as caught:
        extract(run, corpus=str(more), teachers=())
    assert "--teacher bright=FAMILY" in str(caught.value)
    assert len(store.shards()) == 3
    assert extract(run, corpus=str(more)).status["judge"]["ok"] == 12


RUN_AGAIN = """
import sys
from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.request import ExtractRequest
from avkd.stages.teachers.request import TeacherRequest

corpus, store, run = sys.argv[1:]
teacher = TeacherRequest(name="judge", family=run, batch_size=2)
report = extract_teacher(ExtractRequest(corpus=corpus, store=store, teachers=(teacher,)))
assert report.num_shards_done == 0
assert report.status["judge"] == {"ok": 8}
assert "torch" not in sys.modules
"""


def test_nothing_to_do_imports_no_torch(
    store: Store, extract: Extract, save_run: SaveRun, movies: Path
) -> None:
    run = save_run(store, "vectors", ALPHA)
    extract(run)
    subprocess.run([sys.executable, "-c", RUN_AGAIN, str(movies), store.url, run], check=True)
