from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from avkd.stages.simulation.road.bodies import solid_edges
from avkd.stages.simulation.road.class_map import CLASSES
from avkd.stages.simulation.road.depth import FAR_CENTIMETRES
from avkd.stages.simulation.road.motion import position
from avkd.stages.simulation.road.pictures import RoadPictures
from avkd.stages.simulation.road.projection import project
from avkd.stages.simulation.road.settings import KINDS, LIGHTS, VIEWS, Camera, Drive, Kind
from avkd.stages.simulation.road.sight import boxes_at, frame_seconds
from avkd.stages.simulation.road.traffic import Recorder, Traffic, draw_drive

SIZE = (160, 96)
VEHICLE = CLASSES.index("vehicle")


def draw(camera: Camera, kind: Kind = "car", seed: int = 3) -> Drive:
    """Two seconds in which one vehicle crosses the near lane."""
    drive = draw_drive(
        "r",
        seed,
        camera=replace(camera, picture_size=SIZE),
        light="day",
        recorder=Recorder(duration_seconds=2.0, frame_rate=4.0, sample_rate=8_000),
        traffic=Traffic(kind_shares={kind: 1.0}),
    )
    vehicle = replace(
        drive.vehicles[0],
        passing_seconds=1.0,
        speed_mps=10.0,
        lane_z_m=camera.lane_z_m(0),
    )
    return replace(drive, vehicles=(vehicle,))


def nearer_than_empty(drive: Drive, frame: int) -> npt.NDArray[np.bool_]:
    """What a depth camera sees before the empty scene: no shadow's edge, but most of a vehicle."""
    there, empty = (
        RoadPictures(each).depth(frame) for each in (drive, replace(drive, vehicles=()))
    )
    return np.asarray(there < 0.97 * empty - 5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("camera", VIEWS[::3], ids=lambda camera: camera.view)
def test_depth_and_class_see_the_same_vehicle(camera: Camera, kind: Kind) -> None:
    drive = draw(camera, kind)
    (vehicle,) = drive.vehicles
    for frame in (2, 4):
        is_vehicle = RoadPictures(drive).classes(frame) == VEHICLE
        nearer = nearer_than_empty(drive, frame)
        assert nearer.sum() > 20
        assert is_vehicle[nearer].all()
        # Where wheels meet the road, depth hardly tells the two apart; but it is the vehicle's.
        place = position(vehicle, frame_seconds(drive)[frame])
        depths = 100 * project(drive.camera, place + solid_edges(vehicle))[1]
        seen = RoadPictures(drive).depth(frame)[is_vehicle]
        assert depths.min() - 1 <= seen.min() <= seen.max() <= depths.max() + 1


@pytest.mark.parametrize("camera", VIEWS[::3], ids=lambda camera: camera.view)
def test_the_pixels_of_a_lone_vehicle_fill_its_box(camera: Camera) -> None:
    drive = draw(camera)
    pictures = RoadPictures(drive)
    num_seen = 0
    for frame, seconds in enumerate(frame_seconds(drive)):
        rows, columns = np.nonzero(pictures.classes(frame) == VEHICLE)
        boxes = [each.box for each in boxes_at(drive, float(seconds))]
        if not boxes or boxes[0][2] - boxes[0][0] < 4 / SIZE[0]:
            continue
        num_seen += 1
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert found == pytest.approx(np.multiply(boxes[0], (*SIZE, *SIZE)), abs=1.6)
    assert num_seen >= 3


def test_what_stands_still_is_what_it_is_without_vehicles_and_by_any_light() -> None:
    drive = draw(VIEWS[1])
    classes = RoadPictures(drive).classes(4)
    for light in LIGHTS:
        np.testing.assert_array_equal(RoadPictures(replace(drive, light=light)).classes(4), classes)
    empty = RoadPictures(replace(drive, vehicles=())).classes(4)
    still = classes != VEHICLE
    assert 0 < (~still).sum() < still.sum()
    np.testing.assert_array_equal(classes[still], empty[still])


def test_every_place_is_made_of_known_classes_and_the_sky_is_background() -> None:
    met: set[int] = set()
    for seed in range(12):
        drive = draw(VIEWS[seed % len(VIEWS)], seed=seed)
        pictures = RoadPictures(drive)
        classes = pictures.classes(0)
        assert classes.dtype == np.uint8
        assert classes.shape == (SIZE[1], SIZE[0])
        is_sky = pictures.depth(0) == FAR_CENTIMETRES
        assert (classes[is_sky] == CLASSES.index("background")).all()
        met |= {*np.unique(RoadPictures(replace(drive, vehicles=())).classes(0)).tolist()}
    assert met == {*range(len(CLASSES))} - {VEHICLE}


def test_a_vehicle_stands_on_the_road() -> None:
    drive = draw(VIEWS[0])
    box = boxes_at(drive, float(frame_seconds(drive)[4]))[0].box
    row = min(int(box[3] * SIZE[1]) + 1, SIZE[1] - 1)
    below = RoadPictures(drive).classes(4)[row, int(box[0] * SIZE[0]) + 2 : int(box[2] * SIZE[0])]
    assert (below == CLASSES.index("road")).all()
