"""Outlines of cars and vans.

Conventions: shares of a vehicle's length (0 rear, 1 front) and height, clockwise as seen from the
near side, driving to the right.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from avkd.stages.simulation.road.faces import Outline


@dataclass(frozen=True, kw_only=True)
class Style:
    """A body in one piece, its windows on the side, and where its parts are."""

    outline: Outline
    edges: Sequence[str]
    """Material of the strip behind each edge of the outline."""
    windows: Sequence[Outline]
    wheels: Sequence[float]
    wheel_metres: float
    """Radius."""
    lamp_height: float
    """Of headlamps and tail lamps, a share of the height."""
    engine: Outline
    """The part of the side that the engine warms."""


SALOON = Style(
    outline=(
        (0.0, 0.2),
        (0.0, 0.6),
        (0.03, 0.67),
        (0.17, 0.69),
        (0.3, 0.98),
        (0.36, 1.0),
        (0.57, 1.0),
        (0.72, 0.67),
        (0.95, 0.58),
        (1.0, 0.46),
        (1.0, 0.18),
        (0.5, 0.15),
    ),
    edges=(
        "paint",
        "paint",
        "paint",
        "glass",
        "paint",
        "paint",
        "glass",
        "bonnet",
        "bonnet",
        "grille",
        "trim",
        "trim",
    ),
    windows=(
        ((0.22, 0.69), (0.33, 0.94), (0.455, 0.94), (0.455, 0.69)),
        ((0.475, 0.69), (0.475, 0.94), (0.57, 0.94), (0.69, 0.69)),
    ),
    wheels=(0.19, 0.81),
    wheel_metres=0.33,
    lamp_height=0.5,
    engine=((0.76, 0.24), (0.76, 0.6), (0.94, 0.54), (0.97, 0.26)),
)
HATCHBACK = replace(
    SALOON,
    outline=(
        (0.0, 0.2),
        (0.0, 0.6),
        (0.04, 0.7),
        (0.1, 0.98),
        (0.16, 1.0),
        (0.56, 1.0),
        (0.73, 0.66),
        (0.95, 0.56),
        (1.0, 0.44),
        (1.0, 0.18),
        (0.5, 0.15),
    ),
    edges=(
        "paint",
        "paint",
        "glass",
        "paint",
        "paint",
        "glass",
        "bonnet",
        "bonnet",
        "grille",
        "trim",
        "trim",
    ),
    windows=(
        ((0.09, 0.69), (0.14, 0.94), (0.4, 0.94), (0.4, 0.69)),
        ((0.425, 0.69), (0.425, 0.94), (0.56, 0.94), (0.69, 0.69)),
    ),
)
VAN = Style(
    outline=(
        (0.0, 0.14),
        (0.0, 0.97),
        (0.02, 1.0),
        (0.72, 1.0),
        (0.76, 0.97),
        (0.88, 0.6),
        (0.98, 0.5),
        (1.0, 0.4),
        (1.0, 0.13),
        (0.5, 0.12),
    ),
    edges=(
        "paint",
        "paint",
        "paint",
        "paint",
        "glass",
        "bonnet",
        "bonnet",
        "grille",
        "trim",
        "trim",
    ),
    windows=(((0.62, 0.58), (0.62, 0.86), (0.76, 0.86), (0.85, 0.58)),),
    wheels=(0.19, 0.82),
    wheel_metres=0.35,
    lamp_height=0.42,
    engine=((0.84, 0.18), (0.84, 0.52), (0.96, 0.46), (0.98, 0.2)),
)
