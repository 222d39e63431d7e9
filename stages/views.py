"""Augmented views of pictures: drawn once, stored as numbers, and shown again to whoever learns.

A view is a part of a picture scaled to a size of its own (a random resized crop), perhaps mirrored,
with other colours. A teacher that saw views of a picture tells a student more than one that saw the
picture, if the student sees the same views (Shen and Xing 2022, "A Fast Knowledge Distillation
Framework for Visual Recognition", FKD [R]). So what was drawn is kept, not what came of it: numbers
that turn stored pictures into the same bytes.

Conventions: K views; P parameters, named by ``PARAMETERS``; fractions are of the picture that a
part is taken of.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from avkd.errors import InvalidValueError

PARAMETERS = (
    "seed",
    "left",
    "top",
    "width",
    "height",
    "is_mirrored",
    "brightness",
    "contrast",
    "saturation",
)
"""Of a view, in this order: the seed that all others follow from; the part, in fractions; 1 where
it is mirrored; and three factors of its colours."""
VIEWS_VERSION = 1
"""Raised only when pictures change."""

_SEED_BYTES = 3  # float32 holds every whole number of 24 bits
_ATTEMPTS = 10
_LUMA = (299, 587, 114)  # thousandths of red, green and blue (Rec. 601)

Parameters = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """What views are drawn; area and ratio are those of the usual random resized crop [R]."""

    num_views: int
    height: int
    """Of a view, in pixels."""
    width: int
    seed: int = 0
    """With a clip's id, the step and the view's number, all that a view depends on."""
    area_range: tuple[float, float] = (0.08, 1.0)
    """Of the part, as a share of the picture."""
    ratio_range: tuple[float, float] = (3 / 4, 4 / 3)
    """Of the part's width to its height, in pixels; its logarithm is drawn evenly."""
    mirrored_share: float = 0.5
    colour_change: float = 0.4
    """Each factor is drawn evenly from 1 less that to 1 and that."""

    def __post_init__(self) -> None:
        if min(self.num_views, self.height, self.width) < 1:
            raise InvalidValueError(
                f"{self.num_views} views of {self.width}x{self.height} must be 1 or more each"
            )

    def describe(self) -> Mapping[str, object]:
        """Give all that decides the views; JSON."""
        settings = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }
        return {**settings, "interpolation": "bicubic", "views_version": VIEWS_VERSION}


def draw_views(settings: ViewSettings, clip_id: str, step: int, aspect: float) -> Parameters:
    """Draw the views of a step: float32 (K, P).

    Args:
        settings: of the views.
        clip_id: of the clip.
        step: in the clip; all pictures of a step have the same views.
        aspect: width over height of the pictures, in pixels.
    """
    seeds = (_hash_seed(settings.seed, clip_id, step, view) for view in range(settings.num_views))
    return np.stack([draw_view(settings, seed, aspect) for seed in seeds])


def draw_view(settings: ViewSettings, seed: int, aspect: float) -> Parameters:
    """Draw one view from its seed: float32 (P,)."""
    generator = np.random.default_rng(seed)
    part = _draw_part(generator, settings, aspect)
    is_mirrored = generator.random() < settings.mirrored_share
    low, high = 1 - settings.colour_change, 1 + settings.colour_change
    colours = generator.uniform(low, high, size=3)
    return np.array([seed, *part, is_mirrored, *colours], np.float32)


def replay_views(
    frames: Pixels, parameters: Parameters, size: tuple[int, int] | None = None
) -> Pixels:
    """Show the views of pictures again: uint8 (F, K, height, width, 3).

    Args:
        frames: uint8 (F, rows, columns, 3), the pictures of S steps one after the other. Of the
            pictures that were decoded for a teacher the bytes are those that it saw.
        parameters: float32 (S, K, P), as drawn or as stored. A step that has none is black.
        size: height and width of a view; None takes that of the pictures.

    Raises:
        InvalidValueError: the pictures are not as many for each step.
    """
    num_steps, num_views, _ = parameters.shape
    num_frames, *picture_size, _ = frames.shape
    if num_frames % max(num_steps, 1):
        raise InvalidValueError(
            f"{num_frames} pictures are not as many for each of {num_steps} steps; "
            "give the parameters of the steps that the pictures are of"
        )
    height, width = size or (picture_size[0], picture_size[1])
    shown = np.zeros((num_frames, num_views, height, width, 3), np.uint8)
    for number, frame in enumerate(frames):
        for view, drawn in enumerate(parameters[number * num_steps // num_frames]):
            if drawn[3] > 0:
                shown[number, view] = _show(frame, drawn, height, width)
    return shown


def _hash_seed(seed: int, clip_id: str, step: int, view: int) -> int:
    text = f"{seed}/{clip_id}/{step}/{view}"
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:_SEED_BYTES], "big")


def _draw_part(
    generator: np.random.Generator, settings: ViewSettings, aspect: float
) -> tuple[float, float, float, float]:
    """Give left, top, width and height; all of the picture where no part fits in ten attempts."""
    low, high = map(math.log, settings.ratio_range)
    for _ in range(_ATTEMPTS):
        area = generator.uniform(*settings.area_range)
        ratio = math.exp(generator.uniform(low, high)) / aspect
        width, height = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if width <= 1 and height <= 1:
            left, top = generator.uniform(0, 1 - width), generator.uniform(0, 1 - height)
            return left, top, width, height
    return 0.0, 0.0, 1.0, 1.0


def _show(frame: Pixels, parameters: Parameters, height: int, width: int) -> Pixels:
    _, left, top, part_width, part_height, is_mirrored, *colours = (float(p) for p in parameters)
    rows, columns = frame.shape[:2]
    # float32 may round the far edges beyond the picture.
    box = (
        left * columns,
        top * rows,
        min((left + part_width) * columns, columns),
        min((top + part_height) * rows, rows),
    )
    part = Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC, box=box)
    pixels = np.asarray(part)
    return _change_colours(pixels[:, ::-1] if is_mirrored else pixels, *colours)


def _change_colours(
    pixels: Pixels, brightness: float, contrast: float, saturation: float
) -> Pixels:
    """Change brightness, then contrast around the mean grey, then saturation; cut off last.

    All three are linear, so that they are one sum. The mean is of whole numbers: no order of adding
    changes it.
    """
    red, green, blue = _LUMA
    whole = pixels.astype(np.int64)
    grey = red * whole[..., 0] + green * whole[..., 1] + blue * whole[..., 2]
    mean = int(grey.sum()) / (grey.size * sum(_LUMA))
    scale = brightness * contrast
    offset = (1 - saturation) * scale / sum(_LUMA) * grey + (1 - contrast) * brightness * mean
    changed = saturation * scale * pixels + offset[..., None]
    return np.asarray(np.rint(np.clip(changed, 0, 255)), np.uint8)
