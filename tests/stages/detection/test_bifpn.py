import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import silu

from avkd.errors import InvalidValueError
from avkd.stages.detection.bifpn import BiFpn, BiFpnCell, FusionNode, MapNorm, halve
from avkd.stages.detection.pyramid_anchors import AnchorLayout

CHANNELS = (3, 5, 7)


def build(num_levels: int = 5, num_cells: int = 2, width: int = 6) -> BiFpn:
    torch.manual_seed(0)
    return BiFpn(CHANNELS, width, num_levels=num_levels, num_cells=num_cells)


def draw_maps(
    sizes: Sequence[tuple[int, int]], channels: Sequence[int] = CHANNELS, pictures: int = 2
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(pictures, count, *size, generator=generator)
        for count, size in zip(channels, sizes, strict=False)
    ]


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(3, 6))
def test_pictures_of_any_size_keep_the_levels_of_their_anchors(
    height: int, width: int, num_levels: int
) -> None:
    strides = tuple(8 * 2**level for level in range(num_levels))
    sizes = AnchorLayout(picture_size=(height, width), strides=strides).level_sizes
    levels = build(num_levels).train()(draw_maps(sizes))
    assert [tuple(each.shape) for each in levels] == [(2, 6, *size) for size in sizes]


def test_weights_of_a_node_are_not_negative_and_sum_to_1() -> None:
    node = FusionNode(4, 3)
    torch.testing.assert_close(node.weigh(), torch.full((3,), 1 / 3), atol=1e-4, rtol=0)
    with torch.no_grad():
        node.raw_weights.copy_(torch.tensor([1.0, 3.0, -2.0]))
    torch.testing.assert_close(node.weigh(), torch.tensor([0.25, 0.75, 0]), atol=1e-4, rtol=0)
    for cell in build().cells:
        for fusion in (each for each in cell.modules() if isinstance(each, FusionNode)):
            assert fusion.weigh().sum().item() == pytest.approx(1, abs=1e-4)


def test_a_node_that_counts_nothing_stays_finite() -> None:
    node = FusionNode(4, 2)
    with torch.no_grad():
        node.raw_weights.fill_(-1)
    told = node(*torch.randn(2, 3, 4, 5, 5).unbind())
    assert told.isfinite().all()


def _grow(maps: Tensor, like: Tensor) -> Tensor:
    doubled = maps.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return doubled[..., : like.shape[2], : like.shape[3]]


def test_a_cell_goes_down_and_up_as_the_paper_draws_it() -> None:
    cell = BiFpnCell(2, 4)
    for node in (each for each in cell.modules() if isinstance(each, FusionNode)):
        node.convolution, node.norm = nn.Sequential(), nn.Identity()  # type: ignore[assignment]
    sizes = [(13, 9), (7, 5), (4, 3), (2, 2)]
    p3, p4, p5, p6 = draw_maps(sizes, (2,) * 4)
    _, again4, again5, again6 = (-each for each in (p3, p4, p5, p6))
    two, three = 2 + 1e-4, 3 + 1e-4
    down5 = silu((p5 + _grow(p6, p5)) / two)
    down4 = silu((p4 + _grow(down5, p4)) / two)
    up3 = silu((p3 + _grow(down4, p3)) / two)
    up4 = silu((again4 + down4 + halve(up3)) / three)
    up5 = silu((again5 + down5 + halve(up4)) / three)
    up6 = silu((again6 + halve(up5)) / two)
    told = cell([p3, p4, p5, p6], [p3, again4, again5, again6])
    torch.testing.assert_close(told, [up3, up4, up5, up6])


def test_halving_takes_the_strongest_of_each_nine_cells() -> None:
    maps = torch.arange(25.0).view(1, 1, 5, 5)
    expected = torch.tensor([[6.0, 8, 9], [16, 18, 19], [21, 23, 24]])
    assert torch.equal(halve(maps)[0, 0], expected)
    for size in range(1, 20):
        assert halve(torch.zeros(1, 1, size, 3)).shape[2] == math.ceil(size / 2)


