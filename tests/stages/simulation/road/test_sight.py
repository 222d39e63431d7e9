from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.stages.media.sampling import step_instants
from avkd.stages.simulation.road.motion import position
from avkd.stages.simulation.road.projection import project_cuboid
from avkd.stages.simulation.road.settings import KINDS, LIGHTS, VIEWS, Camera, Drive, Vehicle
from avkd.stages.simulation.road.sight import boxes_at, frame_seconds, nearer, track_boxes
from avkd.stages.simulation.road.traffic import Recorder, Traffic, draw_drive
from avkd.stages.types import ClipPolicy, ClipSpan

LEVEL = Camera(
    view="level", height_m=2.0, pitch_degrees=0.0, distance_m=10.0, picture_size=(320, 192)
)
DRIVE = draw_drive(
    "r", 1, camera=LEVEL, light="day", recorder=Recorder(frame_rate=4.0), traffic=Traffic()
)
CAR = replace(
    next(vehicle for vehicle in DRIVE.vehicles if vehicle.kind == "car"),
    track_id=0,
    lane_z_m=10.0,
    speed_mps=10.0,
    passing_seconds=5.0,
    length_m=4.0,
    height_m=1.5,
    width_m=2.0,
)


def with_vehicles(*vehicles: Vehicle, camera: Camera = LEVEL) -> Drive:
    return replace(DRIVE, vehicles=vehicles, camera=camera)


def test_frames_show_the_middles_of_steps() -> None:
    span = ClipSpan(start_seconds=0.0, duration_seconds=10.0, num_steps=40)
    policy = ClipPolicy(clip_seconds=10.0, step_seconds=0.25, frames_per_step=1)
    assert frame_seconds(DRIVE) == pytest.approx(step_instants(span, policy))


def test_before_the_camera_a_box_has_its_size_over_its_depth() -> None:
    (box,) = boxes_at(with_vehicles(CAR), 5.0)
    left, top, right, bottom = box.box
    assert (box.track_id, box.kind, box.visible_fraction) == (0, "car", 1.0)
    assert right - left == pytest.approx(0.7 * 4 / 9, rel=1e-6)
    # Tyres touch the ground on the near side; the roof ends somewhere between the two sides.
    assert bottom == pytest.approx(0.5 + 0.7 * 320 / 192 * 2 / 9, rel=1e-6)
    assert top == pytest.approx(0.5 + 0.7 * 320 / 192 * 0.5 / 11, rel=1e-6)
    assert box.distance_metres == pytest.approx(np.hypot(10, 2 - 0.75))


def test_a_box_moves_with_its_vehicle() -> None:
    for speed in (10.0, -10.0):
        tracks = track_boxes(with_vehicles(replace(CAR, speed_mps=speed)), [4.8, 5.0, 5.2])
        middles = tracks.boxes[:, 0, [0, 2]].mean(axis=1)
        assert middles[1] == pytest.approx(0.5, abs=0.01)
        assert (np.sign(np.diff(middles)) == np.sign(speed)).all()


def test_half_a_vehicle_outside_is_half_seen() -> None:
    camera = replace(LEVEL, distance_m=60.0, focal_widths=6.0)
    car = replace(CAR, lane_z_m=60.0, speed_mps=5.0, passing_seconds=4.0)
    # At the side of the picture, x / z = 0.5 / 6: five metres at 60.
    (box,) = boxes_at(with_vehicles(car, camera=camera), 5.0)
    assert box.box[2] == 1.0
    assert box.visible_fraction == pytest.approx(0.5, abs=0.06)


def test_of_a_bonnet_that_comes_in_the_roof_is_no_part() -> None:
    times = np.linspace(2.5, 5.0, 400)
    tracks = track_boxes(with_vehicles(CAR), times)
    widths, tops = tracks.boxes[:, 0, 2] - tracks.boxes[:, 0, 0], tracks.boxes[:, 0, 1]
    sliver = np.flatnonzero(widths > 0.005)[0]
    assert widths[sliver] < 0.02
    assert tops[sliver] > tops[-1] + 0.04


def test_vehicles_out_of_the_picture_are_not_listed() -> None:
    assert boxes_at(with_vehicles(CAR), 0.0) == ()
    assert boxes_at(with_vehicles(), 5.0) == ()
    tracks = track_boxes(with_vehicles(CAR), [0.0])
    assert not tracks.in_picture.any()
    assert not tracks.visible_fractions.any()


