from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avkd.stages.simulation.road.motion import position, propagation_seconds
from avkd.stages.simulation.road.settings import VIEWS
from avkd.stages.simulation.road.traffic import Recorder, Traffic, draw_drive

VEHICLE = replace(
    draw_drive(
        "r", 1, camera=VIEWS[0], light="day", recorder=Recorder(), traffic=Traffic()
    ).vehicles[0],
    speed_mps=-12.0,
    passing_seconds=2.0,
    lane_z_m=9.0,
)


def test_a_vehicle_passes_the_camera_at_its_time_and_keeps_its_lane() -> None:
    assert position(VEHICLE, 2.0).tolist() == [0.0, 0.0, 9.0]
    assert position(VEHICLE, [[1.0, 2.5]]).tolist() == [[[12.0, 0.0, 9.0], [-6.0, 0.0, 9.0]]]


@given(
    along_m=st.floats(-500, 500),
    aside_m=st.floats(0.5, 30),
    speed_mps=st.floats(-60, 60),
    speed_of_sound_mps=st.floats(310, 360),
)
def test_sound_was_emitted_where_the_source_was_then(
    along_m: float, aside_m: float, speed_mps: float, speed_of_sound_mps: float
) -> None:
    delay = propagation_seconds(np.array([along_m]), aside_m, speed_mps, speed_of_sound_mps)[0]
    distance = np.hypot(along_m - speed_mps * delay, aside_m)
    assert delay > 0
    assert distance == pytest.approx(speed_of_sound_mps * delay, rel=1e-10)


def test_times_of_emission_never_run_backwards() -> None:
    seconds = np.linspace(-10, 10, 5_001)
    delay = propagation_seconds(60.0 * seconds, 5.0, 60.0, 340.0)
    assert np.diff(seconds - delay).min() > 0


def test_a_source_at_rest_is_late_by_its_distance() -> None:
    delay = propagation_seconds(np.array([3.0]), 4.0, 0.0, 340.0)
    assert delay[0] == pytest.approx(5 / 340, rel=1e-14)
