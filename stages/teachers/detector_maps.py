"""The maps of a detector's network that can be stored beside its boxes, by name.

``features_<level>`` is what the backbone gives at a level of the pyramid, 0 the finest, before any
head. ``attention_<level>`` is the mean over channels of its square, |activation|^r averaged with
r = 2 (methods 3.4 [S: released code; the paper's r is U]), stored scaled to a maximum of 1; what it
was scaled by is ``attention_<level>_scale``. ``attention`` stands for all levels.

Imports no torch: declaring a detector's boxes must be quick.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.types import TeacherOutput

MapKind: TypeAlias = Literal["features", "attention"]
LevelShape: TypeAlias = tuple[int, int, int]
"""Channels, height and width of a level."""

PROJECTION_SEED = 0
_PURPOSE = "map projection"
_SCALE = "_scale"


@dataclass(frozen=True, kw_only=True)
class MapChoice:
    """One map to store."""

    kind: MapKind
    level: int

    @property
    def name(self) -> str:
        """Of the output."""
        return f"{self.kind}_{self.level}"


def choose_maps(
    teacher: str, names: Sequence[str], shapes: Sequence[LevelShape]
) -> tuple[MapChoice, ...]:
    """Give the maps of these names, each once, in the order asked for.

    Raises:
        UnknownNameError: the network has none of a name.
    """
    features = [MapChoice(kind="features", level=level) for level in range(len(shapes))]
    attention = [MapChoice(kind="attention", level=level) for level in range(len(shapes))]
    known = {choice.name: [choice] for choice in (*features, *attention)}
    known["attention"] = attention
    for name in names:
        if name not in known:
            raise UnknownNameError(f"map of teacher {teacher!r}", name, known)
    return tuple(dict.fromkeys(choice for name in names for choice in known[name]))


def declare_maps(
    choices: Sequence[MapChoice], shapes: Sequence[LevelShape], map_channels: int
) -> tuple[TeacherOutput, ...]:
    """Declare the outputs of maps, in their order; an attention map has its scale after it.

    Raises:
        InvalidValueError: a projection is asked for that has nothing to make smaller.
    """
    _check_projection(choices, shapes, map_channels)
    outputs: list[TeacherOutput] = []
    for choice in choices:
        num_channels, height, width = shapes[choice.level]
        if choice.kind == "features":
            shape = (map_channels or num_channels, height, width)
            outputs.append(
                TeacherOutput(name=choice.name, shape=shape, axes=("channel", "height", "width"))
            )
            continue
        scale = choice.name + _SCALE
        outputs += [
            TeacherOutput(
                name=choice.name,
                shape=(height, width),
                axes=("height", "width"),
                attributes={"scale": scale},
            ),
            TeacherOutput(name=scale, shape=(), axes=(), dtype="float32"),
        ]
    return tuple(outputs)


def projection_fingerprint(map_channels: int) -> Mapping[str, object] | None:
    """Name the projection of feature maps; None where they are stored whole."""
    if not map_channels:
        return None
    return {"kind": "gaussian", "seed": PROJECTION_SEED, "num_channels": map_channels}


def projection_matrix(num_channels: int, map_channels: int) -> npt.NDArray[np.float32]:
    """Give the projection (map_channels, num_channels) of feature maps: the same for every teacher.

    Entries are normal with variance 1 / map_channels, so that squared lengths, and with them
    distances, are kept on average (Johnson and Lindenstrauss).
    """
    rng = np.random.default_rng([PROJECTION_SEED, *_PURPOSE.encode()])
    drawn = rng.standard_normal((map_channels, num_channels)) / np.sqrt(map_channels)
    return np.asarray(drawn, np.float32)


def _check_projection(
    choices: Sequence[MapChoice], shapes: Sequence[LevelShape], map_channels: int
) -> None:
    features = [choice for choice in choices if choice.kind == "features"]
    if map_channels and not features:
        raise InvalidValueError(
            f"map_channels {map_channels} projects feature maps, but none is stored; name one "
            "with --maps NAME=features_<level>, or leave it out"
        )
    for choice in features:
        num_channels = shapes[choice.level][0]
        if map_channels >= num_channels:
            raise InvalidValueError(
                f"map_channels {map_channels} is not fewer than the {num_channels} channels of "
                f"{choice.name}; choose fewer, or leave it out to store all"
            )
