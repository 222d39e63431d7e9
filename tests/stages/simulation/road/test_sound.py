from dataclasses import replace

import numpy as np
import pytest

from avkd.stages.simulation.road.background import background
from avkd.stages.simulation.road.engine import firing_hz
from avkd.stages.simulation.road.microphones import cardioid_pair, ring_of_eight, stereo_pair
from avkd.stages.simulation.road.motion import Array, position
from avkd.stages.simulation.road.settings import LIGHTS, VIEWS, Drive, Engine, Light, Vehicle
from avkd.stages.simulation.road.sound import (
    FULL_SCALE_PA,
    num_clipped,
    render_pressure,
    render_sound,
    vehicle_pressure,
    vehicle_sources,
)
from avkd.stages.simulation.road.sound_power import OCTAVES_HZ, propulsion_db, rolling_db
from avkd.stages.simulation.road.traffic import Recorder, Traffic, draw_drive

RATE = 16_000
CAR = Vehicle(
    track_id=0,
    seed=2,
    kind="car",
    lane_z_m=8.0,
    speed_mps=14.0,
    passing_seconds=2.0,
    length_m=4.4,
    height_m=1.5,
    width_m=1.8,
    colour=(200, 0, 0),
    engine=Engine(num_cylinders=4, turns_per_metre=(7.5, 4.1, 2.8, 2.0, 1.6), cruise_rpm=2_000),
)


def drive(*vehicles: Vehicle, light: Light = "night") -> Drive:
    return Drive(
        recording_id="r",
        seed=7,
        vehicles=vehicles,
        camera=VIEWS[0],
        microphones=stereo_pair(VIEWS[0]),
        light=light,
        duration_seconds=4.0,
        frame_rate=10,
        sample_rate=RATE,
        wind_mps=0.5,
    )


def drawn(seed: int, light: Light) -> Drive:
    return draw_drive(
        "r",
        seed,
        camera=VIEWS[0],
        light=light,
        recorder=Recorder(duration_seconds=1.0, sample_rate=RATE),
        traffic=Traffic(),
    )


def level_db(waveform: Array) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(waveform**2)) / 2e-5))


def near(waveform: Array, seconds: float, width: float = 0.2) -> Array:
    return waveform[..., round((seconds - width / 2) * RATE) : round((seconds + width / 2) * RATE)]


def test_a_drive_sounds_the_same_again_and_vehicles_do_not_change_each_other() -> None:
    other = replace(CAR, track_id=1, seed=3, passing_seconds=-3.0)
    both = render_sound(drive(CAR, other))
    assert both.dtype == np.int16
    assert both.shape == (2, 4 * RATE)
    assert (render_sound(drive(CAR, other)) == both).all()
    alone = render_pressure(drive(CAR)) + vehicle_pressure(drive(other), other)
    assert np.abs(alone - render_pressure(drive(CAR, other))).max() < 1e-12


def test_an_empty_road_is_its_background() -> None:
    assert (render_pressure(drive()) == background(drive())).all()


def test_the_same_gain_holds_for_every_recording() -> None:
    sound, pressure = render_sound(drive(CAR)), render_pressure(drive(CAR))
    assert np.abs(sound * FULL_SCALE_PA / 32767 - pressure).max() <= 0.5 * FULL_SCALE_PA / 32767


@pytest.mark.parametrize("light", LIGHTS)
def test_traffic_is_far_from_full_scale_and_above_the_steps_of_a_sample(light: Light) -> None:
    pressure = render_pressure(drawn(1, light))
    assert num_clipped(pressure) == 0
    assert np.abs(pressure).max() < FULL_SCALE_PA / 2
    quiet = render_sound(drive(light=light))
    assert quiet.std() > 2


def test_a_pass_by_has_the_level_that_the_sourced_power_gives() -> None:
    heard = near(vehicle_pressure(drive(CAR, light="day"), CAR), 2.0)
    rolling = rolling_db("car", 14.0)
    assert rolling is not None
    in_band = OCTAVES_HZ < 5_000
    power = 10 ** (rolling / 10) + 10 ** (propulsion_db("car", 14.0) / 10)
    distance_m = np.hypot(8.0, VIEWS[0].height_m)
    wanted = 10 * np.log10(power[in_band].sum()) - 10 * np.log10(2 * np.pi * distance_m**2)
    assert level_db(heard) == pytest.approx(wanted, abs=2.0)


def test_a_vehicle_is_loudest_when_it_passes_and_still_heard_off_screen() -> None:
    pressure = vehicle_pressure(drive(CAR), CAR)[0]
    levels = [level_db(near(pressure, seconds)) for seconds in (0.2, 1.0, 2.0, 3.0, 3.8)]
    assert np.argmax(levels) == 2
    assert levels[2] - levels[0] == pytest.approx(20 * np.log10(np.hypot(25, 8) / 8), abs=2.5)
    # At 25 m it is out of every picture here, and far above the night.
    assert levels[0] > level_db(background(drive())[0]) + 10


