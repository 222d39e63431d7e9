"""Headlamps and tail lamps: their glare in the camera and their light on the road.

Conventions: pictures are int16 (height, width, 3) and changed in place; lengths are metres. The
strengths are ours, chosen by eye.
"""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from avkd.stages.simulation.road.bodies import lamp_points
from avkd.stages.simulation.road.faces import SUPERSAMPLING
from avkd.stages.simulation.road.projection import Array, camera_point, project
from avkd.stages.simulation.road.scene import Cast
from avkd.stages.simulation.road.settings import Drive, Light, Vehicle

_HEAD_COLOUR = np.array([255.0, 244.0, 214.0])
_TAIL_COLOUR = np.array([255.0, 34.0, 22.0])
_BEAM_AHEAD_M = (0.0, 12.0)
_BEAM_HALF_WIDTH_M = 1.7
_BEAM_STRENGTH: dict[Light, float] = {"day": 0.0, "dusk": 0.24, "night": 0.5, "rain": 0.12}
_GLARE_STRENGTH: dict[Light, float] = {"day": 0.0, "dusk": 0.7, "night": 1.0, "rain": 0.6}
_GLARE_WIDTH_SHARE = 0.035
"""Of the picture: standard deviation of the glare of a headlamp that shines into the camera."""
_SIDES = 64


def _blob() -> Image.Image:
    axis = np.linspace(-1, 1, _SIDES)
    square = axis[:, None] ** 2 + axis[None, :] ** 2
    return Image.fromarray((255 * np.clip(np.exp(-4 * square) - 0.02, 0, 1)).astype(np.uint8))


_BLOB = _blob()


def add_lamps(
    picture: npt.NDArray[np.int16], covered: npt.NDArray[np.float32], drive: Drive, cast: Cast
) -> None:
    """Add the lamps of a picture's vehicles; ``covered`` is the share of a pixel they fill."""
    for number, place in zip(cast.order, cast.places, strict=True):
        _add_beam(picture, covered, drive, drive.vehicles[number], place)
    for rank, (number, place) in enumerate(zip(cast.order, cast.places, strict=True)):
        lamps = place + lamp_points(drive.vehicles[number])
        way = float(np.sign(drive.vehicles[number].speed_mps))
        for ends, colour, forward in zip(
            lamps, (_HEAD_COLOUR, _TAIL_COLOUR), (way, -way), strict=True
        ):
            for lamp in ends:
                if not _is_hidden(cast, rank, drive, lamp):
                    _add_glare(picture, drive, lamp, colour, forward)


def _add_beam(
    picture: npt.NDArray[np.int16],
    covered: npt.NDArray[np.float32],
    drive: Drive,
    vehicle: Vehicle,
    place: Array,
) -> None:
    way = float(np.sign(vehicle.speed_mps))
    near, far = (place[0] + way * (vehicle.length_m / 2 + ahead) for ahead in _BEAM_AHEAD_M)
    z0, z1 = place[2] - _BEAM_HALF_WIDTH_M, place[2] + _BEAM_HALF_WIDTH_M
    corners = np.array([(x, 0.0, z) for x in (near, far) for z in (z0, z1)])
    places, _ = project(drive.camera, corners)
    box = np.concatenate([places.min(axis=0), places.max(axis=0)])
    colour = _BEAM_STRENGTH[drive.light] * _HEAD_COLOUR
    _add_blob(picture, box, colour, 1 - covered)


def _add_glare(
    picture: npt.NDArray[np.int16], drive: Drive, lamp: Array, colour: Array, forward: float
) -> None:
    towards = camera_point(drive.camera) - lamp
    distance = float(np.linalg.norm(towards))
    facing = max(0.0, forward * float(towards[0]) / distance)
    strength = (0.1 + 0.9 * facing**1.5) * _GLARE_STRENGTH[drive.light]
    middle, _ = project(drive.camera, lamp)
    width, height = drive.camera.picture_size
    reach = 0.16 * drive.camera.focal_widths / distance + _GLARE_WIDTH_SHARE * strength
    for size, share in ((reach, 1.0), (4 * reach, 0.22)):
        sides = np.array([size, size * width / height])
        box = np.concatenate([middle - sides, middle + sides])
        _add_blob(picture, box, share * strength * colour, None)


def _is_hidden(cast: Cast, rank: int, drive: Drive, lamp: Array) -> bool:
    """Whether a nearer vehicle stands before a lamp; outside of the picture none does."""
    middle, _ = project(drive.camera, lamp)
    fine_rows, fine_columns = cast.fine
    width, height = (SUPERSAMPLING * side for side in drive.camera.picture_size)
    row, column = int(middle[1] * height) - fine_rows.start, int(middle[0] * width)
    column -= fine_columns.start
    if not (0 <= row < cast.numbers.shape[0] and 0 <= column < cast.numbers.shape[1]):
        return False
    nearer = 1 + sum(len(mesh.materials) for mesh in cast.meshes[: rank + 1])
    return bool(cast.numbers[row, column] >= nearer)


def _add_blob(
    picture: npt.NDArray[np.int16],
    box: Array,
    colour: Array,
    share: npt.NDArray[np.float32] | None,
) -> None:
    """Add a soft spot that fills a box of shares of the picture, in part or not at all in it."""
    height, width = picture.shape[:2]
    left, top, right, bottom = (box * (width, height, width, height)).tolist()
    rows = slice(max(0, math.floor(top)), min(height, math.ceil(bottom)))
    columns = slice(max(0, math.floor(left)), min(width, math.ceil(right)))
    size = (columns.stop - columns.start, rows.stop - rows.start)
    if min(size) < 1 or min(right - left, bottom - top) <= 0:
        return
    scale = (_SIDES / (right - left), _SIDES / (bottom - top))
    shift = ((columns.start - left) * scale[0], (rows.start - top) * scale[1])
    back = (scale[0], 0.0, shift[0], 0.0, scale[1], shift[1])
    spot = _BLOB.transform(size, Image.Transform.AFFINE, back, Image.Resampling.BILINEAR)
    light = np.asarray(spot, dtype=np.float32) / 255
    if share is not None:
        light = light * share[rows, columns]
    picture[rows, columns] += (light[..., None] * colour).astype(np.int16)
