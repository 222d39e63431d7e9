"""The still part of a drive's pictures, drawn once, and the vehicles of one picture as numbers.

Conventions: fine grids have ``SUPERSAMPLING`` samples a pixel in each direction. Depth is read at
the first sample of each pixel, a quarter of a pixel up and left of its middle; colour and
temperature are means over a pixel's samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from avkd.stages.simulation.road.bodies import build_vehicle
from avkd.stages.simulation.road.faces import (
    SUPERSAMPLING,
    Mesh,
    depths_of,
    draw_faces,
    moved,
    new_canvas,
)
from avkd.stages.simulation.road.materials import Material, vehicle_materials
from avkd.stages.simulation.road.motion import position
from avkd.stages.simulation.road.projection import Array, camera_point, rays
from avkd.stages.simulation.road.settings import Camera, Drive
from avkd.stages.simulation.road.sight import TrackBoxes, frame_seconds
from avkd.stages.simulation.road.surroundings import Surroundings, build_surroundings

Numbers = npt.NDArray[np.int32]
_TILE_CELLS = 64
_TILE_STEPS = 6
_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The empty scene, sample by sample."""

    surroundings: Surroundings
    numbers: Numbers
    """(fine height, fine width): 0 is the sky, face f of the surroundings is f + 1."""
    rays: Array
    """Directions (fine height, fine width, 3) that the samples see, see ``projection.rays``."""
    depths_m: Array
    """(fine height, fine width); infinite in the sky."""
    points: Array
    """(fine height, fine width, 3) in the world; of no meaning in the sky."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A vehicle's shape, around its own origin."""

    mesh: Mesh
    materials: Mapping[str, Material]


@dataclass(frozen=True, kw_only=True)
class Cast:
    """The vehicles of one picture, in the part of it that holds them all."""

    numbers: Numbers
    """(fine rows, fine columns) of the part: 0 shows what is behind, face f of all is f + 1."""
    rows: slice
    """Of the picture, in pixels."""
    columns: slice
    order: tuple[int, ...]
    """The vehicles' places in the drive, far to near."""
    places: Array
    """Ground points (vehicles, 3) below their centres, in this order."""
    meshes: tuple[Mesh, ...]
    """Their faces there."""

    @property
    def fine(self) -> tuple[slice, slice]:
        """Rows and columns of the part on a fine grid."""
        return _times(self.rows, SUPERSAMPLING), _times(self.columns, SUPERSAMPLING)


def build_stage(drive: Drive) -> Stage:
    """Draw the empty scene of a drive."""
    surroundings = build_surroundings(drive)
    canvas = new_canvas(drive.camera)
    draw_faces(canvas, surroundings.mesh, drive.camera, 1)
    numbers = np.asarray(canvas)
    ray = _sample_rays(drive.camera)
    shown = np.maximum(numbers - 1, 0)
    depths = depths_of(shown, surroundings.mesh, drive.camera, ray)
    depths = np.where(numbers > 0, depths, np.inf)
    reach = np.where(numbers > 0, depths, 0.0)[..., None]
    points = camera_point(drive.camera) + reach * ray
    return Stage(
        surroundings=surroundings, numbers=numbers, rays=ray, depths_m=depths, points=points
    )


def build_shapes(drive: Drive) -> tuple[Shape, ...]:
    """The shapes of all vehicles of a drive."""
    return tuple(
        Shape(mesh=build_vehicle(vehicle), materials=vehicle_materials(vehicle))
        for vehicle in drive.vehicles
    )


