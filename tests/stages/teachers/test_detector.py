"""The network around a detector, on arithmetic ones; torchvision's are tested beside it."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.teachers.declaration import Teacher
from avkd.stages.teachers.detector import (
    Detections,
    load_detector,
    measure,
    order_levels,
    pad_detections,
)
from avkd.stages.teachers.detector_declaration import (
    MAX_BOXES,
    DetectorFacts,
    declare_detector,
    detector_frames,
)
from avkd.stages.teachers.detector_maps import projection_matrix
from avkd.stages.teachers.request import TeacherRequest, resolve

SHAPES = ((4, 3, 5), (6, 2, 2))


class BrightnessDetector(nn.Module):
    """Finds as many things as the picture's first value times 10 says; its levels are waves."""

    def forward(self, pictures: Tensor) -> tuple[Sequence[Detections], Sequence[Tensor]]:
        found = []
        for value in pictures[:, 0, 0, 0]:
            num = round(float(value) * 10)
            boxes = torch.tensor([[0.0, 0.25, 0.5, 1.0]]).repeat(num, 1)
            scores = 1 - torch.arange(num) / 20
            found.append(Detections(boxes=boxes, scores=scores, classes=torch.arange(num)))
        levels = [
            torch.sin(torch.arange(c * h * w).float()).reshape(1, c, h, w)
            * (1 + pictures[:, :1, :1, :1])
            for c, h, w in SHAPES
        ]
        return found, levels


def build(**options: object) -> Teacher:
    request = resolve(
        TeacherRequest(
            name="eye",
            family="x",
            batch_size=2,
            runtime="torch",
            device="cpu",
            **options,  # type: ignore[arg-type]
        )
    )
    facts = DetectorFacts(
        weights_sha256="0",
        frame_format=detector_frames(request, 8, 6),
        mean=(0.5,),
        std=(0.5,),
        class_names=("a", "b"),
        level_shapes=SHAPES,
    )
    return load_detector(request, BrightnessDetector(), facts)


def frames_of(teacher: Teacher, *values: int) -> np.ndarray:
    frames = teacher.declaration.frame_format
    pictures = np.zeros((2, *frames.picture_shape), frames.dtype)
    pictures[:] = np.array(values)[:, None, None, None]
    return pictures


def test_boxes_come_first_and_are_padded_by_rows_of_zeros() -> None:
    teacher = build()
    boxes = teacher.predict(frames_of(teacher, 51, 0))["boxes"]
    assert boxes.shape == (2, MAX_BOXES, 6)
    np.testing.assert_allclose(boxes[0, 1], [0, 0.25, 0.5, 1, 0.95, 1])
    assert not boxes[0, 2:].any()
    assert not boxes[1].any()


def test_more_boxes_than_there_is_room_for_are_cut_from_the_end() -> None:
    many = torch.arange(MAX_BOXES + 5)
    found = Detections(boxes=torch.ones(len(many), 4), scores=1.0 / (1 + many), classes=many)
    assert pad_detections(found)[:, 5].tolist() == many[:MAX_BOXES].tolist()


@pytest.mark.parametrize(("value", "num_found"), [(21_000, 0), (21_800, 0), (23_400, 5)])
def test_16_bit_gray_is_scaled_by_its_range_and_clipped(value: int, num_found: int) -> None:
    teacher = build(value_range=(21_800.0, 25_000.0), stream="thermal")
    assert teacher.declaration.stream == "thermal"
    frames = frames_of(teacher, value, 40_000)
    assert frames.shape == (2, 6, 8, 1)
    assert frames.dtype == np.uint16
    num = (teacher.predict(frames)["boxes"][..., 4] > 0).sum(axis=1)
    assert num.tolist() == [num_found, 10]


def test_frames_of_another_kind_are_refused() -> None:
    teacher = build(value_range=(0.0, 1000.0))
    with pytest.raises(InvalidValueError, match=r"takes uint16 frames of shape \(2, 6, 8, 1\)"):
        teacher.predict(np.zeros((2, 6, 8, 3), np.uint8))


def test_attention_is_the_mean_of_squares_and_at_most_one() -> None:
    level = torch.randn(3, 7, 4, 5, generator=torch.Generator().manual_seed(0)) * 300
    level[1] = 0
    attention, scale = measure(level)
    expected = level.square().mean(dim=1)
    torch.testing.assert_close(attention * scale[:, None, None], expected)
    assert attention.amax(dim=(1, 2)).tolist() == pytest.approx([1, 0, 1])
    # A mean of squares leaves float16; the map itself does not.
    assert expected.max() > 65_504
    assert attention.half().isfinite().all()


def test_maps_are_those_of_the_levels_in_the_order_declared() -> None:
    teacher = build(maps=("attention_1", "features_0"))
    names = [output.name for output in teacher.declaration.outputs]
    assert names == ["boxes", "attention_1", "attention_1_scale", "features_0"]
    said = teacher.predict(frames_of(teacher, 0, 255))
    _, (fine, coarse) = BrightnessDetector()(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1))
    np.testing.assert_array_equal(said["features_0"], fine)
    product = said["attention_1"] * said["attention_1_scale"][:, None, None]
    np.testing.assert_allclose(product, coarse.square().mean(dim=1), rtol=1e-6)


def test_projected_maps_are_the_matrix_times_the_channels() -> None:
    whole, small = build(maps=("features_1",)), build(maps=("features_1",), map_channels=3)
    frames = frames_of(whole, 10, 200)
    expected = np.einsum(
        "nc,bchw->bnhw", projection_matrix(6, 3), whole.predict(frames)["features_1"]
    )
    projected = small.predict(frames)["features_1"]
    assert projected.shape == (2, 3, 2, 2)
    np.testing.assert_allclose(projected, expected, rtol=1e-5, atol=1e-6)


def test_all_that_decides_the_boxes_is_in_the_fingerprint() -> None:
    plain = build().declaration.fingerprint
    others = [
        build(stream="depth"),
        build(value_range=(0.0, 9.0)),
        build(picture_size=(16, 12)),
        build(maps=("features_1",)),
        build(maps=("features_1",), map_channels=3),
        build(maps=("features_1",), map_channels=4),
    ]
    prints = [plain, *(each.declaration.fingerprint for each in others)]
    assert all(one != other for i, one in enumerate(prints) for other in prints[:i])
    assert prints[-1]["map_projection"] == {"kind": "gaussian", "seed": 0, "num_channels": 4}
    assert plain["preprocessing"]["fit"] == "stretch"


def test_bfloat16_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="'eye' places boxes in float32, not in bfloat16"):
        build(precision="bfloat16")


def test_levels_are_ordered_from_the_finest_whatever_their_names() -> None:
    levels = {
        "pool": torch.zeros(1, 1, 2, 3),
        "0": torch.zeros(1, 1, 8, 9),
        "1": torch.ones(1, 1, 8, 9),
    }
    ordered = order_levels(levels)
    assert [level.shape[2] for level in ordered] == [8, 8, 2]
    assert ordered[1] is levels["1"]


def test_declaring_needs_no_network() -> None:
    request = TeacherRequest(name="eye", family="x", runtime="torch", device="cpu")
    facts = DetectorFacts(
        weights_sha256="0",
        frame_format=detector_frames(request, 8, 6),
        mean=(0.5,),
        std=(0.5,),
        class_names=(),
        level_shapes=(),
    )
    (boxes,) = declare_detector(request, facts).outputs
    assert (boxes.layout, boxes.shape, boxes.dtype) == ("boxes", (MAX_BOXES, 6), "float32")
    assert boxes.attributes["unit"] == "fraction of the picture"
