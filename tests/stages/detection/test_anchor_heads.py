import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.detection.anchor_decoding import decode_anchors
from avkd.stages.detection.anchor_heads import AnchorHead
from avkd.stages.detection.bifpn import BiFpn
from avkd.stages.detection.pyramid_anchors import AnchorLayout

LAYOUT = AnchorLayout(picture_size=(150, 220), strides=(8, 16, 32))
OFFSETS = (0.25, -0.5, math.log(0.5), math.log(1.5))
"""(dy, dx, dh, dw)"""


def build(num_values: int, num_repeats: int = 2, first_bias: float = 0.0) -> AnchorHead:
    torch.manual_seed(0)
    return AnchorHead(
        4,
        num_repeats=num_repeats,
        num_levels=3,
        anchors_per_cell=9,
        num_values=num_values,
        first_bias=first_bias,
    )


def draw_levels(width: int = 4, pictures: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(pictures, width, *s, generator=generator) for s in LAYOUT.level_sizes]


def wire(head: AnchorHead, anchor: int, values: tuple[float, ...]) -> None:
    """Make one anchor of a cell say these values wherever channel 0 is 1."""
    within, across = head.last
    assert isinstance(within, nn.Conv2d)
    assert isinstance(across, nn.Conv2d)
    with torch.no_grad():
        within.weight.zero_()[:, :, 1, 1] = 1
        across.weight.zero_().view(9, len(values), 4)[anchor, :, 0] = torch.tensor(values)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_the_anchor_that_fires_is_the_one_at_that_place(data: st.DataObject) -> None:
    level = data.draw(st.integers(0, 2))
    rows, columns = LAYOUT.level_sizes[level]
    row, column = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    octave, ratio = data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))
    classes, offsets = build(2, 0, first_bias=-9.0), build(4, 0)
    wire(classes, 3 * octave + ratio, (0.0, 12.0))
    wire(offsets, 3 * octave + ratio, OFFSETS)
    levels = [torch.zeros(2, 4, *size) for size in LAYOUT.level_sizes]
    levels[level][1, 0, row, column] = 1.0
    said = decode_anchors(
        classes(levels), offsets(levels), LAYOUT.place(), torch.tensor([5, 6]), torch.tensor([7, 8])
    )
    # Worked out in pixels, without the layout's order.
    stride = LAYOUT.strides[level]
    side = 4 * stride * 2 ** (octave / 3)
    width, height = (side * part for part in ((1, 1), (1.4, 0.7), (0.7, 1.4))[ratio])
    x, y = (column + 0.5) * stride - 0.5 * width, (row + 0.5) * stride + 0.25 * height
    half_width, half_height = 1.5 * width / 2, 0.5 * height / 2
    corners = [x - half_width, y - half_height, x + half_width, y + half_height]
    expected = [
        min(max(corner / size, 0), 1)
        for corner, size in zip(corners, (220, 150, 220, 150), strict=True)
    ]
    if expected[0] == expected[2] or expected[1] == expected[3]:
        assert len(said) == 0
        return
    assert said.boxes.tolist() == [pytest.approx(expected, abs=1e-5)]
    assert (said.row.item(), said.step.item(), said.classes.item()) == (6, 8, 1)
    assert said.scores.item() == pytest.approx(1 / (1 + math.exp(-3)))


def test_levels_share_convolutions_but_not_batch_norms() -> None:
    head, levels = build(4).train(), draw_levels()
    counts = [9 * rows * columns for rows, columns in LAYOUT.level_sizes]
    before = head(levels).split(counts, dim=1)
    first = head.repeats[0]
    with torch.no_grad():
        first.norms[1].weight.mul_(3)  # type: ignore[index,union-attr]
    after = head(levels).split(counts, dim=1)
    assert [torch.equal(old, new) for old, new in zip(before, after, strict=True)] == [
        True,
        False,
        True,
    ]
    with torch.no_grad():
        next(iter(first.convolution.parameters())).mul_(torch.rand(4, 1, 3, 3))  # type: ignore[union-attr]
    changed = head(levels).split(counts, dim=1)
    assert not any(torch.equal(old, new) for old, new in zip(after, changed, strict=True))


@torch.no_grad()
def test_a_fresh_head_says_its_first_bias_almost_everywhere() -> None:
    prior = 0.01
    head = build(3, first_bias=math.log(prior / (1 - prior))).train()
    scores = head(draw_levels()).sigmoid()
    assert scores.min() > 0.8 * prior
    assert scores.max() < 1.25 * prior
    assert scores.std() > 0


def test_gradients_reach_every_parameter_of_pyramid_and_heads() -> None:
    torch.manual_seed(0)
    pyramid = BiFpn((3, 5), 4, num_levels=3, num_cells=2)
    classes, offsets = build(2, first_bias=-4.0), build(4)
    sizes = LAYOUT.level_sizes
    levels = pyramid([torch.randn(2, 3, *sizes[0]), torch.randn(2, 5, *sizes[1])])
    (classes(levels).sigmoid().sum() + offsets(levels).square().sum()).backward()
    for module in (pyramid, classes, offsets):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name


def test_a_seed_gives_the_same_bytes_twice() -> None:
    first, second = (build(4)(draw_levels()) for _ in range(2))
    assert torch.equal(first, second)


D2_CHANNELS = (48, 120, 352)


def build_d2(num_classes: int) -> tuple[BiFpn, AnchorHead, AnchorHead]:
    pyramid = BiFpn(D2_CHANNELS, 112, num_levels=5, num_cells=5)
    classes, offsets = (
        AnchorHead(112, num_repeats=3, num_levels=5, anchors_per_cell=9, num_values=values)
        for values in (num_classes, 4)
    )
    return pyramid, classes, offsets


@torch.no_grad()
def test_the_pyramid_and_heads_of_d2_have_the_papers_shapes() -> None:
    layout = AnchorLayout(picture_size=(768, 768))
    pyramid, classes, offsets = (module.eval() for module in build_d2(20))
    levels = pyramid(
        [
            torch.zeros(1, channels, *size)
            for channels, size in zip(D2_CHANNELS, layout.level_sizes, strict=False)
        ]
    )
    assert [tuple(each.shape) for each in levels] == [(1, 112, n, n) for n in (96, 48, 24, 12, 6)]
    assert classes(levels).shape == (1, 110_484, 20)
    assert offsets(levels).shape == (1, 110_484, 4)


def test_d2_with_its_backbone_has_the_8_1_million_parameters_of_the_paper() -> None:
    import timm

    # Worked out by hand [D]: separable convolution 9 W + W^2, batch norm 2 W, W = 112.
    separable, norm = 9 * 112 + 112**2, 2 * 112
    cell = 8 * (separable + norm) + 5 * 2 + 3 * 3
    laterals = (48 + 2 * 120 + 2 * 352 + 352) * 112 + 6 * norm
    repeats = 2 * 3 * (separable + 5 * norm)
    last = sum(9 * 112 + 112 * 9 * values + 9 * values for values in (90, 4))
    counted = sum(_count(module) for module in build_d2(90))
    assert counted == 5 * cell + laterals + repeats + last == 888_653
    # 8.1 million with the 90 classes of COCO is the paper's table 2 [R].
    backbone: Any = timm.create_model("efficientnet_b2", features_only=True, out_indices=(2, 3, 4))
    assert tuple(backbone.feature_info.channels()) == D2_CHANNELS
    assert (counted + _count(backbone)) / 1e6 == pytest.approx(8.1, abs=0.05)


def _count(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def test_another_number_of_levels_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="a head of 3 levels was given 2"):
        build(4)(draw_levels()[:2])
