from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import InvalidValueError
from avkd.stages.simulation.road.motion import position
from avkd.stages.simulation.road.settings import KINDS, LIGHTS, VIEWS, Light, Vehicle
from avkd.stages.simulation.road.traffic import (
    Recorder,
    Traffic,
    draw_drive,
    draw_vehicles,
)

TRAFFIC = Traffic()


def vehicles(seed: int, light: Light = "day", traffic: Traffic = TRAFFIC) -> tuple[Vehicle, ...]:
    return draw_vehicles(seed, camera=VIEWS[0], light=light, duration_seconds=10.0, traffic=traffic)


def on_screen(vehicle: Vehicle, seconds: float) -> bool:
    half = vehicle.lane_z_m * 0.5 / VIEWS[0].focal_widths
    return bool(abs(position(vehicle, seconds)[0]) < half)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    light=st.sampled_from(LIGHTS),
    flow=st.floats(100, 1_600),
    duration=st.floats(2, 60),
)
def test_vehicles_of_a_lane_never_overlap_and_keep_their_gap(
    seed: int, light: Light, flow: float, duration: float
) -> None:
    traffic = Traffic(vehicles_per_hour=dict.fromkeys(LIGHTS, flow))
    drawn = draw_vehicles(
        seed, camera=VIEWS[2], light=light, duration_seconds=duration, traffic=traffic
    )
    seconds = np.linspace(-1.0, duration, 200)
    for lane in (0, 1):
        row = [v for v in drawn if v.lane_z_m == VIEWS[2].lane_z_m(lane)]
        for leader, follower in pairwise(row):
            ahead = position(leader, seconds)[:, 0] - position(follower, seconds)[:, 0]
            gap = np.sign(leader.speed_mps) * ahead - (leader.length_m + follower.length_m) / 2
            assert gap.min() >= traffic.min_gap_m - 1e-9


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), light=st.sampled_from(LIGHTS))
def test_all_come_near_and_their_lanes_have_directions_of_their_own(
    seed: int, light: Light
) -> None:
    drawn = vehicles(seed, light)
    assert [vehicle.track_id for vehicle in drawn] == list(range(len(drawn)))
    seconds = np.linspace(0, 10, 500)
    for vehicle in drawn:
        assert np.abs(position(vehicle, seconds)[:, 0]).min() <= TRAFFIC.heard_m + 1
        near = vehicle.lane_z_m == VIEWS[0].distance_m
        assert (vehicle.speed_mps > 0) == near
        assert 3 < abs(vehicle.speed_mps) < 30


def test_the_road_is_empty_at_times_and_crowded_at_others() -> None:
    counts = np.array(
        [
            sum(on_screen(vehicle, seconds) for vehicle in vehicles(seed))
            for seed in range(80)
            for seconds in (0.0, 5.0, 9.0)
        ]
    )
    assert 0.3 < np.mean(counts == 0) < 0.8
    assert np.mean(counts >= 2) > 0.05


def test_some_vehicles_are_heard_and_never_seen() -> None:
    seconds = np.linspace(0, 10, 101)
    unseen = [
        not any(on_screen(vehicle, time) for time in seconds)
        for seed in range(20)
        for vehicle in vehicles(seed)
    ]
    assert 0.1 < np.mean(unseen) < 0.9


def test_flows_are_what_was_asked_for_and_nights_are_sparser() -> None:
    lights: tuple[Light, ...] = ("day", "night")
    passings = {
        light: np.mean(
            [
                sum(0 <= vehicle.passing_seconds < 10 for vehicle in vehicles(seed, light))
                for seed in range(300)
            ]
        )
        for light in lights
    }
    for light, passing in passings.items():
        asked = 2 * 10 * TRAFFIC.vehicles_per_hour[light] / 3600
        assert passing == pytest.approx(asked, rel=0.12)
    assert passings["night"] < 0.75 * passings["day"]


def test_kinds_come_in_their_shares() -> None:
    drawn = [vehicle.kind for seed in range(150) for vehicle in vehicles(seed)]
    for kind in KINDS:
        share = drawn.count(kind) / len(drawn)
        assert share == pytest.approx(TRAFFIC.kind_shares[kind], abs=0.05)


def test_a_drive_is_the_same_again_and_tells_its_weather() -> None:
    first, again, rain = (
        draw_drive("r", 5, camera=VIEWS[4], light=light, recorder=Recorder(), traffic=TRAFFIC)
        for light in ("day", "day", "rain")
    )
    assert first == again
    assert first.vehicles != rain.vehicles
    assert rain.air.temperature_celsius < first.air.temperature_celsius


@pytest.mark.parametrize("flow", [0.0, 2_000.0])
def test_a_flow_that_headways_cannot_keep_is_refused(flow: float) -> None:
    with pytest.raises(InvalidValueError, match="vehicles an hour by day"):
        Traffic(vehicles_per_hour={"day": flow})
