"""The shapes of vehicles: solids that fill the cuboid of the vehicle's size.

Conventions: metres, the origin on the ground below the vehicle's centre, driving towards positive
x until ``build_vehicle`` turns it. Outlines are given as in ``body_styles.py``.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from avkd.stages.simulation.road.body_styles import HATCHBACK, SALOON, VAN, Style
from avkd.stages.simulation.road.faces import (
    Face,
    Mesh,
    Outline,
    build_mesh,
    circle,
    level,
    prism,
    upright,
)
from avkd.stages.simulation.road.projection import Array
from avkd.stages.simulation.road.settings import Kind, Vehicle

DETAIL_STAGE = 2
_BACK_DETAIL_STAGE = 3


def build_vehicle(vehicle: Vehicle) -> Mesh:
    """The faces of a vehicle around the ground point below its centre, as it drives."""
    faces = [_shadow(vehicle), *_BUILDERS[vehicle.kind](vehicle)]
    mesh = build_mesh(faces)
    if vehicle.speed_mps > 0:
        return mesh
    turn = np.array([-1.0, 1.0, 1.0])
    return replace(
        mesh,
        corners=mesh.corners * turn,
        normals=mesh.normals * turn,
        centres=mesh.centres * turn,
        groups=-mesh.groups,
    )


@lru_cache(maxsize=1024)
def solid_edges(vehicle: Vehicle) -> Array:
    """The edges (E, 2, 3) of a vehicle's faces, less its shadow's: its outline is among them."""
    mesh = build_vehicle(vehicle)
    edges = []
    for number, (start, stop) in enumerate(itertools.pairwise(mesh.starts.tolist())):
        if mesh.materials[number] != "shadow":
            corners = mesh.corners[start:stop]
            edges.append(np.stack([corners, np.roll(corners, -1, axis=0)], axis=1))
    return np.concatenate(edges)


def lamp_points(vehicle: Vehicle) -> Array:
    """Where its lamps are: (2, 2, 3), front then rear, near side then far side."""
    forward = np.sign(vehicle.speed_mps) * vehicle.length_m / 2
    height = _LAMP_HEIGHTS[vehicle.kind] * vehicle.height_m
    side = 0.0 if vehicle.kind == "motorcycle" else 0.36 * vehicle.width_m
    return np.array([[(x, height, z) for z in (-side, side)] for x in (forward, -forward)])


def _shadow(vehicle: Vehicle) -> Face:
    half_length, half_width = vehicle.length_m / 2, vehicle.width_m / 2
    shadow = level((-half_length, half_length), (-half_width, half_width), "shadow")
    # Flat on the ground, and so before all that stands.
    return replace(shadow, group=math.inf)


def _car(vehicle: Vehicle) -> list[Face]:
    return _in_one_piece(vehicle, (SALOON, HATCHBACK)[vehicle.seed % 2])


def _van(vehicle: Vehicle) -> list[Face]:
    return _in_one_piece(vehicle, VAN)


def _in_one_piece(vehicle: Vehicle, style: Style) -> list[Face]:
    half = vehicle.width_m / 2
    faces = prism(_scaled(vehicle, style.outline), (-half, half), "paint", edges=style.edges)
    faces.append(_side(vehicle, style.engine, "engine side"))
    faces += [_side(vehicle, window, "glass") for window in style.windows]
    faces += [
        _side(vehicle, ((a, 0.22), (a, 0.67), (a + 0.006, 0.67), (a + 0.006, 0.22)), "seam")
        for a in (0.465, 0.71 if style is not VAN else 0.6)
    ]
    faces += _wheels(vehicle, style.wheels, style.wheel_metres)
    return faces + _ends(vehicle, style.lamp_height)


def _truck(vehicle: Vehicle) -> list[Face]:
    half = vehicle.width_m / 2
    box = [(0.0, 0.24), (0.0, 1.0), (0.74, 1.0), (0.74, 0.24)]
    cab = [(0.77, 0.12), (0.77, 0.8), (0.8, 0.84), (0.95, 0.82), (0.99, 0.48), (1.0, 0.46)]
    cab += [(1.0, 0.11)]
    edges = ("cargo", "paint", "paint", "glass", "bonnet", "grille", "trim")
    chassis = [(0.01, 0.14), (0.01, 0.24), (0.78, 0.24), (0.78, 0.14)]
    front, back = (share * vehicle.length_m for share in (0.38, -0.13))
    below = prism(_scaled(vehicle, chassis), (-half * 0.9, half), "trim", group=back)
    faces = [replace(face, stage=face.stage - 2) for face in below]
    faces += prism(_scaled(vehicle, box), (-half, half), "cargo", group=back)
    faces += prism(_scaled(vehicle, cab), (-half, half), "paint", edges=edges, group=front)
    window = ((0.83, 0.5), (0.83, 0.75), (0.94, 0.75), (0.965, 0.5))
    engine = ((0.8, 0.14), (0.8, 0.4), (0.97, 0.4), (0.98, 0.14))
    stripe = ((0.02, 0.4), (0.02, 0.5), (0.72, 0.5), (0.72, 0.4))
    sides = [
        replace(_side(vehicle, stripe, "stripe"), group=back),
        replace(_side(vehicle, engine, "engine side"), group=front),
        replace(_side(vehicle, window, "glass"), group=front),
    ]
    # Wheels and lamps lie outside of both solids: painted with whichever is nearer.
    rest = _wheels(vehicle, (0.14, 0.27, 0.87), min(0.5, 0.17 * vehicle.height_m))
    rest += _ends(vehicle, _LAMP_HEIGHTS["truck"])
    middle = 0.25 * vehicle.length_m
    groups = [front if face.corners[:, 0].mean() > middle else back for face in rest]
    faces += [replace(face, group=group) for face, group in zip(rest, groups, strict=True)]
    return faces + sides


def _motorcycle(vehicle: Vehicle) -> list[Face]:
    half = vehicle.width_m / 2
    frame = [(0.08, 0.42), (0.05, 0.52), (0.35, 0.54), (0.62, 0.66), (0.74, 0.62), (0.74, 0.3)]
    frame += [(0.3, 0.26)]
    fork = [(0.71, 0.62), (0.72, 0.72), (0.78, 0.7), (0.88, 0.24), (0.84, 0.22)]
    rider = [(0.26, 0.5), (0.24, 0.62), (0.36, 0.84), (0.5, 0.84), (0.7, 0.66), (0.68, 0.61)]
    rider += [(0.5, 0.66), (0.52, 0.52), (0.6, 0.34), (0.5, 0.3), (0.4, 0.5)]
    radius = 0.2 * vehicle.height_m
    head = circle(0.02 * vehicle.length_m, 0.92 * vehicle.height_m, 0.08 * vehicle.height_m)[::-1]
    thin, wide = (-half * 0.5, half * 0.5), (-half * 0.9, half)
    faces = _wheels(
        vehicle, (radius / vehicle.length_m, 1 - radius / vehicle.length_m), radius, side=0.45
    )
    solids = [
        prism(_scaled(vehicle, fork), (-half, half), "trim"),
        prism(_scaled(vehicle, frame), thin, "paint"),
        [
            upright(
                _scaled(vehicle, ((0.38, 0.26), (0.36, 0.46), (0.64, 0.48), (0.62, 0.28))),
                thin[0],
                "engine",
                stage=1,
            )
        ],
        prism(_scaled(vehicle, rider), wide, "rider"),
        prism(head, (-0.13, 0.13), "helmet"),
    ]
    for stage, solid in enumerate(solids):
        faces += [replace(face, stage=3 * stage + face.stage) for face in solid]
    lamp = (0.77, 0.69)
    x, y = _scaled(vehicle, [lamp])[0]
    front = np.array([(x, y - 0.1, -0.1), (x, y + 0.1, -0.1), (x, y + 0.1, 0.1), (x, y - 0.1, 0.1)])
    faces.append(Face(corners=front, normal=(1.0, 0.0, 0.0), material="headlamp", stage=99))
    rear = ((0.03, 0.46), (0.03, 0.53), (0.07, 0.53), (0.07, 0.46))
    faces.append(upright(_scaled(vehicle, rear), thin[0], "tail lamp", stage=99))
    return faces


_BUILDERS: dict[Kind, Callable[[Vehicle], list[Face]]] = {
    "car": _car,
    "van": _van,
    "truck": _truck,
    "motorcycle": _motorcycle,
}
_LAMP_HEIGHTS: dict[Kind, float] = {"car": 0.46, "van": 0.36, "truck": 0.24, "motorcycle": 0.62}


def _scaled(vehicle: Vehicle, outline: Outline) -> list[tuple[float, float]]:
    return [((a - 0.5) * vehicle.length_m, y * vehicle.height_m) for a, y in outline]


def _side(vehicle: Vehicle, outline: Outline, material: str) -> Face:
    return upright(_scaled(vehicle, outline), -vehicle.width_m / 2, material, stage=DETAIL_STAGE)


def _wheels(
    vehicle: Vehicle, places: Sequence[float], radius: float, *, side: float = 1.0
) -> list[Face]:
    faces = []
    z = -side * vehicle.width_m / 2
    for place in places:
        x = (place - 0.5) * vehicle.length_m
        for share, material in ((1.0, "tyre"), (0.55, "hub")):
            outline = circle(x, radius, share * radius)
            faces.append(upright(outline, z, material, stage=_BACK_DETAIL_STAGE))
    return faces


def _ends(vehicle: Vehicle, lamp_height: float) -> list[Face]:
    """Lamps and plates on front and rear, and what of the lamps reaches round to the side."""
    faces = []
    size = min(0.2, 0.1 * vehicle.height_m)
    low, high = lamp_height * vehicle.height_m - size, lamp_height * vehicle.height_m + 0.4 * size
    for way, lamp in ((1.0, "headlamp"), (-1.0, "tail lamp")):
        x = way * vehicle.length_m / 2
        spans = [(lamp, (-0.48, -0.26), (low, high)), (lamp, (0.26, 0.48), (low, high))]
        spans.append(("plate", (-0.13, 0.13), (low - 1.2 * size, low - 0.5 * size)))
        for material, across, up in spans:
            z0, z1 = (share * vehicle.width_m for share in across)
            corners = np.array(
                [
                    (x, y, z)
                    for y, z in zip((up[0], up[1], up[1], up[0]), (z0, z0, z1, z1), strict=True)
                ]
            )
            faces.append(
                Face(corners=corners, normal=(way, 0.0, 0.0), material=material, stage=DETAIL_STAGE)
            )
        back = x - way * min(0.16, 0.035 * vehicle.length_m)
        side = [(x, low), (x, high), (back, high), (back, low)]
        faces.append(upright(side, -vehicle.width_m / 2, lamp, stage=DETAIL_STAGE))
    rear, low = -vehicle.length_m / 2, 0.17 * vehicle.height_m
    pipe = [(rear, low), (rear, low + 0.12), (rear + 0.3, low + 0.12), (rear + 0.3, low)]
    faces.append(upright(pipe, -vehicle.width_m / 2, "exhaust", stage=DETAIL_STAGE))
    return faces
