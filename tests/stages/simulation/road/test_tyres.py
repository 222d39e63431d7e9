from itertools import pairwise

import numpy as np
import pytest

from avkd.stages.simulation.road.models import draw_body
from avkd.stages.simulation.road.motion import Array
from avkd.stages.simulation.road.settings import Kind, Vehicle
from avkd.stages.simulation.road.sound_power import OCTAVES_HZ, REFERENCE_PA, rolling_db
from avkd.stages.simulation.road.tyres import WET_DB, axle_sounds

RATE = 24_000


def vehicle(kind: Kind, speed_mps: float) -> Vehicle:
    body = draw_body(np.random.default_rng(0), kind)
    return Vehicle(
        track_id=0,
        seed=4,
        kind=kind,
        lane_z_m=8.0,
        speed_mps=speed_mps,
        passing_seconds=0.0,
        length_m=body.length_m,
        height_m=body.height_m,
        width_m=body.width_m,
        colour=body.colour,
        engine=body.engine,
    )


def octaves_db(waveform: Array) -> Array:
    power = np.abs(np.fft.rfft(waveform)) ** 2 * 2 / len(waveform) ** 2
    frequencies = np.fft.rfftfreq(len(waveform), 1 / RATE)
    edges = np.append(OCTAVES_HZ[:7] / np.sqrt(2), OCTAVES_HZ[6] * np.sqrt(2))
    sums = [
        power[(frequencies >= low) & (frequencies < high)].sum() for low, high in pairwise(edges)
    ]
    return np.asarray(10 * np.log10(8 * np.pi * np.asarray(sums) / REFERENCE_PA**2))


@pytest.mark.parametrize("kind", ["car", "van", "truck"])
def test_the_axles_together_have_the_sourced_powers(kind: Kind) -> None:
    total = np.sum(axle_sounds(vehicle(kind, 15.0), "day", 10 * RATE, RATE), axis=0)
    wanted = rolling_db(kind, 15.0)
    assert wanted is not None
    assert octaves_db(total) == pytest.approx(wanted[:7], abs=0.8)


def test_axles_roll_apart_and_motorcycles_have_none() -> None:
    front, rear = axle_sounds(vehicle("car", 15.0), "night", RATE, RATE)
    assert abs(np.corrcoef(front, rear)[0, 1]) < 0.1
    assert axle_sounds(vehicle("motorcycle", 15.0), "day", RATE, RATE) == ()


def test_a_wet_road_hisses() -> None:
    dry, wet = (
        octaves_db(axle_sounds(vehicle("car", 15.0), light, 10 * RATE, RATE)[0])
        for light in ("day", "rain")
    )
    assert wet - dry == pytest.approx(WET_DB[:7], abs=0.8)
