"""Frames of a thing that moves slowly through a place.

Conventions: positions and heights are shares of the frame's width and height (a sprite is square,
its height rules); turns are degrees, counter-clockwise; frames are uint8 RGB, height by width.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

PAN_PIXELS = 24


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Where a sprite is on the frame."""

    x: float
    y: float
    height: float
    turn_degrees: float


@dataclass(frozen=True, kw_only=True)
class Actor:
    """A sprite and its way over the clip."""

    sprite: Image.Image
    """RGBA, 256 by 256."""
    start: Pose
    stop: Pose
    mirrored: bool = False


@dataclass(frozen=True, kw_only=True)
class Light:
    """What camera and lamp do to every frame."""

    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Of red, green and blue."""
    gamma: float = 1.0
    blur_pixels: float = 0.0
    noise_levels: float = 0.0
    """Standard deviation of the sensor noise, in steps of 255."""


def draw_light(
    rng: np.random.Generator,
    *,
    brightness: tuple[float, float],
    tint: tuple[float, float],
    gamma: tuple[float, float],
) -> Light:
    """A light at random: a gain of all colours within ``brightness``, of each within ``tint``."""
    red, green, blue = (float(gain) for gain in rng.uniform(*brightness) * rng.uniform(*tint, 3))
    return Light(
        gains=(red, green, blue),
        gamma=float(rng.uniform(*gamma)),
        blur_pixels=float(rng.uniform(0, 3)),
        noise_levels=float(rng.uniform(1, 10)),
    )


def pose_between(start: Pose, stop: Pose, part: float) -> Pose:
    """The pose at a part, 0 to 1, of the way."""
    return Pose(
        x=start.x + (stop.x - start.x) * part,
        y=start.y + (stop.y - start.y) * part,
        height=start.height + (stop.height - start.height) * part,
        turn_degrees=start.turn_degrees + (stop.turn_degrees - start.turn_degrees) * part,
    )


def pose_box(pose: Pose, frame_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The pixels (left, top, right, bottom) that hold a turned sprite; they may leave the frame."""
    width, height = frame_size
    turn = math.radians(pose.turn_degrees)
    half = pose.height * height / 2 * (abs(math.cos(turn)) + abs(math.sin(turn)))
    x, y = pose.x * width, pose.y * height
    return (
        math.floor(x - half),
        math.floor(y - half),
        math.ceil(x + half),
        math.ceil(y + half),
    )


def render_frames(
    scenery: Image.Image,
    actors: Sequence[Actor],
    light: Light,
    *,
    num_frames: int,
    frame_size: tuple[int, int],
    rng: np.random.Generator,
) -> Iterator[npt.NDArray[np.uint8]]:
    """Draw each frame: the scenery panned, the actors in order, the camera's light and noise.

    ``scenery`` is wider and higher than the frame by ``PAN_PIXELS``.
    """
    lit = _apply_light(scenery, light)
    cast = [_shrunk(_lit_actor(actor, light), frame_size) for actor in actors]
    pan_from, pan_to = rng.uniform(0, PAN_PIXELS, (2, 2))
    grain = rng.normal(0, light.noise_levels, (frame_size[1] + 64, frame_size[0] + 64))
    grains = grain.astype(np.int16)[:, :, None]
    for index in range(num_frames):
        part = index / max(1, num_frames - 1)
        left, top = (int(value) for value in pan_from + (pan_to - pan_from) * part)
        frame = lit.crop((left, top, left + frame_size[0], top + frame_size[1]))
        for actor in cast:
            _paste(frame, actor, pose_between(actor.start, actor.stop, part))
        row, column = rng.integers(0, 64, 2)
        noise = grains[row : row + frame_size[1], column : column + frame_size[0]]
        yield np.clip(np.asarray(frame, dtype=np.int16) + noise, 0, 255).astype(np.uint8)


def _apply_light(image: Image.Image, light: Light) -> Image.Image:
    ramp = (np.arange(256) / 255) ** light.gamma * 255
    tables = [np.clip(ramp * gain, 0, 255).astype(np.uint8) for gain in light.gains]
    values = [int(value) for table in tables for value in table]
    if image.mode == "RGBA":
        values += range(256)
    return image.point(values)


def _lit_actor(actor: Actor, light: Light) -> Actor:
    sprite = _apply_light(actor.sprite, light)
    if actor.mirrored:
        sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return Actor(
        sprite=sprite.filter(ImageFilter.BoxBlur(light.blur_pixels)),
        start=actor.start,
        stop=actor.stop,
    )


def _shrunk(actor: Actor, frame_size: tuple[int, int]) -> Actor:
    # Shrunk once with care to its largest size; each frame then only samples between pixels.
    side = max(8, round(max(actor.start.height, actor.stop.height) * frame_size[1]))
    sprite = actor.sprite.resize((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return Actor(sprite=sprite, start=actor.start, stop=actor.stop)


def _paste(frame: Image.Image, actor: Actor, pose: Pose) -> None:
    left, top, right, bottom = pose_box(pose, frame.size)
    left, top = max(left, 0), max(top, 0)
    right, bottom = min(right, frame.width), min(bottom, frame.height)
    if left >= right or top >= bottom:
        return
    scale = actor.sprite.width / (pose.height * frame.height)
    turn = math.radians(pose.turn_degrees)
    cos, sin = math.cos(turn) * scale, math.sin(turn) * scale
    # From a pixel of the pasted box back to a pixel of the sprite, around the common centre.
    x, y = pose.x * frame.width - left, pose.y * frame.height - top
    middle = actor.sprite.width / 2
    back = (cos, -sin, middle - cos * x + sin * y, sin, cos, middle - sin * x - cos * y)
    size = (right - left, bottom - top)
    moved = actor.sprite.transform(size, Image.Transform.AFFINE, back, Image.Resampling.BILINEAR)
    frame.paste(moved, (left, top), moved)
