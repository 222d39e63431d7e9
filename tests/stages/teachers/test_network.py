from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.stages.teachers.network import build_network
from avkd.stages.teachers.registry import declare_teacher, find_family, load_teacher
from avkd.stages.teachers.request import TeacherRequest, parse_teacher
from avkd.stages.teachers.timm_family import TimmFamily
from avkd.stages.teachers.torchvision_family import TorchvisionFamily

Draw = Callable[[int, int], npt.NDArray[np.uint8]]
LIBRARIES = {"timm/resnet10t": TimmFamily, "torchvision/mobilenet_v3_small": TorchvisionFamily}


@pytest.fixture(params=LIBRARIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(family: str, **options: object) -> TeacherRequest:
    return parse_teacher(family, batch_size=2, device="cpu", **options)  # type: ignore[arg-type]


def save_places_like(family: str, folder: Path) -> Path:
    """A checkpoint in the manner of Places365: data-parallel names, one wrapping, 12 classes."""
    library = LIBRARIES[family]()
    state = library.build(family.partition("/")[2], 12).state_dict()
    path = folder / "places.pth.tar"
    wrapped = {"epoch": 90, "state_dict": {f"module.{key}": each for key, each in state.items()}}
    torch.save(wrapped, path)
    return path


def test_random_weights_follow_the_seed_alone(family: str) -> None:
    digests = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(digests))
        request = ask(family, weights="random", seed=seed)
        digests.append(declare_teacher(request).fingerprint["weights_sha256"])
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_random_weights_leave_the_random_state_alone(family: str) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    declare_teacher(ask(family, weights="random"))
    assert torch.equal(torch.rand(3), expected)


def test_classes_and_names_come_from_the_users_files(family: str, tmp_path: Path) -> None:
    weights = save_places_like(family, tmp_path)
    (tmp_path / "classes.txt").write_text("\n".join(f"/a/place{n} {n}" for n in range(12)))
    request = ask(family, weights=str(weights), classes=str(tmp_path / "classes.txt"))
    logits, embedding = declare_teacher(request).outputs
    assert logits.shape == (12,)
    assert logits.class_names[11] == "place11"
    assert len(embedding.shape) == 1


def test_loaded_teacher_keeps_its_declaration_and_its_weights(
    family: str, tmp_path: Path, draw_noise: Draw
) -> None:
    request = ask(family, weights=str(save_places_like(family, tmp_path)))
    teacher = load_teacher(request)
    assert teacher.declaration == declare_teacher(request)
    size = teacher.declaration.frame_format
    outputs = teacher.predict(draw_noise(size.height, 2))
    by_torch = load_teacher(ask(family, weights=request.weights, runtime="torch"))
    expected = by_torch.predict(draw_noise(size.height, 2))
    for name, array in outputs.items():
        # Measured: 1e-6 of the largest.
        assert np.abs(array - expected[name]).max() < 1e-4 * np.abs(expected[name]).max()


def test_random_head_counts_the_names(family: str, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    request = ask(family, weights="random", classes=str(tmp_path / "classes.txt"))
    assert declare_teacher(request).outputs[0].class_names == ("cat", "dog")


def test_head_of_a_thousand_has_imagenet_names(family: str) -> None:
    logits = declare_teacher(ask(family, weights="random")).outputs[0]
    assert logits.class_names[0] == "tench"


def test_weights_of_another_network_are_refused(family: str, tmp_path: Path) -> None:
    torch.save({"body.weight": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(InvalidValueError, match=r"no tensor .* of the classifier"):
        declare_teacher(ask(family, weights=str(tmp_path / "other.pth")))


def test_weights_that_lack_a_layer_are_refused(family: str, tmp_path: Path) -> None:
    library = LIBRARIES[family]()
    state = library.build(family.partition("/")[2], 3).state_dict()
    first = next(iter(state))
    torch.save({key: each for key, each in state.items() if key != first}, tmp_path / "part.pth")
    with pytest.raises(InvalidValueError, match=f"1 missing .first {first}"):
        declare_teacher(ask(family, weights=str(tmp_path / "part.pth")))


def test_networks_are_in_evaluation_mode(family: str) -> None:
    request = ask(family, weights="random")
    library = find_family(family)
    network = build_network(library, request)  # type: ignore[arg-type]
    assert not any(module.training for module in network.module.modules())
