from dataclasses import replace

import numpy as np
import pytest

from avkd.stages.simulation.road.engine import cycle_hz, engine_sound, firing_hz, tonal_share
from avkd.stages.simulation.road.motion import Array
from avkd.stages.simulation.road.settings import Engine, Kind, Vehicle
from avkd.stages.simulation.road.sound_power import OCTAVES_HZ, REFERENCE_PA, propulsion_db

RATE = 24_000
ENGINE = Engine(num_cylinders=4, turns_per_metre=(7.0, 4.0, 2.0), cruise_rpm=2_000)


def vehicle(kind: Kind = "car", speed_mps: float = 14.0, seed: int = 1) -> Vehicle:
    return Vehicle(
        track_id=0,
        seed=seed,
        kind=kind,
        lane_z_m=8.0,
        speed_mps=speed_mps,
        passing_seconds=1.0,
        length_m=4.0,
        height_m=1.5,
        width_m=1.8,
        colour=(0, 0, 0),
        engine=ENGINE,
    )


def band_db(waveform: Array, low: float, high: float) -> float:
    """Sound power whose straight sound has this level at 1 m, as the sources count it."""
    power = np.abs(np.fft.rfft(waveform)) ** 2 * 2 / len(waveform) ** 2
    frequencies = np.fft.rfftfreq(len(waveform), 1 / RATE)
    inside = (frequencies >= low) & (frequencies < high)
    return float(10 * np.log10(8 * np.pi * power[inside].sum() / REFERENCE_PA**2))


def test_the_firing_rate_follows_the_speed_within_a_gear_and_falls_with_the_next() -> None:
    # 16 m/s in third gear: 32 turns a second, two firings each.
    assert firing_hz(ENGINE, -16.0) == pytest.approx(64.0)
    assert firing_hz(ENGINE, 18.0) == pytest.approx(72.0)
    assert cycle_hz(ENGINE, 16.0) == pytest.approx(16.0)
    assert firing_hz(ENGINE, 10.0) == pytest.approx(80.0)  # second gear


@pytest.mark.parametrize(("cylinders", "speed"), [(3, 14.0), (4, 17.0), (6, 12.0)])
def test_the_strongest_lines_are_firings(cylinders: int, speed: float) -> None:
    engine = replace(ENGINE, num_cylinders=cylinders)
    sound = engine_sound(replace(vehicle(speed_mps=speed), engine=engine), 4 * RATE, RATE)
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    strongest = np.argmax(spectrum[:1_600]) / 4  # below 400 Hz
    order = strongest / firing_hz(engine, speed)
    assert order == pytest.approx(round(order), abs=0.02 * max(order, 1))


@pytest.mark.parametrize("kind", ["car", "truck", "motorcycle"])
def test_octave_bands_have_the_sourced_powers(kind: Kind) -> None:
    levels = np.mean(
        [
            [
                10 ** (band_db(sound, centre / 2**0.5, centre * 2**0.5) / 10)
                for centre in OCTAVES_HZ[2:7]
            ]
            for sound in (
                engine_sound(vehicle(kind, 12.0 + seed, seed), 2 * RATE, RATE) for seed in range(6)
            )
        ],
        axis=0,
    )
    wanted = np.mean(
        [10 ** (propulsion_db(kind, 12.0 + seed)[2:7] / 10) for seed in range(6)], axis=0
    )
    assert 10 * np.log10(levels / wanted) == pytest.approx(0, abs=1.5)


def test_a_louder_vehicle_is_louder_by_its_level() -> None:
    plain, loud = (
        engine_sound(replace(vehicle(), level_db=level), RATE, RATE) for level in (0.0, 6.0)
    )
    assert 20 * np.log10(loud.std() / plain.std()) == pytest.approx(6.0, abs=1e-6)


def test_engines_hum_below_and_rush_above() -> None:
    assert tonal_share(np.array([100.0, 1_200.0, 6_000.0])).round(2).tolist() == [0.99, 0.5, 0.04]


def test_vehicles_sound_the_same_each_time_and_not_alike() -> None:
    first, again, other = (engine_sound(vehicle(seed=seed), RATE, RATE) for seed in (1, 1, 2))
    assert (first == again).all()
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.8
