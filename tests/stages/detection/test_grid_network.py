import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.stages.detection.grid import split_head
from avkd.stages.detection.grid_network import GridNetwork, build_grid_head, grid_sizes


def build(size: tuple[int, int]) -> GridNetwork:
    torch.manual_seed(0)
    return GridNetwork(
        12, bottleneck=8, widths=(8, 6), map_channels=5, height=size[0], width=size[1]
    )


@torch.no_grad()
def test_the_papers_layers_have_the_papers_shapes() -> None:
    network = GridNetwork(
        640, bottleneck=1024, widths=(512, 512), map_channels=1024, height=13, width=13
    ).eval()
    vector = network.bottleneck(torch.randn(1, 640))
    assert vector.shape == (1, 1024)
    maps, sizes = vector[..., None, None], []
    for layer in network.deconvolutions:
        maps = layer(maps)
        sizes.append(tuple(maps.shape[2:]))
    assert sizes == [(4, 4), (7, 7), (13, 13)]
    assert maps.shape == (1, 1024, 13, 13)
    head = build_grid_head(1024, 5, 20)
    assert head(maps).shape == (1, 125, 13, 13)
    assert head.kernel_size == (1, 1)


@pytest.mark.parametrize("size", [(13, 13), (1, 1), (2, 3), (10, 18), (7, 16), (20, 20), (19, 34)])
@torch.no_grad()
def test_any_grid_can_be_reached(size: tuple[int, int]) -> None:
    assert build(size).eval()(torch.randn(2, 12)).shape == (2, 5, *size)


def test_each_step_of_the_growth_at_most_doubles() -> None:
    assert grid_sizes(13) == (4, 7, 13)
    for size in range(1, 60):
        first, second, last = grid_sizes(size)
        assert last == size
        assert second in (2 * first, 2 * first - 1)
        assert last in (2 * second, 2 * second - 1)


@torch.no_grad()
def test_a_fresh_head_says_that_nothing_is_there() -> None:
    head = build_grid_head(5, 3, 4)
    values = split_head(head(torch.zeros(1, 5, 2, 2)), 3)
    torch.testing.assert_close(values.objectness.sigmoid(), torch.full((1, 3, 2, 2), 0.01))
    assert not values.box.any()
    assert not values.classes.any()


def test_sizes_that_are_none_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="a grid of 0 cells is none"):
        grid_sizes(0)
    with pytest.raises(InvalidValueError, match="must be two"):
        GridNetwork(4, bottleneck=4, widths=(4,), map_channels=4, height=13, width=13)
