"""Flat faces in space: built as plain solids, drawn as numbers, measured as planes.

A picture is drawn once as the number of the face that each sample shows; colour, temperature and
depth are looked up by that number, so the streams agree by construction. Conventions: metres;
corners (n, 3) go around a face; a normal points out of the solid. A drawing has ``SUPERSAMPLING``
samples a pixel in each direction; number 0 is what was there before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from avkd.stages.simulation.road.projection import Array, camera_point, project
from avkd.stages.simulation.road.settings import Camera

SUPERSAMPLING = 2
ROUND_CORNERS = 14
"""Of the polygon that stands for a circle."""

Outline = Sequence[tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Face:
    """One flat polygon of one material."""

    corners: Array
    normal: tuple[float, float, float]
    material: str
    stage: int = 0
    """Faces of a group are drawn by stage, and within one from far to near."""
    group: float = 0.0
    """Where along x the solid is that the face belongs to; the nearest to x = 0 is drawn last."""


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """F faces side by side."""

    corners: Array
    """(all, 3), face after face."""
    starts: npt.NDArray[np.intp]
    """(F + 1,) into the corners."""
    normals: Array
    """(F, 3)"""
    centres: Array
    """(F, 3)"""
    groups: Array
    """(F,)"""
    stages: npt.NDArray[np.intp]
    """(F,)"""
    materials: tuple[str, ...]


def build_mesh(faces: Iterable[Face]) -> Mesh:
    """Put faces side by side."""
    listed = list(faces)
    counts = [len(face.corners) for face in listed]
    return Mesh(
        corners=np.concatenate([face.corners for face in listed]),
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.intp),
        normals=np.array([face.normal for face in listed], dtype=np.float64),
        centres=np.stack([face.corners.mean(axis=0) for face in listed]),
        groups=np.array([face.group for face in listed]),
        stages=np.array([face.stage for face in listed], dtype=np.intp),
        materials=tuple(face.material for face in listed),
    )


def moved(mesh: Mesh, by: Array) -> Mesh:
    """The same faces elsewhere."""
    return Mesh(
        corners=mesh.corners + by,
        starts=mesh.starts,
        normals=mesh.normals,
        centres=mesh.centres + by,
        groups=mesh.groups + by[0],
        stages=mesh.stages,
        materials=mesh.materials,
    )


def joined(meshes: Sequence[Mesh]) -> Mesh:
    """The faces of several meshes side by side."""
    starts = np.cumsum([0, *(len(mesh.corners) for mesh in meshes)])
    inner = [mesh.starts[:-1] + start for mesh, start in zip(meshes, starts, strict=False)]
    return Mesh(
        corners=np.concatenate([mesh.corners for mesh in meshes]),
        starts=np.concatenate([*inner, starts[-1:]]),
        normals=np.concatenate([mesh.normals for mesh in meshes]),
        centres=np.concatenate([mesh.centres for mesh in meshes]),
        groups=np.concatenate([mesh.groups for mesh in meshes]),
        stages=np.concatenate([mesh.stages for mesh in meshes]),
        materials=tuple(name for mesh in meshes for name in mesh.materials),
    )


def upright(
    outline: Outline, z: float, material: str, *, stage: int = 0, group: float = 0.0
) -> Face:
    """A face across the view, of (x, y) corners at a depth."""
    corners = np.array([(x, y, z) for x, y in outline])
    return Face(
        corners=corners, normal=(0.0, 0.0, -1.0), material=material, stage=stage, group=group
    )


def level(x: tuple[float, float], z: tuple[float, float], material: str, *, stage: int = 0) -> Face:
    """A rectangle on the ground."""
    corners = np.array([(x[0], 0, z[0]), (x[1], 0, z[0]), (x[1], 0, z[1]), (x[0], 0, z[1])])
    return Face(corners=corners, normal=(0.0, 1.0, 0.0), material=material, stage=stage)


def prism(
    outline: Outline,
    z: tuple[float, float],
    material: str,
    *,
    edges: Sequence[str] = (),
    group: float = 0.0,
) -> list[Face]:
    """A solid whose near side is an outline, clockwise as seen, and that reaches back to a depth.

    ``edges`` names the material of the strip behind each edge, the first from corner 0 to 1.
    """
    materials = edges or [material] * len(outline)
    faces = []
    for number, (x0, y0) in enumerate(outline):
        x1, y1 = outline[(number + 1) % len(outline)]
        corners = np.array([(x0, y0, z[0]), (x1, y1, z[0]), (x1, y1, z[1]), (x0, y0, z[1])])
        length = float(np.hypot(x1 - x0, y1 - y0))
        normal = ((y0 - y1) / length, (x1 - x0) / length, 0.0)
        faces.append(Face(corners=corners, normal=normal, material=materials[number], group=group))
    return [*faces, upright(outline, z[0], material, stage=1, group=group)]


def circle(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """The outline of a wheel; its lowest and highest corners lie on the circle."""
    angles = np.arange(ROUND_CORNERS) * 2 * np.pi / ROUND_CORNERS - np.pi / 2
    return [(float(x + radius * np.cos(a)), float(y + radius * np.sin(a))) for a in angles]


def drawing_order(mesh: Mesh, camera: Camera) -> npt.NDArray[np.intp]:
    """The faces that are turned to the camera, in the order in which to paint them."""
    towards = camera_point(camera) - mesh.centres
    shown = np.einsum("fc,fc->f", mesh.normals, towards) > 0
    order = np.lexsort((-np.linalg.norm(towards, axis=1), mesh.stages, -np.abs(mesh.groups)))
    return np.asarray(order[shown[order]])


def draw_faces(canvas: Image.Image, mesh: Mesh, camera: Camera, first_number: int) -> None:
    """Paint the numbers of a mesh's faces, from ``first_number`` up, into a mode I drawing."""
    places, _ = project(camera, mesh.corners)
    # A sample's middle is a whole number to the painter.
    dots = (places * (canvas.width, canvas.height) - 0.5).tolist()
    pencil = ImageDraw.Draw(canvas)
    starts = mesh.starts.tolist()
    for number in drawing_order(mesh, camera).tolist():
        outline = [tuple(dot) for dot in dots[starts[number] : starts[number + 1]]]
        pencil.polygon(outline, fill=first_number + number)


def new_canvas(camera: Camera) -> Image.Image:
    """An empty drawing of a camera's picture."""
    width, height = camera.picture_size
    return Image.new("I", (width * SUPERSAMPLING, height * SUPERSAMPLING))


def depths_of(numbers: npt.NDArray[np.int32], mesh: Mesh, camera: Camera, ray: Array) -> Array:
    """Depths in metres where rays (..., 3) meet the faces of these numbers (...), from 0.

    A sample on an edge may show a face that its own ray passes: depths are held to the mesh's.
    """
    offsets = np.einsum("fc,fc->f", mesh.normals, mesh.centres - camera_point(camera))
    across = np.einsum("...c,...c->...", mesh.normals[numbers], ray)
    depths = offsets[numbers] / np.where(across == 0, -1e-9, across)
    corner_depths = project(camera, mesh.corners)[1]
    nearest = np.minimum.reduceat(corner_depths, mesh.starts[:-1])[numbers]
    farthest = np.maximum.reduceat(corner_depths, mesh.starts[:-1])[numbers]
    return np.asarray(np.clip(depths, nearest, farthest))
