"""The folder of a trained detector as a family of teachers; weights are fresh, training is tested
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
from avkd.stages.teachers.detector_folder import (
    DETECTOR_FOLDER,
    DetectorDescription,
    read_description,
)
from avkd.stages.teachers.pyramid_detector import build_pyramid
from avkd.stages.teachers.pyramid_options import PyramidOptions
from avkd.stages.teachers.registry import declare_teacher, load_teacher, settle_teacher
from avkd.stages.teachers.request import TeacherRequest

THERMAL = DetectorDescription(
    stream="thermal",
    value_range=(100.0, 300.0),
    picture_size=(96, 64),
    class_names=("car", "bus"),
    network=PyramidOptions(widths=(4, 6, 8, 8, 8), pyramid_width=8, head_depth=1),
    seed=0,
)
Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Save a detector that says something everywhere."""

    def build(description: DetectorDescription = THERMAL, seed: int = 0) -> Path:
        folder = tmp_path / f"run-{seed}"
        folder.mkdir()
        torch.manual_seed(seed)
        network = build_pyramid(description)
        torch.nn.init.zeros_(network.classify.bias)
        torch.nn.init.normal_(network.classify.weight, std=0.5)
        save_file(network.state_dict(), folder / "weights.safetensors")
        (folder / "detector.json").write_text(description.to_json())
        return folder

    return build


def ask(folder: Path, **options: Any) -> TeacherRequest:
    return TeacherRequest(name="eye", family=str(folder), device="cpu", batch_size=2, **options)


def test_what_it_looks_at_is_taken_from_the_folder(save: Save) -> None:
    settled = settle_teacher(ask(save()))
    assert (settled.stream, settled.value_range) == ("thermal", (100.0, 300.0))
    assert settled.picture_size == (96, 64)
    assert settled.runtime == "torch"
    assert settle_teacher(settled) == settled


def test_a_relative_folder_is_made_absolute(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save()
    monkeypatch.chdir(folder.parent)
    assert settle_teacher(ask(Path(folder.name))).family == str(folder)


def test_declaring_says_what_loading_gives(save: Save) -> None:
    request = ask(save(), maps=("attention", "features_2"))
    declared = declare_teacher(request)
    teacher = load_teacher(request)
    assert teacher.declaration == declared
    frames = np.full((2, 64, 96, 1), 200, np.uint16)
    frames[1, 10:40, 20:60] = 290
    said = teacher.predict(frames)
    assert {each.name: each.shape for each in declared.outputs} == {
        name: values.shape[1:] for name, values in said.items()
    }
    assert said["features_2"].shape == (2, 8, 2, 3)
    assert declared.outputs[0].class_names == ("car", "bus")
    assert (said["boxes"][..., 4] > 0).any()
    assert {*np.unique(said["boxes"][..., 5])} == {0.0, 1.0}


def test_what_it_says_is_what_its_network_says(save: Save) -> None:
    folder = save()
    teacher = load_teacher(ask(folder))
    frames = np.random.default_rng(0).integers(100, 300, (2, 64, 96, 1)).astype(np.uint16)
    network = build_pyramid(THERMAL).eval()
    from safetensors.torch import load_file

    network.load_state_dict(load_file(folder / "weights.safetensors"))
    shown = torch.from_numpy((frames[..., 0].astype(np.float32) - 100) / 200)
    with torch.inference_mode():
        found, _ = network(shown[:, None].expand(-1, 3, -1, -1))
    said = teacher.predict(frames)["boxes"]
    for boxes, expected in zip(said, found, strict=True):
        num = len(expected.scores)
        assert 0 < num == (boxes[:, 4] > 0).sum()
        np.testing.assert_allclose(boxes[:num, :4], expected.boxes, atol=1e-5)
        np.testing.assert_allclose(boxes[:num, 4], expected.scores, atol=1e-5)


def test_the_fingerprint_holds_the_weights_and_not_the_place(save: Save, tmp_path: Path) -> None:
    folder = save()
    copytree(folder, tmp_path / "moved")
    prints = [
        declare_teacher(ask(each)).fingerprint
        for each in (folder, tmp_path / "moved", save(seed=1))
    ]
    assert prints[0] == prints[1] != prints[2]
    assert prints[0]["family"] == "detector_run"
    assert len(str(prints[0]["weights_sha256"])) == 64


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weights": "w.pth"}, "weights and classes of its own"),
        ({"classes": "names.txt"}, "weights and classes of its own"),
        ({"stream": "depth"}, "trained on stream thermal, not on depth"),
        ({"picture_size": (320, 192)}, r"trained on picture_size \(96, 64\)"),
        ({"value_range": (0.0, 1.0)}, r"trained on value_range \(100.0, 300.0\)"),
        ({"runtime": "onnxruntime"}, "does not run under onnxruntime"),
        ({"precision": "bfloat16"}, "boxes in float32"),
    ],
)
def test_what_it_was_not_trained_for_is_refused(
    save: Save, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidValueError, match=words):
        declare_teacher(ask(save(), **options))


def test_what_it_was_trained_for_may_be_said_again(save: Save) -> None:
    folder = save()
    request = ask(folder, stream="thermal", value_range=(100.0, 300.0), picture_size=(96, 64))
    assert declare_teacher(request) == declare_teacher(ask(folder))
    assert declare_teacher(ask(folder, stream="thermal")) == declare_teacher(ask(folder))


def test_a_map_that_is_not_there_is_refused(save: Save) -> None:
    with pytest.raises(UnknownNameError, match="features_3"):
        declare_teacher(ask(save(), maps=("features_3",)))


def test_a_run_that_is_not_finished_is_no_teacher_yet(save: Save) -> None:
    folder = save()
    (folder / "detector.json").rename(folder / "detector_training.json")
    assert DETECTOR_FOLDER.is_at(folder)
    with pytest.raises(StoreNotFoundError, match="is not finished; go on with its command"):
        declare_teacher(ask(folder))


def test_a_folder_without_a_detector_is_no_family(tmp_path: Path) -> None:
    assert not DETECTOR_FOLDER.is_at(tmp_path)
    with pytest.raises(UnknownNameError):
        declare_teacher(ask(tmp_path))
    with pytest.raises(StoreNotFoundError, match="no detector at detector_run"):
        declare_teacher(replace(ask(tmp_path), family="detector_run"))


def test_a_damaged_folder_is_told_in_one_line(save: Save) -> None:
    folder = save()
    whole = (folder / "detector.json").read_text()
    (folder / "detector.json").write_text(whole[:100])
    with pytest.raises(CorruptStoreError, match=r"detector\.json: .*; train again") as caught:
        read_description(str(folder))
    assert "\n" not in str(caught.value)
    (folder / "detector.json").write_text(whole)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(CorruptStoreError, match=r"weights\.safetensors is missing"):
        declare_teacher(ask(folder))
