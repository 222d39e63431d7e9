"""torchvision's detectors with random weights; theirs of COCO are not at hand here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.teachers.declaration import TORCH_CPU_THREADS
from avkd.stages.teachers.network import seeded
from avkd.stages.teachers.registry import declare_teacher, load_teacher
from avkd.stages.teachers.request import TeacherRequest, parse_teacher
from avkd.stages.teachers.runtimes.by_torch import cpu_threads
from avkd.stages.teachers.torchvision_detectors import list_detectors

SSD = "torchvision_detector/ssdlite320_mobilenet_v3_large"
RCNN = "torchvision_detector/fasterrcnn_mobilenet_v3_large_320_fpn"
SaveWeights = Callable[..., Path]


@pytest.fixture(scope="session")
def save_weights(tmp_path_factory: pytest.TempPathFactory) -> SaveWeights:
    """Save weights under which boxes depend on the picture, which fresh ones hardly do."""

    def save(model: str, num_labels: int, *, frozen: bool = False) -> Path:
        network = seeded(lambda: build_torchvision(model, num_labels), 5)
        generator = torch.Generator().manual_seed(5)
        for module in network.backbone.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                fan_in = module.weight[0].numel()
                module.weight.data.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
        state = network.state_dict()
        if frozen:
            state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
        path = tmp_path_factory.mktemp("weights") / "model.pth"
        torch.save(state, path)
        return path

    return save


@pytest.fixture
def names_file(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("vehicle\nperson\n")
    return path


def build_torchvision(model: str, num_labels: int) -> Any:
    from torchvision import models

    return models.get_model(model, weights=None, weights_backbone=None, num_classes=num_labels)


def request_for(family: str, **options: Any) -> TeacherRequest:
    return parse_teacher(
        f"eye={family}",
        device="cpu",
        batch_size=2,
        weights=str(options.pop("weights", "random")),
        **options,
    )


def noise(size: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (2, size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


@pytest.mark.parametrize("family", [SSD, RCNN])
def test_boxes_are_those_of_torchvision_on_the_same_picture(
    family: str, save_weights: SaveWeights, names_file: Path
) -> None:
    model = family.partition("/")[2]
    weights = save_weights(model, 3)
    teacher = load_teacher(request_for(family, weights=weights, classes=str(names_file)))
    frames = noise(teacher.declaration.frame_format.picture_shape)
    said = teacher.predict(frames)["boxes"]

    direct = build_torchvision(model, 3).eval()
    direct.load_state_dict(torch.load(weights, weights_only=True))
    direct.to(memory_format=torch.channels_last)
    height, width = frames.shape[1:3]
    direct.transform.fixed_size = (width, height)
    head = getattr(direct, "roi_heads", direct)
    head.score_thresh, head.nms_thresh, head.detections_per_img = 0.05, 0.5, 100
    # The number of threads decides the order of sums, and random weights amplify it.
    with torch.inference_mode(), cpu_threads(TORCH_CPU_THREADS):
        found = direct([torch.from_numpy(f).permute(2, 0, 1) / 255 for f in frames])
    assert any(len(each["boxes"]) for each in found)
    for ours, theirs in zip(said, found, strict=True):
        num = len(theirs["boxes"])
        assert (ours[:, 4] > 0).sum() == num
        pixels = ours[:num, :4] * [width, height, width, height]
        np.testing.assert_allclose(pixels, theirs["boxes"], atol=2e-3)
        np.testing.assert_allclose(ours[:num, 4], theirs["scores"], atol=1e-5)
        np.testing.assert_array_equal(ours[:num, 5], theirs["labels"] - 1)
        assert ours[:, :4].min() >= 0
        assert ours[:, :4].max() <= 1


def test_the_pictures_are_shown_as_they_come() -> None:
    from avkd.stages.teachers.detector_declaration import detector_frames
    from avkd.stages.teachers.torchvision_detection import TorchvisionDetector

    request = request_for(RCNN)
    network = TorchvisionDetector(
        build_torchvision(RCNN.partition("/")[2], 2), detector_frames(request, 576, 320)
    ).eval()
    pictures = torch.rand(2, 3, 320, 576, generator=torch.Generator().manual_seed(0))
    shown, _ = network.model.transform(list(pictures))
    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    torch.testing.assert_close(shown.tensors, (pictures - mean) / std, rtol=1e-6, atol=1e-6)


def test_a_frame_is_seen_alike_whatever_lies_beside_it(save_weights: SaveWeights) -> None:
    weights = save_weights(SSD.partition("/")[2], 3)
    teacher = load_teacher(
        TeacherRequest(
            name="eye",
            family=SSD,
            weights=str(weights),
            device="cpu",
            batch_size=2,
            picture_size=(96, 64),
            maps=("features_0", "attention"),
        )
    )
    frames = noise((64, 96, 3))
    together, alone = teacher.predict(frames), teacher.predict(np.stack([frames[0], frames[0] * 0]))
    for name, said in together.items():
        assert said[0].tobytes() == alone[name][0].tobytes(), name


def test_a_network_that_is_sure_of_nothing_finds_nothing() -> None:
    # 91 classes share the mass of a softmax over fresh weights: none reaches the threshold.
    teacher = load_teacher(request_for(SSD))
    boxes = teacher.predict(noise((320, 320, 3)))["boxes"]
    assert not boxes.any()
    names = teacher.declaration.outputs[0].class_names
    assert (len(names), names[2]) == (90, "car")


def test_maps_have_the_sizes_declared(save_weights: SaveWeights) -> None:
    weights = save_weights(RCNN.partition("/")[2], 2)
    teacher = load_teacher(
        TeacherRequest(
            name="eye",
            family=RCNN,
            weights=str(weights),
            device="cpu",
            batch_size=2,
            picture_size=(416, 416),
            maps=("features_0", "attention"),
            map_channels=16,
        )
    )
    said = teacher.predict(noise((416, 416, 3)))
    declared = {each.name: each.shape for each in teacher.declaration.outputs}
    assert {name: value.shape[1:] for name, value in said.items()} == declared
    # Stride 32: the grid of methods 2.2 at 416 pixels.
    assert declared["features_0"] == (16, 13, 13)
    assert np.isfinite(said["features_0"]).all()


def test_a_file_tells_its_number_of_classes_and_may_lack_counters(
    save_weights: SaveWeights, names_file: Path, tmp_path: Path
) -> None:
    frozen = save_weights(RCNN.partition("/")[2], 3, frozen=True)
    whole = save_weights(RCNN.partition("/")[2], 3)
    frames = noise((320, 576, 3))
    one, other = (load_teacher(request_for(RCNN, weights=path)) for path in (frozen, whole))
    np.testing.assert_array_equal(one.predict(frames)["boxes"], other.predict(frames)["boxes"])
    assert one.declaration.outputs[0].class_names == ()
    named = declare_teacher(request_for(RCNN, weights=frozen, classes=str(names_file)))
    assert named.outputs[0].class_names == ("vehicle", "person")
    (tmp_path / "one.txt").write_text("vehicle\n")
    with pytest.raises(InvalidValueError, match="1 class names for the 2 classes of teacher 'eye'"):
        declare_teacher(request_for(RCNN, weights=frozen, classes=str(tmp_path / "one.txt")))


def test_weights_of_another_model_are_refused(save_weights: SaveWeights) -> None:
    weights = save_weights(SSD.partition("/")[2], 3)
    with pytest.raises(InvalidValueError, match=r"no tensor 'roi_heads\.box_predictor\.cls_score"):
        declare_teacher(request_for(RCNN, weights=weights))


@pytest.mark.parametrize("model", ["retinanet_resnet50_fpn", "fcos_resnet50_fpn"])
def test_the_count_of_classes_of_dense_heads_is_found(model: str, tmp_path: Path) -> None:
    with torch.device("meta"):
        state = build_torchvision(model, 5).state_dict()
        outline = build_torchvision(model, 91).state_dict()
    from avkd.stages.teachers.torchvision_detection import count_labels

    assert count_labels(model, tmp_path, state, outline) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"picture_size": (100, 64)}, "100x64 are padded by"),
        ({"maps": ("features_9",)}, "map of teacher 'eye' 'features_9'"),
        ({"runtime": "onnxruntime"}, "does not run under onnxruntime; use --runtime torch"),
        ({"precision": "bfloat16", "runtime": "torch"}, "in float32, not in bfloat16"),
        ({"maps": ("attention",), "map_channels": 4}, "but none is stored"),
    ],
)
def test_what_a_detector_does_not_do_is_refused(options: dict[str, Any], message: str) -> None:
    request = TeacherRequest(name="eye", family=SSD, weights="random", device="cpu", **options)
    with pytest.raises(InvalidValueError, match=message):
        declare_teacher(request)


def test_an_unknown_model_offers_the_detectors_there_are() -> None:
    with pytest.raises(
        UnknownNameError, match="torchvision_detector/ssdlite320_mobilenet_v3_large"
    ):
        declare_teacher(request_for("torchvision_detector/ssdlite320_mobilenet"))
    assert len(list_detectors()) >= 9
    assert "maskrcnn_resnet50_fpn" not in list_detectors()


def test_weights_out_of_reach_say_what_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import WeightsEnum

    def fail(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", fail)
    with pytest.raises(InvalidValueError, match=r"gives no weights .* give a file with --weights"):
        declare_teacher(request_for(SSD, weights=""))
