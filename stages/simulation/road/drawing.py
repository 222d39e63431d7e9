"""What a colour camera sees of a drive.

Conventions: uint8 red, green and blue, (height, width, 3); grids are (height, width) or fine, see
``scene.py``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from avkd.stages.simulation.road.chance import stream
from avkd.stages.simulation.road.faces import Mesh
from avkd.stages.simulation.road.lamps import add_lamps
from avkd.stages.simulation.road.light import ILLUMINATIONS, Illumination, in_haze, light_on
from avkd.stages.simulation.road.materials import Material
from avkd.stages.simulation.road.projection import Array
from avkd.stages.simulation.road.scene import (
    Cast,
    Shape,
    Stage,
    mean_of_samples,
    world_noise,
)
from avkd.stages.simulation.road.settings import Drive
from avkd.stages.simulation.road.weather import add_noise, add_streaks, noise_tile

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Backdrop:
    """What is drawn once for all colour pictures of a drive."""

    fine: Pixels
    """The empty scene, (fine height, fine width, 3)."""
    picture: Pixels
    """The same, pixel by pixel."""
    paints: tuple[Array, ...]
    """Of each vehicle, the colours (F, 3) of its faces without haze."""
    tile: npt.NDArray[np.int16]
    """Of the camera's noise."""


def paint_backdrop(drive: Drive, stage: Stage, shapes: Sequence[Shape]) -> Backdrop:
    """Colour the empty scene and the vehicles in a drive's light."""
    light = ILLUMINATIONS[drive.light]
    rng = stream(drive.seed, "light")
    sun = np.array([rng.uniform(-0.6, 0.6), 0.8, rng.uniform(-0.9, -0.2)])
    sun /= np.linalg.norm(sun)
    gain = rng.uniform(0.92, 1.08)
    mesh = stage.surroundings.mesh
    lit = gain * _lit(mesh, stage.surroundings.materials, light, sun)
    faces = np.maximum(stage.numbers - 1, 0)
    listed = [stage.surroundings.materials[name] for name in mesh.materials]
    grain = np.array([material.grain for material in listed])
    rough = 1 + grain[faces] * _grain(rng, stage)
    ground = in_haze(lit[faces] * rough[..., None], np.minimum(stage.depths_m, 1e6), light)
    is_sky = (stage.numbers == 0)[..., None]
    fine = np.clip(np.where(is_sky, _sky(rng, stage, light), ground), 0, 255).astype(np.uint8)
    return Backdrop(
        fine=fine,
        picture=mean_of_samples(fine),
        paints=tuple(gain * _lit(shape.mesh, shape.materials, light, sun) for shape in shapes),
        tile=noise_tile(drive, light.noise_levels),
    )


def draw_rgb(drive: Drive, backdrop: Backdrop, cast: Cast | None, frame: int) -> Pixels:
    """One picture."""
    light = ILLUMINATIONS[drive.light]
    picture = backdrop.picture.astype(np.int16)
    covered = np.zeros(picture.shape[:2], dtype=np.float32)
    if cast is not None:
        shown = cast.numbers > 0
        colours = _palette(backdrop, cast, light)[cast.numbers]
        behind = backdrop.fine[cast.fine]
        picture[cast.rows, cast.columns] = mean_of_samples(
            np.where(shown[..., None], colours, behind)
        )
        covered[cast.rows, cast.columns] = mean_of_samples(shown.astype(np.float32))
        if light.lamps_lit:
            add_lamps(picture, covered, drive, cast)
    rng = stream(drive.seed, f"frame {frame}")
    add_streaks(picture, rng, light.num_streaks)
    add_noise(picture, rng, backdrop.tile)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _lit(mesh: Mesh, materials: Mapping[str, Material], light: Illumination, sun: Array) -> Array:
    listed = [materials[name] for name in mesh.materials]
    colours = np.array([material.colour for material in listed])
    lit = colours * light_on(mesh.normals, light, sun)
    if light.lamps_lit:
        lit = np.maximum(lit, np.array([material.shine for material in listed]))
    return lit


def _palette(backdrop: Backdrop, cast: Cast, light: Illumination) -> Pixels:
    hazy = [
        in_haze(backdrop.paints[number], mesh.centres[:, 2], light)
        for number, mesh in zip(cast.order, cast.meshes, strict=True)
    ]
    nothing = np.zeros((1, 3))
    colours: Pixels = np.clip(np.concatenate([nothing, *hazy]), 0, 255).astype(np.uint8)
    return colours


def _grain(rng: np.random.Generator, stage: Stage) -> Array:
    """Brightness from place to place in the world, of mean 0 and about 1 at most."""
    total = np.zeros(stage.depths_m.shape)
    for size_m, share in ((0.06, 0.35), (0.35, 0.4), (2.2, 0.35)):
        # Grains smaller than a sample are seen as their mean.
        seen = np.exp(-stage.depths_m * 0.0025 / size_m)
        total += share * world_noise(rng, stage, size_m) * seen
    return total


def _sky(rng: np.random.Generator, stage: Stage, light: Illumination) -> Array:
    ray = stage.rays
    rise = np.clip(ray[..., 1] / np.linalg.norm(ray, axis=-1) / 0.45, 0, 1)[..., None]
    sky = np.array(light.sky_low) * (1 - rise) + np.array(light.sky_top) * rise
    size = (ray.shape[1], ray.shape[0])
    clouds = np.zeros((size[1], size[0]))
    for octave in range(2, 6):
        cells = rng.random((2**octave, 2 ** (octave - 1))).astype(np.float32)
        layer = Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC)
        clouds += np.asarray(layer) / 2 ** (octave - 1)
    wisps = np.clip(clouds - clouds.mean(), -0.1, 0.45)[..., None]
    return np.asarray(sky + light.clouds * 2.4 * wisps)
