"""Runs as teachers over what is stored, from the rows of inputs to those of targets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avkd.errors import FingerprintMismatchError
from avkd.pipeline.extraction import trained_network
from avkd.pipeline.extraction.trained_network import gather_predictions, load_trained
from avkd.pipeline.run_dir import RunDir
from avkd.pipeline.training.students import load_clip_student
from avkd.pipeline.training.tensor_files import read_tensors, write_tensors
from avkd.stages.teachers.request import TeacherRequest
from avkd.storage.schema import OutputSpec, ProducerSpec
from avkd.storage.store import Store
from avkd.storage.verify import verify_store

Extract = Callable[..., Any]
SaveRun = Callable[..., str]
SOUND = {"body_options": {"widths": (4, 8), "num_mels": 24}}
LATE = {
    "streams": {"waveform": "sound", "frames": "pictures", "pose": "vectors"},
    "kind": "late",
    "options": {
        "waveform.body_options.widths": (4, 8),
        "waveform.body_options.num_mels": 24,
        "frames.widths": (4, 8),
        "pose.hidden_size": 4,
    },
}
ALPHA = {"streams": ("pose",), "hidden_size": 4}


def failures_of(store: Store, name: str) -> dict[int, tuple[str, str]]:
    return {row: why for commit in store.commits(name) for row, why in commit.failures.items()}


def test_a_row_is_what_the_network_says_of_it_alone(
    store: Store, extract: Extract, save_run: SaveRun
) -> None:
    run = save_run(store, "vectors", ALPHA)
    report = extract(run)
    assert report.status["judge"] == {"ok": 8}
    student = load_clip_student(run).student
    pose = torch.from_numpy(store.read_rows("pose", "pose", 0, 8))
    with torch.inference_mode():
        expected = student({"pose": pose}, torch.ones(8, dtype=torch.int64))
    for name, said in (("logits", expected.logits), ("embedding", expected.embedding)):
        stored = store.read_rows("judge", name, 0, 8)
        assert stored.dtype == np.float32  # all it looks at is exact
        np.testing.assert_allclose(stored, said.numpy(), rtol=1e-5, atol=1e-6)
    assert verify_store(store.url) == ()


def test_its_outputs_are_one_a_clip_with_the_names_of_its_classes(
    store: Store, extract: Extract, save_run: SaveRun
) -> None:
    extract(save_run(store, "fusion", LATE, head="late"))
    outputs = {output.name: output for output in store.producers()["judge"].outputs}
    votes = ["logits_waveform", "logits_frames", "logits_pose"]
    assert list(outputs) == ["logits", "embedding", *votes]
    for name in ("logits", *votes):
        output = outputs[name]
        assert (output.shape, output.axes, output.dtype) == ((3,), ("class",), "float16")
        assert output.class_names == ("x", "y", "z")
        assert output.attributes == {"activation": "softmax"}
    assert (outputs["embedding"].shape, outputs["embedding"].axes) == ((8 + 8 + 4,), ("feature",))
    joint, *each = (store.read_rows("judge", name, 0, 3) for name in ("logits", *votes))
    np.testing.assert_allclose(joint, np.mean(each, axis=0), atol=2e-3)
    assert joint.any()


def test_a_row_that_lacks_an_input_fails_as_that_input_did(
    store: Store, extract: Extract, save_run: SaveRun
) -> None:
    report = extract(save_run(store, "fusion", LATE, head="late"))
    assert report.status["judge"] == {"ok": 5, "decode_error": 1, "no_audio": 1, "no_video": 1}
    failures = failures_of(store, "judge")
    reasons = dict(failures.values())
    assert reasons["no_audio"].startswith("waveform: ")
    assert reasons["no_video"].startswith("frames: ")
    logits = store.read_rows("judge", "logits", 0, 8)
    assert [row for row in range(8) if not logits[row].any()] == sorted(failures)


def test_a_row_that_is_partly_there_is_looked_at_and_stays_partial(
    store: Store, save_run: SaveRun
) -> None:
    output = OutputSpec(name="v", shape=(2,), dtype="float32", axes=("feature",))
    store.declare(ProducerSpec(kind="input", name="v", outputs=(output,), fingerprint={}))
    failures = {1: ("partial", "half"), 2: ("skipped", "none")}
    values = {"v": np.ones((3, 2), np.float32)}
    store.write_shard("v", 0, values, failures=failures, timings={})
    run = save_run(store, "vectors", {"streams": ("v",), "hidden_size": 4})
    request = TeacherRequest(name="judge", family=run, batch_size=2)
    teacher = load_trained(request, store.producers(), sparse_top_k=0)
    content = gather_predictions(teacher, store, 0, store.read_clips(0))
    assert content.failures == {1: ("partial", "v: half"), 2: ("skipped", "v: none")}
    logits = content.arrays["logits"]
    np.testing.assert_array_equal(logits[0], logits[1])
    assert logits[0].any()
    assert not logits[2].any()


def test_what_a_diverged_network_says_is_not_stored(
    store: Store, extract: Extract, save_run: SaveRun
) -> None:
    run = save_run(store, "vectors", ALPHA)
    file = RunDir(path=Path(run)).weights_file
    tensors = read_tensors(file)
    write_tensors(file, {name: tensor.fill_(torch.inf) for name, tensor in tensors.items()})
    assert extract(run).status["judge"] == {"not_finite": 8}
    assert not store.read_rows("judge", "logits", 0, 8).any()


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_other_clips_of_a_batch_do_not_matter(
    store: Store, extract: Extract, save_run: SaveRun, batch_size: int
) -> None:
    # A clip of one step among clips of two: without an input that has steps, the encoder
    # measures by the longest of a batch.
    run = save_run(store, "sound", SOUND, only=("waveform",))
    extract(f"judge={run}", batch_size=batch_size)
    student = load_clip_student(run).student
    (short,) = (
        clip
        for shard in store.shards()
        for clip in store.read_clips(shard)
        if clip.recording_id == "a.mp4" and clip.num_steps == 1
    )
    sound = store.read_rows("waveform", "waveform", short.row, short.row + 1)
    pair = torch.from_numpy(np.repeat(sound, 2, axis=0).astype(np.float32) / 32_768)
    with torch.inference_mode():
        expected = student({"waveform": pair}, torch.tensor([1, 2])).logits[0]
    stored = store.read_rows("judge", "logits", short.row, short.row + 1)[0]
    np.testing.assert_allclose(stored, expected.numpy(), atol=2e-3)


def test_several_classes_of_a_clip_are_sigmoids(
    store: Store, extract: Extract, save_run: SaveRun
) -> None:
    extract(save_run(store, "stored", {"stream": "bright"}, task="classes"))
    logits = store.producers()["judge"].outputs[0]
    assert logits.attributes == {"activation": "sigmoid"}


def test_the_largest_logits_of_a_clip_can_be_kept(
    store: Store, extract: Extract, save_run: SaveRun
) -> None:
    run = save_run(store, "vectors", ALPHA)
    extract(f"dense={run}", teachers=())
    extract(f"sparse={run}", teachers=(), sparse_top_k=2)
    again = extract(f"sparse={run}", teachers=())
    assert again.num_shards_done == 0
    rows = store.read_rows("sparse", "logits", 0, 8)
    dense = store.read_rows("dense", "logits", 0, 8)
    assert rows.ids.shape == (8, 2)
    np.testing.assert_array_equal(rows.ids[:, 0], dense.argmax(axis=1))


def test_whoever_computes_it_and_in_however_many_commands_the_store_is_the_same(
    extract: Extract, save_run: SaveRun, tmp_path: Path
) -> None:
    extract(store="apart", teachers=())
    apart = Store.open(str(tmp_path / "apart"))
    first = save_run(apart, "fusion", LATE, name="first", head="late")
    extract(first, store="apart", teachers=())
    second = save_run(apart, "stored", {"stream": "first"}, name="second")
    extract(second, store="apart", teachers=())
    for name in ("serial", "processes", "dask"):
        options = {"teachers": (), "executor": name, "num_workers": 2}
        report = extract(second, first, store=name, **options)
        assert report.num_shards_done == 3
        assert report.content_digest == apart.content_digest()


def test_a_teacher_may_look_at_another_trained_one(
    store: Store, extract: Extract, save_run: SaveRun
) -> None:
    first = save_run(store, "stored", {"stream": "bright", "hidden_size": 5}, name="first")
    extract(first)
    later = save_run(store, "stored", {"stream": "first"}, name="later")
    together = extract(later, first, store="together")
    assert (
        together.status["later"]
        == together.status["first"]
        == {
            "ok": 6,
            "decode_error": 1,
            "no_video": 1,
        }
    )
    assert extract(later, first).content_digest == together.content_digest
    reasons = failures_of(store, "later").values()
    assert all(reason.startswith("first: bright: ") for _, reason in reasons)


def test_other_weights_under_its_name_are_refused(
    store: Store, extract: Extract, save_run: SaveRun
) -> None:
    extract(save_run(store, "vectors", ALPHA))
    other = save_run(store, "vectors", ALPHA, name="other", seed=1)
    with pytest.raises(FingerprintMismatchError, match="weights_sha256: stored") as caught:
        extract(f"judge={other}")
    assert "outputs" not in str(caught.value)


def test_weights_that_change_during_a_run_are_refused(
    store: Store, extract: Extract, save_run: SaveRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = save_run(store, "vectors", ALPHA)
    other = save_run(store, "vectors", ALPHA, name="other", seed=1)
    loads: list[Any] = []

    def load(folder: str) -> Any:
        loads.append(folder)
        return load_clip_student(folder if len(loads) == 1 else other)

    monkeypatch.setattr(trained_network, "load_clip_student", load)
    with pytest.raises(FingerprintMismatchError, match="the run began with"):
        extract(run)
