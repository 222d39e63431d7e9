"""Networks of sound in ONNX files, written here without torch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.teachers.audio_declaration import AudioDeclaration
from avkd.stages.teachers.registry import declare_teacher, load_teacher, settle_teacher
from avkd.stages.teachers.request import TeacherRequest, parse_teacher
from avkd.stages.teachers.runtimes.sessions import SESSION_RUNTIMES

TOML = """
file = "ear.onnx"
stream = "audio"
sample_rate = 8000
{more}
[outputs.logits]
from = "scores"
kind = "logits"
activation = "sigmoid"
classes = "names.txt"
"""
WEIGHTS = np.array([[1.0, -2.0, 3.0]], np.float32)


def write(
    folder: Path,
    more: str = "",
    *,
    samples: Any = "samples",
    batch: Any = "batch",
    channels: int = 0,
) -> TeacherRequest:
    """Mean of the squares of a window, times three weights."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    shape = [batch, *([channels] if channels else []), samples]
    axes = [1, 2] if channels else [1]
    nodes = [
        helper.make_node("Mul", ["sound", "sound"], ["squares"]),
        helper.make_node("ReduceMean", ["squares"], ["power"], axes=axes, keepdims=0),
        helper.make_node("Unsqueeze", ["power", "last"], ["column"]),
        helper.make_node("MatMul", ["column", "weights"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "ear",
        [helper.make_tensor_value_info("sound", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 3])],
        [
            numpy_helper.from_array(np.array([1], np.int64), "last"),
            numpy_helper.from_array(WEIGHTS, "weights"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(folder / "ear.onnx"))
    (folder / "names.txt").write_text("bell\ndrum\nhorn\n")
    (folder / "ear.toml").write_text(TOML.format(more=more))
    return parse_teacher(str(folder / "ear.toml"), batch_size=2, device="cpu")


def declare(request: TeacherRequest) -> AudioDeclaration:
    declaration = declare_teacher(request)
    assert isinstance(declaration, AudioDeclaration)
    return declaration


@pytest.mark.parametrize("channels", [0, 1])
def test_a_file_hears_windows_as_its_description_says(tmp_path: Path, channels: int) -> None:
    teacher = load_teacher(write(tmp_path, "samples_per_step = 400", channels=channels))
    noise = np.random.default_rng(0).integers(-9_000, 9_000, (2, 1, 400), dtype=np.int16)
    said = teacher.predict(noise)["logits"]
    power = np.mean((noise[:, 0] / 32_768) ** 2, axis=1, keepdims=True)
    np.testing.assert_allclose(said, power * WEIGHTS, rtol=1e-4)
    declared = teacher.declaration
    assert isinstance(declared, AudioDeclaration)
    assert (declared.name, declared.num_samples, declared.unit) == ("ear", 400, "step")
    assert declared.waveform_format.sample_rate == 8_000
    (logits,) = declared.outputs
    assert (logits.shape, logits.activation) == ((3,), "sigmoid")
    assert logits.class_names == ("bell", "drum", "horn")


def test_normalised_windows_have_the_power_of_one(tmp_path: Path) -> None:
    teacher = load_teacher(write(tmp_path, "normalises = true"))
    noise = np.random.default_rng(0).integers(-9_000, 9_000, (2, 1, 400), dtype=np.int16)
    np.testing.assert_allclose(
        teacher.predict(noise)["logits"], np.repeat(WEIGHTS, 2, axis=0), rtol=1e-2
    )


def test_sizes_that_the_file_was_exported_with_are_kept(tmp_path: Path) -> None:
    declared = declare(write(tmp_path, samples=300, batch=5))
    assert (declared.num_samples, declared.batch_size) == (300, 5)
    with pytest.raises(InvalidValueError, match=r"takes 300 samples; leave it out"):
        declare(write(tmp_path, "samples_per_step = 400", samples=300))


def test_a_moved_file_is_the_same_teacher_and_another_description_another(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    here, there = (declare(write(tmp_path / name)) for name in ("here", "there"))
    assert here.fingerprint == there.fingerprint
    assert declare(write(tmp_path / "there", "normalises = true")).fingerprint != here.fingerprint
    assert declare(write(tmp_path / "there", 'unit = "clip"')).unit == "clip"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("width = 3", "unknown key of .*'width'"),
        ('unit = "frame"', "unit: Input should be 'step' or 'clip'"),
        ("samples_per_step = -1", "samples_per_step -1 must be 0 or more"),
        ("samples_per_step = 1.5", "samples_per_step: Input should be a valid integer"),
        ('[outputs."../out"]\nfrom = "scores"\nkind = "embedding"', "stored twice"),
        ('[outputs."../out"]\nfrom = "more"\nkind = "embedding"', "'../out' is not made of"),
        ('[outputs.seen]\nfrom = "more"\nkind = "map"', "a map is of a picture"),
    ],
)
def test_what_a_description_cannot_say_is_refused(tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        declare(write(tmp_path, more))


def test_files_elsewhere_and_outputs_that_are_not_there_are_refused(tmp_path: Path) -> None:
    request = write(tmp_path)
    description = (tmp_path / "ear.toml").read_text()
    (tmp_path / "ear.toml").write_text(description.replace("ear.onnx", "../ear.onnx"))
    with pytest.raises(InvalidValueError, match="leads out of"):
        declare(request)
    (tmp_path / "ear.toml").write_text(description.replace('"scores"', '"score"'))
    with pytest.raises(UnknownNameError, match="did you mean scores"):
        declare(request)
    (tmp_path / "ear.toml").write_text(description)
    (tmp_path / "names.txt").write_text("one\n")
    with pytest.raises(InvalidValueError, match="names 1 classes, but 'scores' of the file has 3"):
        declare(request)


@pytest.mark.parametrize("more", ["", "normalises = true"])
def test_runtimes_hear_alike(tmp_path: Path, more: str) -> None:
    pytest.importorskip("openvino")
    request = write(tmp_path, more)
    noise = np.random.default_rng(0).integers(-9_000, 9_000, (2, 1, 400), dtype=np.int16)
    said = {
        runtime: load_teacher(replace(request, runtime=runtime)).predict(noise)["logits"]
        for runtime in SESSION_RUNTIMES
    }
    np.testing.assert_allclose(said["openvino"], said["onnxruntime"], rtol=1e-4)


def test_a_window_does_not_depend_on_the_others_of_its_batch(tmp_path: Path) -> None:
    teacher = load_teacher(write(tmp_path))
    noise = np.random.default_rng(0).integers(-9_000, 9_000, (2, 1, 400), dtype=np.int16)
    alone = noise.copy()
    alone[1] = 0
    np.testing.assert_array_equal(
        teacher.predict(noise)["logits"][0], teacher.predict(alone)["logits"][0]
    )


def test_what_nobody_chose_is_chosen_among_what_runs_it(tmp_path: Path) -> None:
    request = replace(write(tmp_path), device="auto")
    settled = settle_teacher(request)
    assert (settled.runtime, settled.device) == ("onnxruntime", "cpu")
    with pytest.raises(InvalidValueError, match="leave --compile out"):
        settle_teacher(replace(request, is_compiled=True))
    pytest.importorskip("openvino")
    assert settle_teacher(replace(request, precision="bfloat16")).runtime == "openvino"


def test_a_network_of_something_else_is_refused(tmp_path: Path) -> None:
    request = write(tmp_path, channels=2)
    with pytest.raises(InvalidValueError, match=r"is float \(any, 2, any\), not float \(batch, s"):
        declare_teacher(request)
