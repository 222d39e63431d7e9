"""What a description says of pictures, as the arithmetic that a network in a file begins with."""

import numpy as np
import numpy.typing as npt

from avkd.stages.teachers.files.description import InputDescription


def normalising(told: InputDescription) -> dict[str, npt.NDArray[np.float32]]:
    """Give what makes values of pixels: ``scale``, then ``offset``; of gray also what to cut to.

    Each is (1, channels, 1, 1). Computed in float64, so that they are rounded once.
    """
    mean, std = (np.array(each, np.float64).reshape(1, -1, 1, 1) for each in (told.mean, told.std))
    if told.value_range is None:
        scale = 1 / 255 if told.scale is None else told.scale
        return _as_float32(scale=scale / std, offset=-mean / std)
    low, high = told.value_range
    # Cutting what was normalised needs no step of its own before it; std may be negative.
    ends = np.sort(np.concatenate([(0 - mean) / std, (1 - mean) / std]), axis=0)
    width = high - low
    return _as_float32(
        scale=1 / (width * std),
        offset=-(low / width + mean) / std,
        low=ends[:1],
        high=ends[1:],
    )


def _as_float32(**arrays: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float32]]:
    return {name: array.astype(np.float32) for name, array in arrays.items()}