def test_a_truck_hides_the_car_behind_it() -> None:
    truck = replace(CAR, kind="truck", track_id=1, length_m=12.0, height_m=4.0)
    behind = replace(CAR, lane_z_m=13.5, speed_mps=-10.0)
    first, second = boxes_at(with_vehicles(behind, truck), 5.0)
    assert (first.visible_fraction, second.visible_fraction) == (0.0, 1.0)
    assert first.box[2] > first.box[0]


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), camera=st.sampled_from(VIEWS))
def test_what_is_seen_is_what_a_fine_grid_of_points_sees(seed: int, camera: Camera) -> None:
    rng = np.random.default_rng(seed)
    vehicles = [
        replace(
            CAR,
            track_id=number,
            kind=KINDS[rng.integers(4)],
            lane_z_m=camera.lane_z_m(number % 2),
            passing_seconds=float(rng.uniform(4, 6)),
            length_m=float(rng.uniform(2, 12)),
            height_m=float(rng.uniform(1.4, 4)),
        )
        for number in range(4)
    ]
    drive = with_vehicles(*vehicles, camera=camera)
    tracks = track_boxes(drive, [5.0])
    places = np.stack([position(vehicle, 5.0) for vehicle in vehicles])
    points = (np.arange(400) + 0.5) / 400
    for number, vehicle in enumerate(vehicles):
        target = tracks.boxes[0, number]
        shown = np.ones((400, 400), dtype=bool)
        for other in range(4):
            if nearer(places[other], places[number]):
                left, top, right, bottom = tracks.boxes[0, other]
                shown &= ~(
                    ((points >= left) & (points < right))
                    & ((points >= top) & (points < bottom))[:, None]
                )
        inside = (points >= target[0]) & (points < target[2])
        shown &= inside & ((points >= target[1]) & (points < target[3]))[:, None]
        whole = replace(drive, camera=replace(camera, focal_widths=camera.focal_widths / 50))
        (small,) = boxes_at(replace(whole, vehicles=(vehicle,)), 5.0)
        area = (small.box[2] - small.box[0]) * (small.box[3] - small.box[1]) * 50**2
        expected = shown.mean() / area
        assert tracks.visible_fractions[0, number] == pytest.approx(expected, abs=0.03)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), camera=st.sampled_from(VIEWS), light=st.sampled_from(LIGHTS))
def test_boxes_lie_in_the_picture_and_in_their_cuboid(
    seed: int, camera: Camera, light: str
) -> None:
    drive = draw_drive(
        "r",
        seed,
        camera=camera,
        light=light,
        recorder=Recorder(frame_rate=2.0),
        traffic=Traffic(),
    )
    seconds = frame_seconds(drive)
    tracks = track_boxes(drive, seconds)
    assert ((tracks.visible_fractions >= 0) & (tracks.visible_fractions <= 1)).all()
    for number, vehicle in enumerate(drive.vehicles):
        size = (vehicle.length_m, vehicle.height_m, vehicle.width_m)
        cuboid = np.clip(project_cuboid(camera, position(vehicle, seconds), size), 0, 1)
        boxes = tracks.boxes[:, number]
        here = tracks.in_picture[:, number]
        assert (boxes[here, :2] >= cuboid[here, :2] - 1e-6).all()
        assert (boxes[here, 2:] <= cuboid[here, 2:] + 1e-6).all()
        whole = here & (cuboid[:, 0] > 0) & (cuboid[:, 2] < 1)
        share = np.diff(boxes[whole][:, [0, 2]]) / np.diff(cuboid[whole][:, [0, 2]])
        assert (share > 0.6).all()


def test_one_time_says_what_many_times_say() -> None:
    seconds = frame_seconds(DRIVE)
    tracks = track_boxes(DRIVE, seconds)
    ids = tracks.track_ids.tolist()
    for frame, time in enumerate(seconds):
        boxes = boxes_at(DRIVE, float(time))
        present = [ids[number] for number in np.flatnonzero(tracks.in_picture[frame])]
        assert [box.track_id for box in boxes] == present
        for box in boxes:
            number = ids.index(box.track_id)
            assert box.box == tuple(float(side) for side in tracks.boxes[frame, number])
            assert box.visible_fraction == tracks.visible_fractions[frame, number]
