"""The folder of a trained segmenter as a family of teachers; weights are fresh, training is tested
beside its pipeline."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from avkd.errors import (
    CorruptStoreError,
    InvalidValueError,
    StoreNotFoundError,
    UnknownNameError,
)
from avkd.stages.teachers.registry import declare_teacher, load_teacher, settle_teacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.teachers.segmenter import build_segmenter, read_logits
from avkd.stages.teachers.segmenter_folder import SegmenterDescription, read_segmenter
from avkd.stages.teachers.segmenter_options import SegmenterOptions

RGB = SegmenterDescription(
    stream="rgb",
    value_range=None,
    picture_size=(96, 64),
    map_stride=2,
    class_names=("road", "car", "sky"),
    network=SegmenterOptions(widths=(4, 6, 8, 8, 8), decoder_width=8, fine_width=6),
    seed=0,
)
Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def build(description: SegmenterDescription = RGB, seed: int = 0, name: str = "run") -> Path:
        folder = tmp_path / f"{name}-{seed}"
        folder.mkdir()
        torch.manual_seed(seed)
        save_file(build_segmenter(description).state_dict(), folder / "weights.safetensors")
        (folder / "segmenter.json").write_text(description.to_json())
        return folder

    return build


def ask(folder: Path, **options: Any) -> TeacherRequest:
    return TeacherRequest(name="sees", family=str(folder), device="cpu", batch_size=2, **options)


def test_what_it_says_is_what_its_network_says(save: Save) -> None:
    folder = save()
    request = ask(folder, maps=("confidence",))
    teacher, declared = load_teacher(request), declare_teacher(request)
    assert teacher.declaration == declared
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3)).astype(np.uint8)
    said = teacher.predict(frames)
    network = build_segmenter(RGB).eval()
    from safetensors.torch import load_file

    network.load_state_dict(load_file(folder / "weights.safetensors"))
    with torch.inference_mode():
        shown = torch.from_numpy(frames).permute(0, 3, 1, 2) / 255
        maps, confidence = read_logits(network(shown), 2)
    assert said["class_map"].dtype == np.uint8
    assert (said["class_map"] == maps.numpy()).mean() > 0.999
    np.testing.assert_allclose(said["confidence"], confidence, atol=1e-5)


def test_a_class_map_is_declared_with_its_names_and_size(save: Save) -> None:
    (output,) = declare_teacher(ask(save())).outputs
    assert (output.name, output.shape, output.dtype) == ("class_map", (32, 48), "uint8")
    assert (output.axes, output.layout) == (("height", "width"), "dense")
    assert output.class_names == ("road", "car", "sky")
    declared = declare_teacher(ask(save(seed=1), maps=("confidence",)))
    confidence = declared.outputs[1]
    assert (confidence.name, confidence.shape, confidence.dtype) == ("confidence", (), "float16")


def test_the_fingerprint_holds_weights_and_options_and_not_the_place(
    save: Save, tmp_path: Path
) -> None:
    folder = save()
    copytree(folder, tmp_path / "moved")
    coarse = save(replace(RGB, map_stride=4), name="coarse")
    asked = [ask(folder), ask(tmp_path / "moved"), ask(save(seed=1)), ask(coarse)]
    asked += [ask(folder, maps=("confidence",)), replace(ask(folder), batch_size=3)]
    prints = [declare_teacher(each).fingerprint for each in asked]
    assert prints[0] == prints[1]
    assert all(one != prints[0] for one in prints[2:])
    assert prints[0]["family"] == "segmenter_run"


def test_a_range_of_gray_is_taken_from_the_folder(save: Save) -> None:
    folder = save(replace(RGB, stream="depth", value_range=(0.0, 900.0)))
    settled = settle_teacher(ask(folder))
    assert (settled.stream, settled.value_range) == ("depth", (0.0, 900.0))
    assert (settled.picture_size, settled.runtime) == ((96, 64), "torch")
    teacher = load_teacher(settled)
    assert teacher.predict(np.zeros((2, 64, 96, 1), np.uint16))["class_map"].shape == (2, 32, 48)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"weights": "w.pth"}, InvalidValueError, "weights and classes of its own"),
        ({"stream": "depth"}, InvalidValueError, "trained on stream rgb, not on depth"),
        ({"picture_size": (320, 192)}, InvalidValueError, r"trained on picture_size \(96, 64\)"),
        ({"runtime": "onnxruntime"}, InvalidValueError, "does not run under onnxruntime"),
        ({"precision": "bfloat16"}, InvalidValueError, "classes in float32"),
        ({"maps": ("features_0",)}, UnknownNameError, "features_0"),
    ],
)
def test_what_it_does_not_do_is_refused(
    save: Save, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        declare_teacher(ask(save(), **options))


def test_a_run_that_is_not_finished_is_no_teacher_yet(save: Save) -> None:
    folder = save()
    (folder / "segmenter.json").rename(folder / "segmenter_training.json")
    with pytest.raises(StoreNotFoundError, match="is not finished; go on with its command"):
        declare_teacher(ask(folder))


def test_a_damaged_folder_is_told_in_one_line(save: Save) -> None:
    folder = save()
    whole = (folder / "segmenter.json").read_text()
    (folder / "segmenter.json").write_text(whole[:90])
    with pytest.raises(CorruptStoreError, match=r"segmenter\.json: .*; train again") as caught:
        read_segmenter(str(folder))
    assert "\n" not in str(caught.value)
    (folder / "segmenter.json").write_text(whole)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(CorruptStoreError, match=r"weights\.safetensors is missing"):
        declare_teacher(ask(folder))
