"""Where a pinhole camera sees a point, and what a point of the picture sees.

Conventions: float64; points have a last axis of (x, y, z) in metres of the world's frame, places in
the picture one of (x, y) in shares of its width and height from the top left. Depth is measured
along the optical axis, in metres.
"""

import itertools
import math

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError
from avkd.stages.simulation.road.settings import Camera

Array = npt.NDArray[np.float64]

NEAREST_M = 0.05
"""What is nearer to the plane of the pinhole than this has no picture."""

_CORNERS = np.array(list(itertools.product((-0.5, 0.5), (0.0, 1.0), (-0.5, 0.5))))


def camera_point(camera: Camera) -> Array:
    """Where the pinhole is: (3,)."""
    return np.array([0.0, camera.height_m, 0.0])


def camera_axes(camera: Camera) -> Array:
    """The camera's unit vectors to the right, up and forward, as rows: (3, 3)."""
    pitch = math.radians(camera.pitch_degrees)
    cos, sin = math.cos(pitch), math.sin(pitch)
    return np.array([[1.0, 0.0, 0.0], [0.0, cos, sin], [0.0, -sin, cos]])


def project(camera: Camera, points: Array) -> tuple[Array, Array]:
    """Places in the picture (..., 2), not clipped to it, and depths (...).

    Raises:
        InvalidValueError: A point lies behind the camera, or beside it.
    """
    seen = (points - camera_point(camera)) @ camera_axes(camera).T
    depth = seen[..., 2]
    if depth.size and depth.min() < NEAREST_M:
        message = (
            f"view {camera.view!r} has a point {depth.min():.2f} m before its camera; "
            f"keep distance_m and pitch_degrees such that it is {NEAREST_M} m or more"
        )
        raise InvalidValueError(message)
    scale = camera.focal_widths * np.array([1.0, -_aspect(camera)])
    return 0.5 + scale * seen[..., :2] / depth[..., None], depth


def rays(camera: Camera, places: Array) -> Array:
    """Directions (..., 3) in which places of the picture see, one metre deep each."""
    slopes = (places - 0.5) / (camera.focal_widths * np.array([1.0, -_aspect(camera)]))
    right, up, forward = camera_axes(camera)
    return np.asarray(slopes[..., :1] * right + slopes[..., 1:] * up + forward)


def project_cuboid(
    camera: Camera, ground_centres: Array, size_m: tuple[float, float, float]
) -> Array:
    """The box (..., 4) around upright cuboids of a size along x, y and z, not clipped."""
    places, _ = project(camera, ground_centres[..., None, :] + _CORNERS * np.asarray(size_m))
    return np.concatenate([places.min(axis=-2), places.max(axis=-2)], axis=-1)


def _aspect(camera: Camera) -> float:
    width, height = camera.picture_size
    return width / height
