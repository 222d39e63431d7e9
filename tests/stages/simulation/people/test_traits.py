import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avkd.stages.simulation.people.traits import around, between, choose

CHOICES = (("a", 1.0), ("b", 2.0), ("c", 1.0))


@given(trait=st.floats(-8, 8))
def test_values_stay_in_their_ranges(trait: float) -> None:
    assert 3 <= between(trait, 3, 5) <= 5
    assert 5 <= around(trait, 10, 2) <= 15
    assert choose(trait, CHOICES) in ("a", "b", "c")


def test_traits_are_spread_evenly_and_chosen_by_weight() -> None:
    traits = np.random.default_rng(0).normal(size=4_000).tolist()
    values = [between(trait, 0, 1) for trait in traits]
    np.testing.assert_allclose(np.quantile(values, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.03)
    chosen = [choose(trait, CHOICES) for trait in traits]
    assert chosen.count("b") / len(chosen) == pytest.approx(0.5, abs=0.03)


def test_near_traits_give_near_values() -> None:
    assert abs(between(0.1, 0, 1) - between(0.2, 0, 1)) < 0.05
    assert choose(0.1, CHOICES) == choose(0.2, CHOICES) == "b"
    assert choose(-2.0, CHOICES) == "a"
    assert choose(2.0, CHOICES) == "c"
