"""What a depth camera sees of a drive: true depth, by any light.

Conventions: uint16 (height, width), centimetres along the optical axis; ``FAR_CENTIMETRES`` stands
for the sky and for all that is farther.
"""

import numpy as np
import numpy.typing as npt

from avkd.stages.simulation.road.faces import depths_of, joined
from avkd.stages.simulation.road.projection import Array
from avkd.stages.simulation.road.scene import Cast, Stage, first_samples
from avkd.stages.simulation.road.settings import Drive

FAR_CENTIMETRES = 65_535

Depths = npt.NDArray[np.uint16]


def empty_depth(stage: Stage) -> Depths:
    """The scene without vehicles."""
    return _centimetres(first_samples(stage.depths_m))


def draw_depth(drive: Drive, empty: Depths, ray: Array, cast: Cast | None) -> Depths:
    """One picture; ``ray`` is that of the first sample of each pixel, (height, width, 3)."""
    picture = empty.copy()
    if cast is None:
        return picture
    part = picture[cast.rows, cast.columns]
    numbers = first_samples(cast.numbers)
    shown = numbers > 0
    mesh = joined(cast.meshes)
    rays = ray[cast.rows, cast.columns][shown]
    part[shown] = _centimetres(depths_of(numbers[shown] - 1, mesh, drive.camera, rays))
    return picture


def _centimetres(depths_m: Array) -> Depths:
    return np.minimum(np.rint(100 * depths_m), FAR_CENTIMETRES).astype(np.uint16)
