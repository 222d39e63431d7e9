from dataclasses import replace

import numpy as np
import pytest

from avkd.stages.simulation.road.bodies import build_vehicle, lamp_points, solid_edges
from avkd.stages.simulation.road.materials import vehicle_materials
from avkd.stages.simulation.road.settings import KINDS, VIEWS, Kind, Vehicle
from avkd.stages.simulation.road.traffic import Recorder, Traffic, draw_drive


def vehicle_of(kind: Kind, seed: int = 0, speed_mps: float = 12.0) -> Vehicle:
    traffic = Traffic(kind_shares={kind: 1.0})
    recorder = Recorder(duration_seconds=30.0)
    drive = draw_drive("r", seed, camera=VIEWS[0], light="day", recorder=recorder, traffic=traffic)
    return replace(drive.vehicles[0], speed_mps=speed_mps)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_a_solid_fills_the_size_of_its_vehicle(kind: Kind, seed: int) -> None:
    vehicle = vehicle_of(kind, seed)
    points = solid_edges(vehicle).reshape(-1, 3)
    half = np.array([vehicle.length_m / 2, 0, vehicle.width_m / 2])
    low, high = -half, half + np.array([0, vehicle.height_m, 0])
    assert (points >= low - 1e-9).all()
    assert (points <= high + 1e-9).all()
    slack = (0.02 if kind != "motorcycle" else 0.06) * (high - low)
    assert (points.min(axis=0) <= low + slack).all()
    assert (points.max(axis=0) >= high - slack).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_vehicle_that_drives_the_other_way_is_its_mirror_image(kind: Kind) -> None:
    there, back = (build_vehicle(vehicle_of(kind, speed_mps=speed)) for speed in (9.0, -9.0))
    assert back.corners == pytest.approx(there.corners * (-1, 1, 1))
    assert back.normals == pytest.approx(there.normals * (-1, 1, 1))
    assert back.materials == there.materials


@pytest.mark.parametrize("kind", KINDS)
def test_every_face_has_a_material(kind: Kind) -> None:
    vehicle = vehicle_of(kind)
    mesh = build_vehicle(vehicle)
    assert {*mesh.materials} <= {*vehicle_materials(vehicle)}
    assert {"tyre", "hub", "headlamp", "tail lamp"} <= {*mesh.materials}
    assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(1)


@pytest.mark.parametrize("kind", KINDS)
def test_headlamps_are_in_front_and_tail_lamps_behind(kind: Kind) -> None:
    for speed in (9.0, -9.0):
        front, rear = lamp_points(vehicle_of(kind, speed_mps=speed))
        assert (front[:, 0] * speed > 0).all()
        assert (rear[:, 0] * speed < 0).all()
