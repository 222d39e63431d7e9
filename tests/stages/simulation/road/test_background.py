from dataclasses import replace

import numpy as np
import pytest

from avkd.stages.simulation.road.background import COMMON_WIND, SURROUNDINGS, background, wind
from avkd.stages.simulation.road.microphones import cardioid_pair, ring_of_eight, stereo_pair
from avkd.stages.simulation.road.motion import Array
from avkd.stages.simulation.road.settings import LIGHTS, VIEWS, Drive, Light

RATE = 16_000
SILENT_AIR = 0.1


def drive(light: Light = "day", wind_mps: float = SILENT_AIR) -> Drive:
    return Drive(
        recording_id="r",
        seed=11,
        vehicles=(),
        camera=VIEWS[1],
        microphones=stereo_pair(VIEWS[1]),
        light=light,
        duration_seconds=4.0,
        frame_rate=10,
        sample_rate=RATE,
        wind_mps=wind_mps,
    )


def level_db(waveform: Array) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(waveform**2)) / 2e-5))


def band(waveform: Array, low: float, high: float) -> Array:
    spectrum = np.fft.rfft(waveform)
    frequencies = np.fft.rfftfreq(waveform.shape[-1], 1 / RATE)
    return np.asarray(np.fft.irfft(spectrum * ((frequencies > low) & (frequencies < high))))


def coherence(waves: Array, low: float, high: float) -> float:
    from scipy.signal import coherence as scipy_coherence

    frequencies, value = scipy_coherence(waves[0], waves[1], RATE, nperseg=1024)
    return float(value[(frequencies > low) & (frequencies < high)].mean())


def test_night_is_quieter_than_dusk_than_day_and_rain_is_loudest() -> None:
    levels = [level_db(background(drive(light))) for light in ("night", "dusk", "day", "rain")]
    assert levels == sorted(levels)
    assert levels[2] - levels[0] > 6
    assert levels[2] == pytest.approx(SURROUNDINGS["day"].far_db, abs=0.1)


def test_a_given_level_takes_the_place_of_the_lights() -> None:
    assert level_db(background(replace(drive(), background_db=60.0))) == pytest.approx(60, abs=0.1)


def test_only_nights_have_crickets_that_chirp() -> None:
    night, day = (
        band(background(replace(drive(light), background_db=20.0))[0], 3_800, 5_200)
        for light in ("night", "day")
    )
    assert level_db(night) > level_db(day) + 10
    by_window = night.reshape(-1, RATE // 50).std(axis=1)
    assert by_window.max() > 5 * by_window.min()


def test_what_is_far_off_is_the_same_at_both_microphones_where_waves_are_long() -> None:
    from scipy.special import j0

    waves = background(drive())
    for low, high in ((60, 120), (150, 250), (300, 400)):
        # Waves from all around the horizon: the known coherence of such a field.
        turns = np.linspace(low, high, 50) * 0.4 / drive().air.speed_of_sound_mps
        wanted = np.mean(j0(2 * np.pi * turns) ** 2)
        assert coherence(waves, low, high) == pytest.approx(wanted, abs=0.12)


def test_wind_is_only_partly_common_and_grows_with_its_speed() -> None:
    calm, windy = wind(drive(wind_mps=1.0)), wind(drive(wind_mps=4.0))
    assert coherence(windy, 30, 300) == pytest.approx(COMMON_WIND**2, abs=0.06)
    assert level_db(windy) - level_db(calm) == pytest.approx(50 * np.log10(4), abs=0.01)
    # The rumble is low: little of it is left above 500 Hz.
    assert level_db(band(windy, 500, 8_000)) < level_db(windy) - 20


@pytest.mark.parametrize("light", LIGHTS)
def test_backgrounds_have_a_channel_a_microphone_and_come_out_the_same_again(
    light: Light,
) -> None:
    ring = replace(drive(light), microphones=ring_of_eight(VIEWS[1]), duration_seconds=1.0)
    first = background(ring)
    assert first.shape == (8, RATE)
    assert (background(ring) == first).all()
    assert (background(replace(ring, seed=12)) != first).any()


def test_cardioids_that_are_turned_outward_hear_less_alike() -> None:
    cardioids = replace(drive("rain"), microphones=cardioid_pair(VIEWS[1]))
    waves = background(cardioids)
    assert waves.shape[0] == 2
    assert coherence(waves, 60, 120) < coherence(background(drive("rain")), 60, 120)
