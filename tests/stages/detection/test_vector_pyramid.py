import math
from collections.abc import Sequence

import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.stages.detection.grid_network import GridNetwork
from avkd.stages.detection.vector_pyramid import VectorPyramid

Size = tuple[int, int]


def halve(size: Size, times: int) -> list[Size]:
    return [
        (math.ceil(size[0] / 2**level), math.ceil(size[1] / 2**level)) for level in range(times)
    ]


def build(level_sizes: Sequence[Size], widths: Sequence[int] = (8, 6)) -> VectorPyramid:
    torch.manual_seed(0)
    return VectorPyramid(12, bottleneck=8, widths=widths, map_channels=5, level_sizes=level_sizes)


@pytest.mark.parametrize("finest", [(16, 20), (13, 17), (1, 1), (2, 3), (19, 34), (33, 5)])
@pytest.mark.parametrize("num_levels", [1, 3, 5])
@torch.no_grad()
def test_any_halving_sizes_are_reached(finest: Size, num_levels: int) -> None:
    sizes = halve(finest, num_levels)
    pyramid = build(sizes).eval()
    maps = pyramid(torch.randn(2, 12))
    assert [tuple(each.shape) for each in maps] == [(2, 5, *size) for size in sizes]
    assert pyramid.map_sizes == tuple(sizes)
    assert pyramid.map_channels == (5,) * num_levels


@torch.no_grad()
def test_the_levels_of_a_picture_of_any_size_are_halves() -> None:
    """Cells of strides 8, 16, 32, ... over a picture, rounded up, are halves rounded up."""
    for height, width in ((768, 768), (90, 161), (33, 250)):
        sizes = [(-(-height // stride), -(-width // stride)) for stride in (8, 16, 32, 64, 128)]
        assert sizes == halve(sizes[0], 5)
    assert build(sizes).map_sizes[-1] == (1, 2)


@torch.no_grad()
def test_the_finest_level_is_that_of_the_grid_network() -> None:
    pyramid = build(halve((13, 20), 3)).eval()
    grid = GridNetwork(12, bottleneck=8, widths=(8, 6), map_channels=5, height=13, width=20).eval()
    grid.load_state_dict(pyramid.finest.state_dict())
    vectors = torch.randn(3, 12)
    assert torch.equal(pyramid(vectors)[0], grid(vectors))


def test_gradients_reach_every_weight_from_the_coarsest_level() -> None:
    pyramid = build(halve((13, 20), 4)).train()
    coarsest = pyramid(torch.randn(4, 12, generator=torch.Generator().manual_seed(1)))[-1]
    weights = torch.randn(coarsest.shape, generator=torch.Generator().manual_seed(2))
    (coarsest * weights).sum().backward()
    for name, parameter in pyramid.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@torch.no_grad()
def test_levels_differ_from_vector_to_vector() -> None:
    maps = build(halve((16, 20), 5)).eval()(torch.randn(2, 12))
    assert all(not torch.allclose(each[0], each[1]) for each in maps)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([], "a pyramid of no levels is none"),
        ([(16, 20), (8, 9)], r"a level of \(8, 9\) cells after one of \(16, 20\) .* \(8, 10\)"),
        ([(13, 20), (6, 10)], r"rounded up: \(7, 10\)"),
        ([(16, 20), (4, 5)], r"rounded up: \(8, 10\)"),
        ([(0, 4)], "a grid of 0 cells is none"),
    ],
)
def test_sizes_that_do_not_halve_are_refused(sizes: list[Size], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message) as refusal:
        build(sizes)
    assert "\n" not in str(refusal.value)


def test_two_widths_are_asked_for() -> None:
    with pytest.raises(InvalidValueError, match="must be two"):
        build([(4, 4)], widths=(8,))
