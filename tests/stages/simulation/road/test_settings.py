from dataclasses import replace

import numpy as np
import pytest

from avkd.errors import InvalidValueError
from avkd.stages.simulation.road.settings import LANE_WIDTH_M, VIEWS, Air, Microphones
from avkd.stages.simulation.road.traffic import Recorder, Traffic, draw_drive

DRIVE = draw_drive(
    "r", 1, camera=VIEWS[0], light="day", recorder=Recorder(duration_seconds=3.0), traffic=Traffic()
)


@pytest.mark.parametrize("speed", [0.0, 61.0, -400.0])
def test_speeds_that_the_physics_cannot_hold_are_refused(speed: float) -> None:
    with pytest.raises(InvalidValueError, match="speed"):
        replace(DRIVE.vehicles[0], speed_mps=speed)


def test_each_microphone_faces_one_way() -> None:
    with pytest.raises(InvalidValueError, match="2 microphones face 1 ways"):
        Microphones(array="mine", positions_m=((0, 1, 0), (1, 1, 0)), facing=((0.0, 0.0, 1.0),))


def test_a_drive_counts_its_frames_and_samples() -> None:
    assert (DRIVE.num_frames, DRIVE.num_samples) == (30, 72_000)


def test_views_are_distinct_places_that_see_their_lanes() -> None:
    assert len({camera.view for camera in VIEWS}) == len(VIEWS)
    for camera in VIEWS:
        half_height = np.degrees(np.arctan(0.375 / camera.focal_widths))
        for lane in (0, 1):
            down = np.degrees(np.arctan(camera.height_m / camera.lane_z_m(lane)))
            assert abs(down - camera.pitch_degrees) < half_height, camera.view
    assert VIEWS[0].lane_z_m(1) - VIEWS[0].lane_z_m(0) == LANE_WIDTH_M


@pytest.mark.parametrize(("celsius", "speed"), [(0.0, 331.3), (20.0, 343.2), (-10.0, 325.2)])
def test_the_speed_of_sound_is_the_known_one(celsius: float, speed: float) -> None:
    assert Air(temperature_celsius=celsius).speed_of_sound_mps == pytest.approx(speed, abs=0.15)
