import numpy as np
import pytest

from avkd.stages.simulation.scenery import draw_scenery


@pytest.mark.parametrize("seed", range(12))
def test_scenery_has_the_asked_size_and_is_not_flat(seed: int) -> None:
    image = draw_scenery(np.random.default_rng(seed), (120, 90))
    assert image.size == (120, 90)
    assert image.mode == "RGB"
    assert np.asarray(image).std() > 2


def test_places_differ_between_seeds_and_not_within_one() -> None:
    first, again, other = (
        np.asarray(draw_scenery(np.random.default_rng(seed), (120, 90)), dtype=int)
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 5
