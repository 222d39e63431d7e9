import numpy as np
import pytest

from avkd.stages.simulation.obstacles import OBSTACLES


@pytest.mark.parametrize("name", sorted(OBSTACLES))
def test_an_obstacle_hides_a_part_of_the_middle_and_not_all(name: str) -> None:
    for seed in range(4):
        alpha = np.asarray(OBSTACLES[name](np.random.default_rng(seed)).getchannel("A")) / 255
        assert 0.04 < alpha.mean() < 0.6
        assert alpha[:, :20].mean() < 0.15


@pytest.mark.parametrize("name", ["post", "curtain"])
def test_posts_and_curtains_reach_from_top_to_bottom(name: str) -> None:
    alpha = np.asarray(OBSTACLES[name](np.random.default_rng(0)).getchannel("A"))
    assert alpha[1:-1, 128].min() == 255
