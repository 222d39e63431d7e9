import numpy as np
import pytest

from avkd.stages.simulation.road.engine import cycle_hz
from avkd.stages.simulation.road.models import MODELS, draw_body, draw_speed
from avkd.stages.simulation.road.settings import KINDS, Kind


@pytest.mark.parametrize("kind", KINDS)
def test_bodies_lie_within_their_kinds_ranges(kind: Kind) -> None:
    model = MODELS[kind]
    bodies = [draw_body(np.random.default_rng(seed), kind) for seed in range(50)]
    assert draw_body(np.random.default_rng(0), kind) == bodies[0]
    for body in bodies:
        assert model.length_m[0] <= body.length_m <= model.length_m[1]
        assert model.height_m[0] <= body.height_m <= model.height_m[1]
        assert model.width_m[0] <= body.width_m <= model.width_m[1]
    assert len({body.colour for body in bodies}) > 3


@pytest.mark.parametrize("kind", KINDS)
def test_engines_turn_as_such_engines_do_at_speeds_that_are_driven(kind: Kind) -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        body, speed = draw_body(rng, kind), draw_speed(rng, kind)
        rpm = 120 * cycle_hz(body.engine, speed)
        assert 0.7 < rpm / body.engine.cruise_rpm < 1.45
        assert 20 < 3.6 * speed < 75


def test_trucks_are_longer_and_higher_than_vans_than_cars() -> None:
    for field in ("length_m", "height_m", "width_m"):
        means = [np.mean(getattr(MODELS[kind], field)) for kind in ("truck", "van", "car")]
        assert means == sorted(means, reverse=True)
