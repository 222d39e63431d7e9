from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pytest

from avkd.stages.simulation.road.depth import FAR_CENTIMETRES
from avkd.stages.simulation.road.materials import vehicle_materials
from avkd.stages.simulation.road.pictures import RoadPictures
from avkd.stages.simulation.road.settings import KINDS, LIGHTS, VIEWS, Camera, Drive, Kind, Light
from avkd.stages.simulation.road.sight import boxes_at, frame_seconds
from avkd.stages.simulation.road.traffic import Recorder, Traffic, draw_drive

SIZE = (320, 192)
Picture = npt.NDArray[np.generic]


def lone_vehicle(camera: Camera, kind: Kind = "car", light: Light = "day", lane: int = 0) -> Drive:
    """Two seconds in which one light-coloured vehicle crosses the picture."""
    drive = draw_drive(
        "r",
        3,
        camera=replace(camera, picture_size=SIZE),
        light=light,
        recorder=Recorder(duration_seconds=2.0, frame_rate=4.0, sample_rate=8_000),
        traffic=Traffic(kind_shares={kind: 1.0}),
    )
    vehicle = replace(
        drive.vehicles[0],
        passing_seconds=1.0,
        speed_mps=10.0 if lane == 0 else -10.0,
        lane_z_m=camera.lane_z_m(lane),
        colour=(214, 214, 210),
    )
    return replace(drive, vehicles=(vehicle,))


pictures_of = lru_cache(maxsize=64)(RoadPictures)


def empty_of(drive: Drive) -> RoadPictures:
    return pictures_of(replace(drive, vehicles=()))


def frames_in_view(drive: Drive) -> Iterator[tuple[int, tuple[float, float, float, float]]]:
    for frame, seconds in enumerate(frame_seconds(drive)):
        for box in boxes_at(drive, float(seconds)):
            if box.box[2] - box.box[0] > 4 / SIZE[0]:
                yield frame, box.box


def bounds(changed: Picture) -> list[int]:
    rows, columns = np.nonzero(changed)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def changed_depth(with_it: RoadPictures, without: RoadPictures, frame: int) -> Picture:
    return with_it.depth(frame) != without.depth(frame)


def changed_thermal(with_it: RoadPictures, without: RoadPictures, frame: int) -> Picture:
    difference = with_it.thermal(frame).astype(int) - without.thermal(frame)
    return np.asarray(np.abs(difference) > 60)


def changed_rgb(with_it: RoadPictures, without: RoadPictures, frame: int) -> Picture:
    difference = with_it.rgb(frame).astype(int) - without.rgb(frame)
    return np.asarray(np.abs(difference).max(axis=2) > 6)


@pytest.mark.parametrize("change", [changed_depth, changed_thermal, changed_rgb])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("camera", VIEWS[::3], ids=lambda camera: camera.view)
def test_each_stream_shows_the_vehicle_in_its_true_box(
    change: Callable[[RoadPictures, RoadPictures, int], Picture], kind: Kind, camera: Camera
) -> None:
    drive = lone_vehicle(camera, kind)
    with_it, without = pictures_of(drive), empty_of(drive)
    seen = 0
    for frame, box in frames_in_view(drive):
        changed = change(with_it, without, frame)
        assert bounds(changed) == pytest.approx(np.array(box) * (*SIZE, *SIZE), abs=2.5)
        seen += 1
    assert seen >= 2


@pytest.mark.parametrize("light", ["day", "night"])
def test_without_vehicles_in_it_a_picture_is_the_empty_scene(light: Light) -> None:
    drive = lone_vehicle(VIEWS[1], light=light)
    away = replace(drive, vehicles=(replace(drive.vehicles[0], passing_seconds=90.0),))
    for draw in (RoadPictures.rgb, RoadPictures.depth, RoadPictures.thermal):
        assert np.array_equal(draw(pictures_of(away), 1), draw(empty_of(drive), 1))


def test_depth_is_that_of_the_near_side_by_any_light() -> None:
    level = Camera(view="level", height_m=2.0, pitch_degrees=0.0, distance_m=10.0)
    drive = lone_vehicle(level, "van")
    frame = 3
    left, top, right, bottom = np.array(boxes_at(drive, frame_seconds(drive)[frame])[0].box)
    depth = pictures_of(drive).depth(frame)
    row, column = int((top + bottom) / 2 * SIZE[1]), int((left + right) / 2 * SIZE[0])
    near_side_m = 10.0 - drive.vehicles[0].width_m / 2
    assert depth[row, column] == round(100 * near_side_m)
    for light in LIGHTS:
        assert np.array_equal(pictures_of(replace(drive, light=light)).depth(frame), depth)


def test_depth_of_the_ground_follows_the_camera_s_height_and_the_sky_has_none() -> None:
    camera = Camera(view="level", height_m=2.0, pitch_degrees=0.0, distance_m=10.0)
    depth = empty_of(lone_vehicle(camera)).depth(0)
    for row in (150, 191):
        fall = ((row + 0.25) / SIZE[1] - 0.5) / (0.7 * SIZE[0] / SIZE[1])
        assert depth[row] == pytest.approx(100 * 2.0 / fall, abs=1)
    assert (depth == FAR_CENTIMETRES).any()


