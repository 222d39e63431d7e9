"""What each pixel of a drive's pictures shows, as a class: true by any light.

Conventions: uint8 (height, width), places in ``CLASSES``. It is read at the same sample of each
pixel as depth (``scene.first_samples``): where depth is a vehicle's, so is the class. The shadow
below a vehicle is of what it lies on.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from avkd.stages.simulation.road.scene import Cast, Stage, first_samples

CLASSES = ("background", "road", "pavement", "vegetation", "building", "vehicle")
"""``background`` is the sky and what is thin: poles and signs."""
_VEHICLE = CLASSES.index("vehicle")
_MATERIALS = {
    "background": ("pole", "sign rim", "sign"),
    "road": ("asphalt", "marking"),
    "pavement": ("pavement", "kerb"),
    "vegetation": ("verge", "meadow", "hill", "hedge", "trunk", "leaves"),
    "building": ("wall", "roof", "lit window", "dark window", "door"),
}
_CLASS_OF = {
    material: CLASSES.index(name)
    for name, materials in _MATERIALS.items()
    for material in materials
}
_SHADOW = "shadow"

ClassMap = npt.NDArray[np.uint8]


def empty_class_map(stage: Stage) -> ClassMap:
    """The scene without vehicles."""
    classes = [_still_class(material) for material in stage.surroundings.mesh.materials]
    faces = np.array([CLASSES.index("background"), *classes], np.uint8)
    return faces[first_samples(stage.numbers)]


def draw_class_map(empty: ClassMap, cast: Cast | None) -> ClassMap:
    """One picture."""
    picture = empty.copy()
    if cast is not None:
        materials = [material for mesh in cast.meshes for material in mesh.materials]
        is_vehicle = _solid(materials)[first_samples(cast.numbers)]
        picture[cast.rows, cast.columns][is_vehicle] = _VEHICLE
    return picture


def _still_class(material: str) -> int:
    """Of a material such as ``wall 3``: what stands several times is numbered."""
    return _CLASS_OF[material.rstrip("0123456789 ")]


def _solid(materials: Sequence[str]) -> npt.NDArray[np.bool_]:
    """By number of a cast: 0 is what is behind, face f is f + 1."""
    return np.array([False, *(material != _SHADOW for material in materials)])
