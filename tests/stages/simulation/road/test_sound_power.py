import numpy as np
import pytest

from avkd.stages.simulation.road.settings import KINDS, Kind
from avkd.stages.simulation.road.sound_power import (
    OCTAVES_HZ,
    REFERENCE_PA,
    pressure_density,
    propulsion_db,
    rolling_db,
)

V_70 = 70 / 3.6


def total_db(levels: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(10 ** (levels / 10))))


@pytest.mark.parametrize(
    ("kind", "rolling_1k", "propulsion_63"),
    [("car", 100.1, 97.9), ("van", 101.7, 105.5), ("truck", 105.1, 108.8)],
)
def test_at_the_reference_speed_the_levels_are_the_printed_ones(
    kind: Kind, rolling_1k: float, propulsion_63: float
) -> None:
    rolling = rolling_db(kind, -V_70)
    assert rolling is not None
    assert rolling[4] == pytest.approx(rolling_1k)
    assert propulsion_db(kind, V_70)[0] == pytest.approx(propulsion_63)


def test_motorcycles_have_no_rolling_noise() -> None:
    assert rolling_db("motorcycle", V_70) is None


def test_twice_the_speed_raises_a_cars_tyres_at_1_khz_by_its_coefficient() -> None:
    slow, fast = rolling_db("car", 10.0), rolling_db("car", 20.0)
    assert slow is not None
    assert fast is not None
    assert fast[4] - slow[4] == pytest.approx(32.5 * np.log10(2))


def test_a_truck_is_louder_than_a_van_than_a_car_and_all_are_louder_when_faster() -> None:
    loudness = [total_db(propulsion_db(kind, 14.0)) for kind in ("truck", "van", "car")]
    assert loudness == sorted(loudness, reverse=True)
    for kind in KINDS:
        assert total_db(propulsion_db(kind, 20.0)) > total_db(propulsion_db(kind, 8.0))


def test_below_20_km_h_levels_stay() -> None:
    assert (propulsion_db("car", 1.0) == propulsion_db("car", 20 / 3.6)).all()


@pytest.mark.parametrize("kind", ["car", "van", "truck"])
def test_each_octave_of_the_smooth_density_holds_its_bands_power(kind: Kind) -> None:
    power_db = rolling_db(kind, V_70)
    assert power_db is not None
    density = pressure_density(power_db)
    for level, centre in zip(power_db, OCTAVES_HZ, strict=True):
        frequencies = np.linspace(centre / np.sqrt(2), centre * np.sqrt(2), 2_001)
        mean_square = np.trapezoid(density(frequencies), frequencies)
        # Over a hard ground the image doubles the pressure: the half space of the source's power.
        with_ground = 10 * np.log10(4 * mean_square / REFERENCE_PA**2)
        assert with_ground == pytest.approx(level - 10 * np.log10(2 * np.pi), abs=0.1)
