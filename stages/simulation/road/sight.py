"""What is true of a drive's pictures: the box of each vehicle, and how much of it is seen.

Conventions: a box is (x_min, y_min, x_max, y_max) in shares of the picture, origin at the top left:
the smallest around what of the vehicle's solid lies in the picture, whatever stands before it.
Frame k shows the middle of its time, (k + 0.5) / frame_rate, which is also what a step of one frame
asks for.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avkd.stages.simulation.road.bodies import solid_edges
from avkd.stages.simulation.road.motion import position
from avkd.stages.simulation.road.projection import (
    Array,
    camera_point,
    project,
    project_cuboid,
)
from avkd.stages.simulation.road.settings import Drive, Kind


@dataclass(frozen=True, kw_only=True)
class TruthBox:
    """One vehicle in one picture."""

    track_id: int
    kind: Kind
    box: tuple[float, float, float, float]
    visible_fraction: float
    """Of the box around all of it: what is in the picture, less what nearer boxes hide."""
    distance_metres: float
    """From the camera to the middle of the vehicle."""


@dataclass(frozen=True, kw_only=True)
class TrackBoxes:
    """All V vehicles of a drive at T times."""

    track_ids: npt.NDArray[np.int32]
    """(V,)"""
    boxes: npt.NDArray[np.float32]
    """(T, V, 4); without area where the vehicle is outside the picture."""
    visible_fractions: npt.NDArray[np.float32]
    """(T, V); 0 behind nearer vehicles, and outside the picture."""
    distances_metres: npt.NDArray[np.float32]
    """(T, V)"""

    @property
    def in_picture(self) -> npt.NDArray[np.bool_]:
        """(T, V): whether any of the box lies in the picture, seen or hidden."""
        sides = self.boxes[..., 2:] - self.boxes[..., :2]
        return np.asarray((sides > 0).all(axis=-1))


def frame_seconds(drive: Drive) -> Array:
    """The instants (num_frames,) that a drive's pictures show, on the recording's clock."""
    return np.asarray((np.arange(drive.num_frames) + 0.5) / drive.frame_rate)


def boxes_at(drive: Drive, time_seconds: float) -> tuple[TruthBox, ...]:
    """The vehicles in the picture at a time, by track id, those behind others too."""
    tracks = track_boxes(drive, np.array([time_seconds]))
    return tuple(
        TruthBox(
            track_id=vehicle.track_id,
            kind=vehicle.kind,
            box=_four(tracks.boxes[0, number]),
            visible_fraction=float(tracks.visible_fractions[0, number]),
            distance_metres=float(tracks.distances_metres[0, number]),
        )
        for number, vehicle in enumerate(drive.vehicles)
        if tracks.in_picture[0, number]
    )


def track_boxes(drive: Drive, times_seconds: npt.ArrayLike) -> TrackBoxes:
    """The boxes of all vehicles at all times."""
    times = np.asarray(times_seconds, dtype=np.float64)
    places = np.empty((len(times), len(drive.vehicles), 3))
    boxes = np.zeros((len(times), len(drive.vehicles), 4))
    whole = np.broadcast_to([0.0, 0.0, 1.0, 1.0], boxes.shape).copy()
    for number, vehicle in enumerate(drive.vehicles):
        places[:, number] = position(vehicle, times)
        size = (vehicle.length_m, vehicle.height_m, vehicle.width_m)
        around = project_cuboid(drive.camera, places[:, number], size)
        # Most vehicles are far off at most times; the solid lies within the cuboid.
        near = (around[:, :2] < 1).all(axis=1) & (around[:, 2:] > 0).all(axis=1)
        if near.any():
            solid = places[near, number, None, None] + solid_edges(vehicle)
            ends, _ = project(drive.camera, solid)
            lowest, highest = ends.min(axis=(1, 2)), ends.max(axis=(1, 2))
            whole[near, number] = np.concatenate([lowest, highest], axis=1)
            boxes[near, number] = _clipped(ends)
    middles = places.copy()
    middles[..., 1] = [vehicle.height_m / 2 for vehicle in drive.vehicles]
    distances = np.linalg.norm(middles - camera_point(drive.camera), axis=-1)
    seen = _seen_area(boxes, places) / _area(whole)
    return TrackBoxes(
        track_ids=np.array([vehicle.track_id for vehicle in drive.vehicles], dtype=np.int32),
        boxes=boxes.astype(np.float32),
        visible_fractions=np.clip(seen, 0.0, 1.0).astype(np.float32),
        distances_metres=distances.astype(np.float32),
    )


def nearer(first: Array, second: Array) -> npt.NDArray[np.bool_]:
    """Whether vehicles at ground points (..., 3) stand before others at theirs.

    Cuboids along the lanes that do not touch: a lane hides those beyond it, and in one lane the
    vehicle that has less way to the point before the camera hides the next.
    """
    same_lane = first[..., 2] == second[..., 2]
    closer = np.abs(first[..., 0]) < np.abs(second[..., 0])
    return np.asarray((first[..., 2] < second[..., 2]) | (same_lane & closer))


def _clipped(ends: Array) -> Array:
    """The boxes (T, 4) around what lies in the picture of edges with these ends (T, E, 2, 2).

    Edges are cut at the picture's sides first: of a bonnet that comes in, the roof is no part.
    """
    first, second = ends[:, :, 0], ends[:, :, 1]
    along = np.where(first[..., 0] == second[..., 0], 1.0, second[..., 0] - first[..., 0])
    points, inside = [first], [(first[..., 0] >= 0) & (first[..., 0] <= 1)]
    for side in (0.0, 1.0):
        share = (side - first[..., 0]) / along
        cut = first + share[..., None] * (second - first)
        points.append(cut)
        inside.append((share > 0) & (share < 1) & (first[..., 0] != second[..., 0]))
    held = np.concatenate(inside, axis=1)[..., None]
    found = np.concatenate(points, axis=1)
    low = np.where(held, found, np.inf).min(axis=1)
    high = np.where(held, found, -np.inf).max(axis=1)
    box = np.clip(np.concatenate([low, high], axis=1), 0.0, 1.0)
    return np.where(held.any(axis=1), box, 0.0)


def _seen_area(boxes: Array, places: Array) -> Array:
    """What the union of nearer boxes leaves of each box: (T, V)."""
    seen = _area(boxes)
    for number in range(boxes.shape[1]):
        target = boxes[:, number, None]
        hides = nearer(places, places[:, number, None])
        low = np.clip(boxes[..., :2], target[..., :2], target[..., 2:])
        high = np.clip(boxes[..., 2:], target[..., :2], target[..., 2:])
        # The edges of all boxes cut the target into cells, each hidden whole or not at all.
        x_edges, y_edges = np.moveaxis(np.sort(np.concatenate([low, high], axis=1), axis=1), -1, 0)
        inside = [
            (low[..., axis, None] <= edges[:, None, :-1])
            & (high[..., axis, None] >= edges[:, None, 1:])
            for axis, edges in enumerate((x_edges, y_edges))
        ]
        hidden = np.einsum("tv,tvx,tvy->txy", hides, *inside)
        cells = np.diff(x_edges)[:, :, None] * np.diff(y_edges)[:, None, :]
        seen[:, number] -= (cells * hidden).sum(axis=(1, 2))
    return seen


def _area(boxes: Array) -> Array:
    return np.asarray(np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1))


def _four(box: npt.NDArray[np.float32]) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(side) for side in box)
    return (left, top, right, bottom)
