"""Teachers that listen, in the decoding pass of those that look, and teachers that see views."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from avkd.errors import FingerprintMismatchError
from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.request import ExtractReport, ExtractRequest
from avkd.stages.teachers.audio_declaration import AudioDeclaration, declare_audio
from avkd.stages.teachers.registry import register_teacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import TeacherOutput, WaveformFormat
from avkd.stages.views import replay_views
from avkd.storage.store import Store
from avkd.storage.verify import verify_store

NAMES = ("a.mp4", "c_broken.mp4", "d.mp4", "e_silent.mp4", "f_sound.wav")


class Loudness:
    """Says how loud a window is, and how often its sign changes; it hears 4 kHz."""

    def __init__(self, declaration: AudioDeclaration) -> None:
        self.declaration = declaration

    def predict(self, waveforms: npt.NDArray[np.int16]) -> dict[str, npt.NDArray[np.float32]]:
        return {"embedding": say(waveforms[:, 0])}


def say(sound: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """Of (..., samples): (..., 2)."""
    level = np.abs(sound.astype(np.float32)).mean(axis=-1) / 32_768
    signs = (np.diff(np.signbit(sound).astype(np.int8), axis=-1) != 0).mean(axis=-1)
    return np.stack([level, signs], axis=-1).astype(np.float32)


class LoudnessFamily:
    summary = "how loud each channel is"
    runtimes = ("torch",)

    def declare(self, request: TeacherRequest) -> AudioDeclaration:
        return declare_audio(
            request,
            weights_sha256="",
            sample_rate=4_000,
            outputs=(TeacherOutput(name="embedding", shape=(2,), axes=("feature",)),),
        )

    def load(self, request: TeacherRequest) -> Loudness:
        return Loudness(self.declare(request))


register_teacher("loudness")(LoudnessFamily)
EAR = TeacherRequest(name="ear", family="loudness", batch_size=3, device="cpu")

Extract = Callable[..., ExtractReport]


@pytest.fixture
def extract(write_corpus: Callable[..., str], tmp_path: Path) -> Extract:
    def run(*teachers: TeacherRequest, store: str = "store", **options: Any) -> ExtractReport:
        fields = {"inputs": "none", "rows_per_shard": 3, "num_decode_workers": 1, **options}
        return extract_teacher(
            ExtractRequest(
                corpus=write_corpus(NAMES),
                store=str(tmp_path / store),
                teachers=teachers,
                clip_seconds=2.0,
                step_seconds=1.0,
                **fields,
            )
        )

    return run


def read(store: Path, name: str, output: str) -> npt.NDArray[Any]:
    opened = Store.open(str(store))
    return opened.read_rows(name, output, 0, opened.next_row())


def test_a_teacher_hears_each_step_of_what_the_store_would_cache(
    extract: Extract, tmp_path: Path
) -> None:
    same = WaveformFormat(sample_rate=4_000, channels="mix")
    report = extract(EAR, inputs=same)
    assert report.status["ear"] == {"ok": 6, "no_audio": 1, "decode_error": 1}
    said = read(tmp_path / "store", "ear", "embedding")
    sound = read(tmp_path / "store", "waveform", "waveform")
    expected = say(sound.reshape(len(sound), 2, 4_000))
    store = Store.open(str(tmp_path / "store"))
    tones = [
        clip
        for shard in store.shards()
        for clip in store.read_clips(shard)
        if clip.recording_id in ("a.mp4", "d.mp4", "f_sound.wav")
    ]
    assert [clip.num_steps for clip in tones] == [2, 2, 1, 2, 1, 2]
    for clip in tones:
        real = slice(0, clip.num_steps)
        np.testing.assert_allclose(
            said[clip.row, real], expected[clip.row, real], rtol=2e-3, atol=1e-4
        )
        # A tone of 440 Hz changes its sign 880 times a second.
        assert abs(said[clip.row, 0, 1] - 880 / 4_000) < 0.02
        assert not said[clip.row, clip.num_steps :].any()
    assert verify_store(str(tmp_path / "store")) == ()


def test_what_is_heard_does_not_depend_on_who_shares_the_pass(
    extract: Extract, tmp_path: Path, bright_request: TeacherRequest
) -> None:
    extract(EAR, store="alone")
    extract(
        bright_request,
        EAR,
        store="together",
        inputs=WaveformFormat(sample_rate=8_000),
        frames_size=(16, 16),
    )
    extract(EAR, store="two_children", num_decode_workers=2)
    digests = [
        [commit.content for commit in Store.open(str(tmp_path / name)).commits("ear")]
        for name in ("alone", "together", "two_children")
    ]
    assert len(digests[0]) > 1
    assert digests[0] == digests[1] == digests[2]


@pytest.fixture
def power_file(tmp_path: Path) -> str:
    """A network in a file that says the mean square of 1600 samples at 8 kHz, five to a step."""
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["sound", "sound"], ["squares"]),
            helper.make_node("ReduceMean", ["squares"], ["power"], axes=[1], keepdims=1),
        ],
        "power",
        [helper.make_tensor_value_info("sound", TensorProto.FLOAT, ["batch", 1600])],
        [helper.make_tensor_value_info("power", TensorProto.FLOAT, ["batch", 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(tmp_path / "power.onnx"))
    description = tmp_path / "power.toml"
    description.write_text(
        'file = "power.onnx"\nstream = "audio"\nsample_rate = 8000\n'
        '[outputs.embedding]\nfrom = "power"\nkind = "embedding"\n'
    )
    return str(description)


def test_a_network_of_sound_in_a_file_says_the_same_in_any_worker(
    extract: Extract, tmp_path: Path, power_file: str
) -> None:
    power = TeacherRequest(name="power", family=power_file, batch_size=4)
    serial = extract(power, store="serial", inputs=WaveformFormat(sample_rate=8_000))
    assert serial.status["power"] == {"ok": 6, "no_audio": 1, "decode_error": 1}
    said = read(tmp_path / "serial", "power", "embedding")[..., 0]
    sound = read(tmp_path / "serial", "waveform", "waveform") / 32_768
    expected = (sound**2).reshape(len(sound), 2, 8_000).mean(axis=2)
    np.testing.assert_allclose(said, expected, rtol=5e-3, atol=1e-5)
    assert said.max() > 0.02
    same = {"inputs": WaveformFormat(sample_rate=8_000), "num_workers": 2}
    processes = extract(power, store="processes", executor="processes", **same)
    assert processes.content_digest == serial.content_digest


def test_one_thing_a_clip_is_the_mean_over_its_steps(extract: Extract, tmp_path: Path) -> None:
    extract(EAR, replace(EAR, name="ear_of_clip", per="clip"))
    steps = read(tmp_path / "store", "ear", "embedding").astype(np.float32)
    clips = read(tmp_path / "store", "ear_of_clip", "embedding")
    num_real = np.maximum(steps.any(axis=2).sum(axis=1), 1)[:, None]
    np.testing.assert_allclose(clips, steps.sum(axis=1) / num_real, atol=2e-3)
    assert clips.any()


def test_students_see_again_what_a_teacher_saw_in_its_views(
    extract: Extract, tmp_path: Path, bright_request: TeacherRequest
) -> None:
    viewer = replace(bright_request, views=3, seed=5)
    extract(viewer, frames_size=(16, 16))
    place = tmp_path / "store"
    frames = read(place, "frames", "frames")
    parameters = read(place, "bright", "views")
    said = read(place, "bright", "embedding_views")
    num_seen = 0
    for row in range(len(frames)):
        shown = replay_views(frames[row], parameters[row])
        brightness = shown.mean(axis=(2, 3, 4)) / 255
        has_views = parameters[row, :, :, 3] > 0
        np.testing.assert_allclose(said[row, ..., 0][has_views], brightness[has_views], rtol=2e-3)
        num_seen += int(has_views.sum())
    assert num_seen == 3 * 10
    assert verify_store(str(place)) == ()


@pytest.mark.slow
def test_views_are_the_same_whatever_the_batch_and_the_workers(
    extract: Extract, tmp_path: Path
) -> None:
    viewer = TeacherRequest(
        name="tiny",
        family="timm/test_resnet",
        weights="random",
        runtime="torch",
        device="cpu",
        batch_size=4,
        views=2,
    )
    serial = extract(viewer, store="serial")
    processes = extract(viewer, store="processes", executor="processes", num_workers=2)
    assert serial.status["tiny"]["ok"] == 6
    assert serial.content_digest == processes.content_digest
    extract(replace(viewer, batch_size=5), store="other_batch")
    for output, tolerance in (("views", 0), ("logits_views", 2e-3)):
        here, there = (read(tmp_path / name, "tiny", output) for name in ("serial", "other_batch"))
        np.testing.assert_allclose(here, there, rtol=tolerance, atol=tolerance)
        assert here.any()


def test_other_views_are_another_teacher(extract: Extract, bright_request: TeacherRequest) -> None:
    extract(replace(bright_request, views=2))
    for other in (replace(bright_request, views=3), replace(bright_request, views=2, seed=1)):
        with pytest.raises(FingerprintMismatchError, match="views"):
            extract(other)
