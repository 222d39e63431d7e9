"""What stands still around a road: verges, houses, trees, poles, hills; drawn from a seed.

Conventions: metres in the world's frame. All of it lies beyond the road or flat on the ground, so
that only vehicles hide vehicles. A face's group is its depth z: what is far off is painted first.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from avkd.stages.simulation.road.chance import stream
from avkd.stages.simulation.road.faces import (
    Face,
    Mesh,
    build_mesh,
    circle,
    level,
    prism,
    upright,
)
from avkd.stages.simulation.road.materials import Material, Rgb
from avkd.stages.simulation.road.projection import rays
from avkd.stages.simulation.road.settings import LANE_WIDTH_M, Drive

_Part: TypeAlias = tuple[list[Face], dict[str, Material]]

_SHOULDER_M = 0.6
_PAVEMENT_M = 2.2
_SIDEWAYS_M = 420.0
_FARTHEST_M = 420.0
_WALLS: tuple[Rgb, ...] = (
    (205, 195, 172),
    (170, 110, 88),
    (186, 186, 182),
    (150, 140, 120),
    (214, 208, 196),
)
_ROOFS: tuple[Rgb, ...] = ((120, 62, 48), (72, 70, 76), (96, 80, 66))
_GREENS: tuple[Rgb, ...] = ((62, 92, 42), (78, 108, 50), (50, 78, 44), (96, 104, 52))


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """The still part of a scene."""

    mesh: Mesh
    materials: Mapping[str, Material]


def build_surroundings(drive: Drive) -> Surroundings:
    """Draw the place of a drive from its seed."""
    rng = stream(drive.seed, "surroundings")
    near, far = road_edges(drive)
    kerb = far + _PAVEMENT_M
    parts = [
        _ground(rng, drive, near, far),
        _hills(rng),
        _houses(rng, kerb),
        _trees(rng, kerb),
        _hedge(rng, kerb),
        _poles(rng, kerb),
    ]
    return Surroundings(
        mesh=build_mesh(face for faces, _ in parts for face in faces),
        materials={name: made for _, named in parts for name, made in named.items()},
    )


def road_edges(drive: Drive) -> tuple[float, float]:
    """Depths at which the asphalt begins and ends; there are two lanes at least."""
    lanes = [drive.camera.lane_z_m(lane) for lane in (0, 1)]
    lanes += [vehicle.lane_z_m for vehicle in drive.vehicles]
    margin = LANE_WIDTH_M / 2 + _SHOULDER_M
    return min(lanes) - margin, max(lanes) + margin


def _ground(rng: np.random.Generator, drive: Drive, near: float, far: float) -> _Part:
    start = _nearest_ground_m(drive)
    everywhere = (-_SIDEWAYS_M, _SIDEWAYS_M)
    kerb = far + _PAVEMENT_M
    bands = [
        (everywhere, (start, near), "verge", 0),
        (everywhere, (near, far), "asphalt", 0),
        (everywhere, (far, kerb), "pavement", 0),
        (everywhere, (far, far + 0.15), "kerb", 1),
        (everywhere, (kerb, _FARTHEST_M), "meadow", 0),
    ]
    bands += [
        (everywhere, (z, z + 0.14), "marking", 1) for z in (near + 0.3, far - 0.44) if z > start
    ]
    dash, gap = 3.0, float(rng.choice((3.0, 4.5, 6.0)))
    lines = np.arange(drive.camera.lane_z_m(0), far - LANE_WIDTH_M, LANE_WIDTH_M)
    for z in lines + LANE_WIDTH_M / 2:
        starts = np.arange(-90.0, 90.0, dash + gap) + rng.uniform(0, dash + gap)
        bands += [((x, x + dash), (z - 0.07, z + 0.07), "marking", 1) for x in starts]
    bands = [band for band in bands if band[1][0] < band[1][1]]
    faces = [replace(level(x, z, name, stage=stage), group=math.inf) for x, z, name, stage in bands]
    grey = float(rng.uniform(72, 104))
    green = _varied(rng, _GREENS[rng.integers(len(_GREENS))], 12)
    meadow = _varied(rng, _GREENS[rng.integers(len(_GREENS))], 12)
    asphalt = (grey, grey * 1.01, grey * 1.03)
    return faces, {
        "verge": Material(colour=green, warm_kelvin=-1.0, sunny_kelvin=7.0, grain=0.3),
        "meadow": Material(colour=meadow, warm_kelvin=-1.0, sunny_kelvin=7.0, grain=0.25),
        "asphalt": Material(colour=asphalt, warm_kelvin=3.0, sunny_kelvin=15.0, grain=0.14),
        "pavement": Material(
            colour=(150, 146, 138), warm_kelvin=2.0, sunny_kelvin=12.0, grain=0.12
        ),
        "kerb": Material(colour=(176, 174, 168), warm_kelvin=2.0, sunny_kelvin=12.0),
        "marking": Material(colour=(214, 214, 206), warm_kelvin=2.5, sunny_kelvin=12.0, grain=0.1),
    }


def _nearest_ground_m(drive: Drive) -> float:
    """Where the lower edge of the picture meets the ground, less a little."""
    lowest = rays(drive.camera, np.array([0.5, 1.0]))
    below = -lowest[1] / drive.camera.height_m
    return 0.9 * float(lowest[2] / below)


def _hills(rng: np.random.Generator) -> _Part:
    faces, materials = [], {}
    for number, z in enumerate((400.0, 260.0, 150.0)):
        xs = np.linspace(-1.2 * z, 1.2 * z, 40)
        waves = sum(
            rng.uniform(0.3, 1) * np.sin(xs / z * rate + rng.uniform(0, 6)) / rate**0.5
            for rate in (3.0, 7.0, 17.0, 41.0)
        )
        heights = z * (0.035 + 0.012 * np.asarray(waves)) * rng.uniform(0.6, 1.2)
        line = [(float(x), float(max(y, 0.5))) for x, y in zip(xs, heights, strict=True)]
        outline = [*line, (1.2 * z, 0.0), (-1.2 * z, 0.0)]
        faces.append(upright(outline, z, f"hill {number}", group=z))
        green = _varied(rng, (58, 84, 48), 10)
        materials[f"hill {number}"] = Material(colour=green, warm_kelvin=1.0, grain=0.25)
    return faces, materials


def _houses(rng: np.random.Generator, kerb: float) -> _Part:
    faces: list[Face] = []
    materials: dict[str, Material] = {}
    left = rng.uniform(-45, -35)
    number = 0
    while left < 40:
        width, height = rng.uniform(8, 15), rng.uniform(4.5, 7.5)
        if rng.random() < 0.7:
            z = kerb + rng.uniform(6, 22)
            faces += _house(rng, number, (left, left + width), height, z)
            materials |= _house_materials(rng, number)
            number += 1
        left += width + rng.uniform(3, 12)
    return faces, materials


def _house(
    rng: np.random.Generator, number: int, x: tuple[float, float], height: float, z: float
) -> list[Face]:
    deep, rise = rng.uniform(7, 10), rng.uniform(2.0, 3.2)
    wall, roof = f"wall {number}", f"roof {number}"
    outline = [(x[0], 0.0), (x[0], height), (x[1], height), (x[1], 0.0)]
    faces = prism(outline, (z, z + deep), wall, group=z)
    for side, way in zip(x, (-1.0, 1.0), strict=True):
        gable = np.array(
            [(side, height, z), (side, height + rise, z + deep / 2), (side, height, z + deep)]
        )
        normal = (way, 0.0, 0.0)
        faces.append(Face(corners=gable, normal=normal, material=wall, stage=1, group=z))
    slope = np.array(
        [
            (x[0] - 0.3, height - 0.1, z - 0.3),
            (x[0] - 0.3, height + rise, z + deep / 2),
            (x[1] + 0.3, height + rise, z + deep / 2),
            (x[1] + 0.3, height - 0.1, z - 0.3),
        ]
    )
    faces.append(Face(corners=slope, normal=_normal(slope), material=roof, stage=2, group=z))
    num_across = max(2, int((x[1] - x[0]) / 2.6))
    middles = np.linspace(x[0], x[1], 2 * num_across + 1)[1::2]
    door = int(rng.integers(num_across))
    for floor in range(2 if height > 5.5 else 1):
        for place, middle in enumerate(middles):
            low = 0.9 + 2.8 * floor
            pane = (middle - 0.6, middle + 0.6, low, low + 1.3)
            name = f"{'lit' if rng.random() < 0.3 else 'dark'} window {number}"
            if floor == 0 and place == door:
                pane, name = (middle - 0.5, middle + 0.5, 0.0, 2.1), f"door {number}"
            faces.append(_pane(pane, z, name))
    return faces


def _house_materials(rng: np.random.Generator, number: int) -> dict[str, Material]:
    wall = _varied(rng, _WALLS[rng.integers(len(_WALLS))], 12)
    roof = _varied(rng, _ROOFS[rng.integers(len(_ROOFS))], 10)
    door = _varied(rng, (90, 60, 50), 30)
    lit = (float(rng.uniform(150, 215)), float(rng.uniform(110, 160)), float(rng.uniform(50, 100)))
    return {
        f"wall {number}": Material(colour=wall, warm_kelvin=2.0, sunny_kelvin=7.0, grain=0.08),
        f"roof {number}": Material(colour=roof, warm_kelvin=0.5, sunny_kelvin=14.0, grain=0.15),
        f"lit window {number}": Material(colour=(74, 88, 100), shine=lit, warm_kelvin=5.0),
        f"dark window {number}": Material(colour=(66, 80, 94), warm_kelvin=4.0),
        f"door {number}": Material(colour=door, warm_kelvin=2.5, sunny_kelvin=5.0),
    }


def _trees(rng: np.random.Generator, kerb: float) -> _Part:
    faces: list[Face] = []
    materials = {"trunk": Material(colour=(74, 58, 44), warm_kelvin=1.0, sunny_kelvin=3.0)}
    for number in range(int(rng.integers(3, 9))):
        z = kerb + float(rng.choice((rng.uniform(1.5, 5), rng.uniform(5, 50))))
        x = rng.uniform(-1.0, 1.0) * (8 + 0.8 * z)
        tall, wide = rng.uniform(4.5, 10), rng.uniform(1.4, 2.8)
        trunk = [(x - 0.16, 0.0), (x - 0.12, 0.5 * tall), (x + 0.12, 0.5 * tall), (x + 0.16, 0.0)]
        faces.append(upright(trunk, z, "trunk", group=z))
        green = _varied(rng, _GREENS[rng.integers(len(_GREENS))], 14)
        for layer, darker in enumerate((0.72, 1.0)):
            crown = _crown(rng, (x + 0.25 * layer, 0.68 * tall), wide, 0.36 * tall, 1 - 0.3 * layer)
            name = f"leaves {number} {layer}"
            faces.append(upright(crown, z, name, stage=1 + layer, group=z))
            red, grass, blue = (darker * value for value in green)
            materials[name] = Material(
                colour=(red, grass, blue), warm_kelvin=0.5, sunny_kelvin=2.0, grain=0.5
            )
    return faces, materials


def _crown(
    rng: np.random.Generator, middle: tuple[float, float], wide: float, tall: float, size: float
) -> list[tuple[float, float]]:
    angles = np.linspace(0, 2 * np.pi, 26, endpoint=False)
    ragged = size * (1 + 0.12 * rng.standard_normal(26))
    xs = middle[0] + wide * ragged * np.cos(angles)
    ys = middle[1] + tall * ragged * np.sin(angles)
    return [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]


def _hedge(rng: np.random.Generator, kerb: float) -> _Part:
    z, high = kerb + rng.uniform(0.8, 3.0), rng.uniform(0.7, 1.3)
    faces: list[Face] = []
    left = -60.0
    while left < 60:
        right = left + rng.uniform(6, 26)
        if rng.random() < 0.6:
            faces += prism(_span(left, right, high), (z, z + 0.8), "hedge", group=z)
        left = right + rng.uniform(2, 6)
    green = _varied(rng, (52, 78, 40), 10)
    return faces, {"hedge": Material(colour=green, warm_kelvin=0.5, sunny_kelvin=3.0, grain=0.4)}


def _poles(rng: np.random.Generator, kerb: float) -> _Part:
    faces: list[Face] = []
    z, tall = kerb - 0.5, rng.uniform(5.5, 8)
    gap = rng.uniform(16, 30)
    for x in np.arange(-60, 60, gap) + rng.uniform(0, gap):
        faces.append(upright(_span(x - 0.07, x + 0.07, tall), z, "pole", group=z))
        arm = [(x, tall - 0.1), (x, tall), (x + 1.4, tall + 0.12), (x + 1.4, tall)]
        faces.append(upright(arm, z, "pole", group=z))
    side = rng.uniform(-10, 10)
    disc = [(side + x, 2.3 + y) for x, y in circle(0, 0, 0.34)]
    faces.append(upright(_span(side - 0.04, side + 0.04, 2.3), z, "pole", group=z))
    faces.append(upright(disc, z, "sign rim", stage=1, group=z))
    disc = [(side + x, 2.3 + y) for x, y in circle(0, 0, 0.24)]
    faces.append(upright(disc, z, "sign", stage=2, group=z))
    return faces, {
        "pole": Material(colour=(112, 116, 118), warm_kelvin=0.5, sunny_kelvin=4.0),
        "sign rim": Material(colour=(190, 36, 34), sunny_kelvin=4.0),
        "sign": Material(colour=(232, 232, 228), sunny_kelvin=4.0),
    }


def _span(left: float, right: float, high: float) -> list[tuple[float, float]]:
    return [(left, 0.0), (left, high), (right, high), (right, 0.0)]


def _pane(box: tuple[float, float, float, float], z: float, material: str) -> Face:
    left, right, low, high = (float(side) for side in box)
    outline = [(left, low), (left, high), (right, high), (right, low)]
    return upright(outline, z, material, stage=3, group=z)


def _normal(corners: np.ndarray) -> tuple[float, float, float]:
    across = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    across *= np.sign(across[1]) / np.linalg.norm(across)
    x, y, z = (float(value) for value in across)
    return (x, y, z)


def _varied(rng: np.random.Generator, colour: Rgb, spread: float) -> Rgb:
    moved = np.asarray(colour) + rng.normal(0, spread) + rng.normal(0, 0.4 * spread, 3)
    red, green, blue = (float(value) for value in np.clip(moved, 8, 245))
    return (red, green, blue)