def _lag_seconds(left: Array, right: Array) -> float:
    """How much later the left one hears it: the peak of the correlation, through a parabola."""
    size = 2 * len(left)
    spectrum = np.fft.rfft(left, size) * np.conj(np.fft.rfft(right, size))
    spectrum /= np.abs(spectrum) + 1e-9 * np.abs(spectrum).max()
    correlation = np.roll(np.fft.irfft(spectrum), size // 2)
    inside = correlation[size // 2 - 25 : size // 2 + 26]
    top = int(np.clip(np.argmax(inside), 1, 49))
    before, here, after = inside[top - 1 : top + 2]
    return float(top - 25 + 0.5 * (before - after) / (before - 2 * here + after)) / RATE


@pytest.mark.parametrize("speed", [14.0, -14.0])
def test_the_delay_between_microphones_follows_a_vehicle_across_the_view(speed: float) -> None:
    car = replace(CAR, speed_mps=speed)
    pair = drive(car)
    left, right = vehicle_pressure(pair, car)
    for seconds in (1.4, 1.7, 2.0, 2.3, 2.6):
        lag = _lag_seconds(near(left, seconds, 0.1), near(right, seconds, 0.1))
        x = position(car, seconds - 9.0 / 340)[0]  # about when it was emitted
        # Axles and engine lie along the car, and the car moves 1.4 m while this is heard.
        low, high = (
            0.4 * place / np.hypot(place, np.hypot(8.0, VIEWS[0].height_m)) / 337.5
            for place in (x - 2.2, x + 2.2)
        )
        assert low - 5e-5 < lag < high + 5e-5


def test_the_hum_of_an_engine_is_higher_as_it_comes_than_as_it_goes() -> None:
    truck = replace(CAR, kind="truck", length_m=8.0, speed_mps=20.0)
    pressure = vehicle_pressure(drive(truck), truck)[0]
    firing = firing_hz(truck.engine, 20.0)
    speed_of_sound = drive().air.speed_of_sound_mps
    for seconds, side in ((0.8, 1), (3.2, -1)):
        part = near(pressure, seconds, 1.0)
        spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 16 * len(part)))
        frequencies = np.fft.rfftfreq(16 * len(part), 1 / RATE)
        around = (frequencies > 0.85 * firing) & (frequencies < 1.15 * firing)
        found = frequencies[around][np.argmax(spectrum[around])]
        wanted = firing / (1 - side * 20.0 * np.cos(np.arctan(8 / 24)) / speed_of_sound)
        assert found == pytest.approx(wanted, rel=0.012)


@pytest.mark.parametrize("speed", [14.0, -14.0])
def test_engine_and_axles_are_where_they_are_on_a_vehicle(speed: float) -> None:
    car = replace(CAR, speed_mps=speed)
    engine, front, rear = vehicle_sources(drive(car), car)
    ahead = [
        np.sign(speed) * (source.start_m[0] - position(car, 0.0)[0])
        for source in (engine, front, rear)
    ]
    assert ahead == pytest.approx([0.3 * 4.4, 0.3 * 4.4, -0.3 * 4.4])
    assert engine.start_m[1] > front.start_m[1] == rear.start_m[1]
    assert {source.start_m[2] for source in (engine, front, rear)} == {8.0}
    # What is heard first was emitted before the recording, and is on the time line.
    assert engine.timeline.start_seconds < -abs(position(car, 0.0)[0]) / 338 - 0.1


def test_arrays_hear_the_same_vehicle() -> None:
    stereo = drive(CAR)
    ring = replace(stereo, microphones=ring_of_eight(VIEWS[0], radius_m=0.2))
    # The ring's third and seventh microphones are where the pair's are.
    of_pair, of_ring = vehicle_pressure(stereo, CAR), vehicle_pressure(ring, CAR)
    assert of_ring[6] == pytest.approx(of_pair[0], abs=1e-9)
    assert of_ring[2] == pytest.approx(of_pair[1], abs=1e-9)


def test_cardioids_tell_the_side_by_level() -> None:
    pressure = vehicle_pressure(replace(drive(CAR), microphones=cardioid_pair(VIEWS[0])), CAR)
    before, after = (
        level_db(near(pressure[1], seconds)) - level_db(near(pressure[0], seconds))
        for seconds in (1.2, 2.8)
    )
    assert before < -4
    assert after > 4


def test_air_takes_high_tones_from_what_is_far() -> None:
    far = replace(CAR, passing_seconds=-3.0)
    damp, dry = (
        vehicle_pressure(replace(drive(far), air=replace(drive().air, humidity_percent=h)), far)
        for h in (80.0, 10.0)
    )
    spectra = [np.abs(np.fft.rfft(pressure[0])) ** 2 for pressure in (damp, dry)]
    frequencies = np.fft.rfftfreq(4 * RATE, 1 / RATE)
    low, high = (frequencies < 500), (frequencies > 4_000) & (frequencies < 5_000)
    assert 10 * np.log10(spectra[0][low].sum() / spectra[1][low].sum()) == pytest.approx(0, abs=0.1)
    assert 10 * np.log10(spectra[0][high].sum() / spectra[1][high].sum()) > 2