def test_a_near_vehicle_stands_before_a_far_one_in_every_stream() -> None:
    drive = lone_vehicle(VIEWS[1], "truck")
    far = replace(lone_vehicle(VIEWS[1], "car", lane=1).vehicles[0], track_id=1)
    both = replace(drive, vehicles=(drive.vehicles[0], far))
    frame = 3
    (box,) = boxes_at(drive, frame_seconds(drive)[frame])
    alone, together = pictures_of(drive), pictures_of(both)
    shown = changed_depth(alone, empty_of(drive), frame)
    assert shown[int((box.box[1] + box.box[3]) / 2 * SIZE[1])].sum() > 50
    assert np.array_equal(together.depth(frame)[shown], alone.depth(frame)[shown])
    # A pixel on the edge is shared, so only its inner part is compared.
    inner = shown.copy()
    inner[1:-1, 1:-1] &= shown[:-2, 1:-1] & shown[2:, 1:-1] & shown[1:-1, :-2] & shown[1:-1, 2:]
    assert np.array_equal(together.rgb(frame)[inner], alone.rgb(frame)[inner])
    assert np.array_equal(together.thermal(frame)[inner], alone.thermal(frame)[inner])


def standing_out(light: Light) -> tuple[float, float]:
    """The share of a vehicle that differs from the empty scene, and the brightest pixel."""
    drive = replace(lone_vehicle(VIEWS[1]), light=light)
    picture, bare = pictures_of(drive).rgb(3), empty_of(drive).rgb(3)
    shown = changed_depth(pictures_of(drive), empty_of(drive), 3)
    difference = np.abs(picture.astype(int) - bare).max(axis=2)[shown]
    return float((difference > 16).mean()), float(picture.max())


def test_by_night_only_lamps_are_seen() -> None:
    assert standing_out("day")[0] > 0.7
    assert standing_out("dusk")[0] > 0.4
    share, brightest = standing_out("night")
    assert 0.001 < share < 0.15
    assert brightest > 220


def test_rain_takes_the_contrast_and_changes_from_frame_to_frame() -> None:
    by_day, in_rain = (empty_of(lone_vehicle(VIEWS[1], light=light)) for light in ("day", "rain"))
    assert in_rain.rgb(0).std() < 0.85 * by_day.rgb(0).std()
    streaks = np.abs(in_rain.rgb(0).astype(int) - in_rain.rgb(1)).max(axis=2) > 25
    assert 0.005 < streaks.mean() < 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_wheels_and_engine_are_what_a_thermal_camera_sees_by_night(kind: Kind) -> None:
    drive = lone_vehicle(VIEWS[1], kind, "night")
    frame = 3
    thermal, bare = pictures_of(drive).thermal(frame), empty_of(drive).thermal(frame)
    shown = changed_depth(pictures_of(drive), empty_of(drive), frame)
    assert thermal[shown].max() > bare[shown].max() + 1_000
    materials = vehicle_materials(drive.vehicles[0])
    assert materials["hub"].warm_kelvin > materials["tyre"].warm_kelvin > 10
    assert materials["paint"].warm_kelvin < 1


def test_a_thermal_camera_sees_less_contrast_by_day() -> None:
    contrasts = {}
    for light in ("day", "night"):
        drive = lone_vehicle(VIEWS[1], light=light)
        thermal = pictures_of(drive).thermal(3).astype(float)
        left, top, right, bottom = boxes_at(drive, frame_seconds(drive)[3])[0].box
        # The hottest twentieth of the vehicle against the road before it.
        inside = thermal[
            int(top * SIZE[1]) : int(bottom * SIZE[1]), int(left * SIZE[0]) : int(right * SIZE[0])
        ]
        road = thermal[int(bottom * SIZE[1]) + 4, int(left * SIZE[0]) : int(right * SIZE[0])]
        contrasts[light] = np.quantile(inside, 0.95) - road.mean()
    assert 0 < contrasts["day"] < 0.75 * contrasts["night"]


@pytest.mark.parametrize("light", LIGHTS)
def test_the_same_drive_gives_the_same_pictures(light: Light) -> None:
    drive = lone_vehicle(VIEWS[4], light=light)
    once, again = RoadPictures(drive), RoadPictures(drive)
    assert np.array_equal(once.rgb(2), again.rgb(2))
    assert np.array_equal(once.thermal(2), again.thermal(2))
    assert once.rgb(2).shape == (192, 320, 3)
    assert once.rgb(2).dtype == np.uint8
    for picture in (once.depth(2), once.thermal(2)):
        assert picture.shape == (192, 320)
        assert picture.dtype == np.uint16


def test_another_seed_is_another_place() -> None:
    drive = lone_vehicle(VIEWS[1])
    other = replace(drive, seed=drive.seed + 1)
    assert (empty_of(drive).depth(0) != empty_of(other).depth(0)).mean() > 0.05