def draw_cast(drive: Drive, shapes: Sequence[Shape], tracks: TrackBoxes, frame: int) -> Cast | None:
    """Draw the vehicles of a picture, or nothing where there is none in it.

    ``tracks`` holds the boxes at all of the drive's ``frame_seconds``.
    """
    seconds = frame_seconds(drive)[frame]
    present = np.flatnonzero(tracks.in_picture[frame])
    if not len(present):
        return None
    places = np.stack([position(drive.vehicles[number], seconds) for number in present])
    far_to_near = np.lexsort((-np.abs(places[:, 0]), -places[:, 2]))
    order = tuple(int(number) for number in present[far_to_near])
    meshes = tuple(
        moved(shapes[number].mesh, places[place])
        for number, place in zip(order, far_to_near, strict=True)
    )
    canvas, first = new_canvas(drive.camera), 1
    for mesh in meshes:
        draw_faces(canvas, mesh, drive.camera, first)
        first += len(mesh.materials)
    rows, columns = _span_of(tracks.boxes[frame, present], drive.camera)
    fine = _times(rows, SUPERSAMPLING), _times(columns, SUPERSAMPLING)
    return Cast(
        numbers=np.asarray(canvas)[fine],
        rows=rows,
        columns=columns,
        order=order,
        places=places[far_to_near],
        meshes=meshes,
    )


def _sample_rays(camera: Camera) -> Array:
    width, height = (side * SUPERSAMPLING for side in camera.picture_size)
    xs = (np.arange(width) + 0.5) / width
    ys = (np.arange(height) + 0.5) / height
    places = np.stack(np.broadcast_arrays(xs[None, :], ys[:, None]), axis=-1)
    return rays(camera, places)


def first_samples(fine: npt.NDArray[_T]) -> npt.NDArray[_T]:
    """One sample of each pixel."""
    return fine[::SUPERSAMPLING, ::SUPERSAMPLING]


def mean_of_samples(fine: npt.NDArray[_T]) -> npt.NDArray[_T]:
    """The mean over each pixel's samples, of the same type."""
    total = np.zeros(first_samples(fine).shape, dtype=np.promote_types(fine.dtype, np.uint16))
    for row in range(SUPERSAMPLING):
        for column in range(SUPERSAMPLING):
            total += fine[row::SUPERSAMPLING, column::SUPERSAMPLING]
    if fine.dtype.kind == "f":
        return (total / SUPERSAMPLING**2).astype(fine.dtype)
    return (total // SUPERSAMPLING**2).astype(fine.dtype)


def world_noise(rng: np.random.Generator, stage: Stage, size_m: float) -> Array:
    """Soft noise of mean 0, -1 to 1, that is fixed to the world's surfaces, in grains of a size."""
    cells = rng.standard_normal((_TILE_CELLS, _TILE_CELLS)).clip(-2, 2) / 2
    # A cell more on each side is cut off again, so that the tile's edges fit one another.
    image = Image.fromarray(np.pad(cells, 1, mode="wrap").astype(np.float32))
    side, wide = _TILE_CELLS * _TILE_STEPS, (_TILE_CELLS + 2) * _TILE_STEPS
    soft = np.asarray(image.resize((wide, wide), Image.Resampling.BILINEAR), dtype=np.float64)
    tile = soft[_TILE_STEPS:-_TILE_STEPS, _TILE_STEPS:-_TILE_STEPS]
    # On the ground (x, z), on what stands (x, y).
    across, along = stage.points[..., 0], stage.points[..., 1] + stage.points[..., 2]
    row, column = (
        np.floor(axis * (_TILE_STEPS / size_m)).astype(np.int64) % side for axis in (along, across)
    )
    return np.asarray(tile[row, column])


def _span_of(boxes: npt.NDArray[np.float32], camera: Camera) -> tuple[slice, slice]:
    """Rows and columns of the pixels that boxes touch, and one around them."""
    sides = np.array(camera.picture_size)
    low = np.maximum(np.floor(boxes[:, :2].min(axis=0) * sides).astype(int) - 1, 0)
    high = np.minimum(np.ceil(boxes[:, 2:].max(axis=0) * sides).astype(int) + 1, sides)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _times(span: slice, factor: int) -> slice:
    return slice(span.start * factor, span.stop * factor)