def test_the_first_cell_hears_every_map_but_the_finest_twice() -> None:
    network = build(num_cells=1).eval()
    maps = draw_maps([(8, 8), (4, 4), (2, 2)])
    before = network(maps)
    assert len(network.laterals_for_up) == 2
    with torch.no_grad():
        network.laterals_for_up[0][0].weight.neg_()  # type: ignore[index]
    after = network(maps)
    assert torch.equal(before[0], after[0])
    for old, new in zip(before[1:], after[1:], strict=True):
        assert not torch.allclose(old, new)


def test_levels_beyond_the_backbone_are_pooled_from_its_coarsest_map() -> None:
    network = build().eval()
    fourth, fifth = network._go_beyond(draw_maps([(9, 9), (5, 5), (3, 3)])[-1])
    assert fourth.shape[2:] == (2, 2)
    assert torch.equal(fifth, halve(fourth))
    assert build(num_levels=3).beyond is None


def test_one_cell_tells_every_level_of_every_map() -> None:
    network = build(num_cells=1).eval()
    maps = [each.requires_grad_() for each in draw_maps([(11, 8), (6, 4), (3, 2)])]
    for level in network(maps):
        for gradient in torch.autograd.grad(level.square().sum(), maps, retain_graph=True):
            assert gradient.abs().sum() > 0


@pytest.mark.parametrize("num_levels", [3, 5])
def test_gradients_reach_every_parameter(num_levels: int) -> None:
    network = build(num_levels).train()
    sum(level.square().sum() * (n + 1) for n, level in enumerate(network(_odd()))).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def _odd() -> list[Tensor]:
    return draw_maps([(13, 9), (7, 5), (4, 3)], pictures=3)


def test_a_seed_gives_the_same_bytes_twice() -> None:
    told = []
    for _ in range(2):
        network = build()
        levels = network(_odd())
        sum(level.square().sum() for level in levels).backward()
        told.append([*levels, *(each.grad for each in network.parameters())])
    assert all(torch.equal(left, right) for left, right in zip(*told, strict=True))


def test_the_layout_in_memory_changes_nothing_but_the_time() -> None:
    network = build().eval()
    maps = _odd()
    turned = [each.to(memory_format=torch.channels_last) for each in maps]
    for left, right in zip(network(maps), network(turned), strict=True):
        assert torch.equal(left, right)


def test_one_cell_of_one_picture_is_normalised_by_the_running_figures() -> None:
    norm, plain = MapNorm(4).train(), nn.BatchNorm2d(4, eps=1e-3).train()
    maps = torch.randn(3, 4, 2, 2)
    torch.testing.assert_close(norm(maps), plain(maps))
    figures = norm.running_mean.clone()  # type: ignore[union-attr]
    cell = torch.randn(1, 4, 1, 1)
    torch.testing.assert_close(norm(cell), plain.eval()(cell))
    torch.testing.assert_close(norm.running_mean, figures)
    with pytest.raises(ValueError, match="more than 1 value"):
        nn.BatchNorm2d(4)(cell)


def test_a_batch_of_one_small_picture_trains_and_of_none_is_none() -> None:
    sizes = [(2, 3), (1, 2), (1, 1)]
    levels = build().train()(draw_maps(sizes, pictures=1))
    sum(level.sum() for level in levels).backward()
    nothing = build().eval()(draw_maps(sizes, pictures=0))
    assert [each.shape[0] for each in nothing] == [0] * 5


def test_pyramids_that_are_none_and_maps_that_do_not_halve_are_refused() -> None:
    for channels, num_levels, num_cells in [((), 3, 1), ((4,), 1, 1), ((4, 4), 3, 0)]:
        with pytest.raises(InvalidValueError, match="is none; take 2 or more levels"):
            BiFpn(channels, 4, num_levels=num_levels, num_cells=num_cells)
    with pytest.raises(InvalidValueError, match=r"sizes \[\(8, 8\), \(4, 4\), \(4, 4\)\]"):
        build()(draw_maps([(8, 8), (4, 4), (4, 4)]))
    with pytest.raises(InvalidValueError, match="give 3, finest first"):
        build()(draw_maps([(8, 8), (4, 4)]))
