"""What a thermal camera sees of a drive.

Conventions: uint16 (height, width), hundredths of a kelvin, as radiometric cameras give them.
Nothing shines here: by night engines, wheels and exhausts stand out from a cold road, by day the
road that the sun has heated comes near to them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avkd.stages.simulation.road.chance import stream
from avkd.stages.simulation.road.faces import Mesh
from avkd.stages.simulation.road.materials import Material
from avkd.stages.simulation.road.projection import Array
from avkd.stages.simulation.road.scene import Cast, Shape, Stage, mean_of_samples, world_noise
from avkd.stages.simulation.road.settings import Drive, Light
from avkd.stages.simulation.road.weather import add_noise, noise_tile

Counts = npt.NDArray[np.uint16]

ZERO_CELSIUS_COUNTS = 27_315
NOISE_KELVIN = 0.04
"""Standard deviation in a pixel: that of an uncooled camera [R]."""
_SUN_SHARES: dict[Light, float] = {"day": 1.0, "dusk": 0.3, "night": 0.0, "rain": 0.05}
_WARM_SHARES: dict[Light, float] = {"day": 0.8, "dusk": 1.0, "night": 1.0, "rain": 0.6}
"""Of the warmth of engines and wheels that reaches the surface: rain cools, and by day the camera's
span is wider."""
_SKY_CELSIUS: dict[Light, float] = {"day": -18.0, "dusk": -22.0, "night": -28.0, "rain": 2.0}
_ROUGH_KELVIN = 1.2


@dataclass(frozen=True, kw_only=True)
class ThermalBackdrop:
    """What is drawn once for all thermal pictures of a drive."""

    fine: npt.NDArray[np.float32]
    """The empty scene in hundredths of a kelvin, (fine height, fine width)."""
    picture: npt.NDArray[np.float32]
    """The same, pixel by pixel."""
    warmths: tuple[Array, ...]
    """Of each vehicle, the temperatures (F,) of its faces."""
    tile: npt.NDArray[np.int16]
    """Of the camera's noise, without colour."""


def warm_backdrop(drive: Drive, stage: Stage, shapes: Sequence[Shape]) -> ThermalBackdrop:
    """Give the empty scene and the vehicles their temperatures."""
    mesh, materials = stage.surroundings.mesh, stage.surroundings.materials
    faces = np.maximum(stage.numbers - 1, 0)
    rough = 100 * _ROUGH_KELVIN * world_noise(stream(drive.seed, "warmth"), stage, 1.2)
    ground = _counts(drive, mesh, materials)[faces] + rough
    sky = ZERO_CELSIUS_COUNTS + 100 * _SKY_CELSIUS[drive.light]
    fine = np.where(stage.numbers == 0, sky, ground).astype(np.float32)
    return ThermalBackdrop(
        fine=fine,
        picture=mean_of_samples(fine),
        warmths=tuple(_counts(drive, shape.mesh, shape.materials) for shape in shapes),
        tile=noise_tile(drive, 100 * NOISE_KELVIN)[..., 0],
    )


def draw_thermal(drive: Drive, backdrop: ThermalBackdrop, cast: Cast | None, frame: int) -> Counts:
    """One picture."""
    picture = backdrop.picture.copy()
    if cast is not None:
        warmths = [backdrop.warmths[number] for number in cast.order]
        faces = np.concatenate([np.zeros(1), *warmths]).astype(np.float32)
        samples = np.where(cast.numbers > 0, faces[cast.numbers], backdrop.fine[cast.fine])
        picture[cast.rows, cast.columns] = mean_of_samples(samples)
    add_noise(picture, stream(drive.seed, f"thermal frame {frame}"), backdrop.tile)
    return np.rint(picture).astype(np.uint16)


def _counts(drive: Drive, mesh: Mesh, materials: Mapping[str, Material]) -> Array:
    """Temperatures (F,) of a mesh's faces in hundredths of a kelvin."""
    listed = [materials[name] for name in mesh.materials]
    warm = np.array([material.warm_kelvin for material in listed]) * _WARM_SHARES[drive.light]
    sunny = np.array([material.sunny_kelvin for material in listed]) * _SUN_SHARES[drive.light]
    # What looks up sees the sun by day, and the cold sky by night.
    upward = 0.8 + 0.2 * mesh.normals[:, 1]
    celsius = drive.air.temperature_celsius + warm + sunny * upward
    return np.asarray(ZERO_CELSIUS_COUNTS + 100 * celsius)
