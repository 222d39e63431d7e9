"""A Kalman filter for many boxes at once, each moving at a nearly constant velocity.

The state of a box is its centre and size, (x, y, width, height) in fractions of the picture, with
their velocities a second. Its four coordinates are independent, so that a filter is four filters of
two numbers. Noise is told in sizes of the box: near vehicles are larger and move faster in the
picture. Velocities change as by a random acceleration that holds for the time between two frames,
so that frames may be apart as they will.

Conventions: N boxes, C = 4 coordinates, S = 2 for (value, velocity).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.integer] | npt.NDArray[np.bool_]

SMALLEST_SIZE = 0.02
"""Of the picture: what a box cut off at the edge counts as, where noise is told in its size."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Standard deviations, in widths of the box for x and width, in heights for y and height."""

    detection: float = 0.1
    """Of a detected coordinate."""
    velocity: float = 3.0
    """Of a new box's velocity, a second."""
    acceleration: float = 2.0
    """A second squared."""


@dataclass(frozen=True, kw_only=True)
class BoxStates:
    """What is known of each box."""

    mean: Array
    """(N, C, S)."""
    covariance: Array
    """(N, C, S, S)."""

    def __len__(self) -> int:
        """How many boxes there are."""
        return len(self.mean)

    def take(self, places: Places) -> "BoxStates":
        """The boxes at these places, or where a mask (N,) is true."""
        return BoxStates(mean=self.mean[places], covariance=self.covariance[places])

    @property
    def boxes(self) -> Array:
        """(N, 4): corners, which may lie outside the picture."""
        centers, sizes = self.mean[:, :2, 0], np.maximum(self.mean[:, 2:, 0], 0)
        return np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)


def start_states(boxes: npt.NDArray[np.floating], noise: Noise) -> BoxStates:
    """States of boxes (N, 4) seen for the first time: at rest, as far as is known."""
    values = _coordinates(boxes)
    scale = _scale(values)
    covariance = np.zeros((*values.shape, 2, 2))
    covariance[..., 0, 0] = (noise.detection * scale) ** 2
    covariance[..., 1, 1] = (noise.velocity * scale) ** 2
    return BoxStates(mean=np.stack([values, np.zeros_like(values)], axis=-1), covariance=covariance)


def predict_states(states: BoxStates, seconds: float, noise: Noise) -> BoxStates:
    """The states so much later, and less certain."""
    step = np.array([[1.0, seconds], [0.0, 1.0]])
    pushed = np.outer([seconds**2 / 2, seconds], [seconds**2 / 2, seconds])
    push = (noise.acceleration * _scale(states.mean[..., 0])) ** 2
    return BoxStates(
        mean=states.mean @ step.T,
        covariance=step @ states.covariance @ step.T + push[..., None, None] * pushed,
    )


def correct_states(states: BoxStates, boxes: npt.NDArray[np.floating], noise: Noise) -> BoxStates:
    """The states after each box was detected at boxes (N, 4)."""
    values = _coordinates(boxes)
    spread = states.covariance[..., 0, 0] + (noise.detection * _scale(values)) ** 2
    gain = states.covariance[..., 0] / spread[..., None]
    surprise = values - states.mean[..., 0]
    return BoxStates(
        mean=states.mean + gain * surprise[..., None],
        covariance=states.covariance - gain[..., :, None] * states.covariance[..., None, 0, :],
    )


def join_states(first: BoxStates, second: BoxStates) -> BoxStates:
    """The boxes of the first, then those of the second."""
    return BoxStates(
        mean=np.concatenate([first.mean, second.mean]),
        covariance=np.concatenate([first.covariance, second.covariance]),
    )


def _coordinates(boxes: npt.NDArray[np.floating]) -> Array:
    exact = boxes.astype(np.float64)
    return np.concatenate([(exact[:, :2] + exact[:, 2:]) / 2, exact[:, 2:] - exact[:, :2]], axis=1)


def _scale(values: Array) -> Array:
    """(N, C): the size that belongs to each coordinate."""
    return np.maximum(values[:, [2, 3, 2, 3]], SMALLEST_SIZE)
