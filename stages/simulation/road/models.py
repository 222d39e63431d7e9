"""What vehicles of a kind are like: sizes, engines, speeds, paint.

Sizes are those of common models, gears those of common gearboxes; both are our choice.
"""

from dataclasses import dataclass

import numpy as np

from avkd.stages.simulation.road.settings import Engine, Kind

Range = tuple[float, float]

PAINTS = (
    (232, 232, 230),
    (28, 28, 30),
    (120, 124, 128),
    (186, 190, 194),
    (36, 60, 110),
    (150, 28, 30),
    (54, 84, 60),
    (196, 168, 60),
)
"""Red, green and blue; roads show whites, blacks and greys most."""
PAINT_SHARES = (0.24, 0.2, 0.18, 0.14, 0.1, 0.08, 0.03, 0.03)


@dataclass(frozen=True, kw_only=True)
class Model:
    """Ranges that a kind is drawn from."""

    length_m: Range
    height_m: Range
    width_m: Range
    speed_mps: tuple[float, float]
    """Mean and standard deviation in a town."""
    cylinders: tuple[int, ...]
    """Each as likely as the others; a number may come twice."""
    cruise_rpm: Range
    turns_per_metre: tuple[float, ...]
    """Of the crank in each gear, for a vehicle in the middle of its kind."""


MODELS: dict[Kind, Model] = {
    "car": Model(
        length_m=(3.7, 4.9),
        height_m=(1.42, 1.7),
        width_m=(1.68, 1.9),
        speed_mps=(13.5, 2.0),
        cylinders=(3, 4, 4, 4, 6),
        cruise_rpm=(1_600, 2_600),
        turns_per_metre=(7.5, 4.1, 2.8, 2.0, 1.6, 1.35),
    ),
    "van": Model(
        length_m=(5.0, 6.9),
        height_m=(2.1, 2.8),
        width_m=(1.95, 2.1),
        speed_mps=(12.5, 1.8),
        cylinders=(4,),
        cruise_rpm=(1_500, 2_200),
        turns_per_metre=(8.6, 4.5, 2.8, 2.0, 1.55, 1.3),
    ),
    "truck": Model(
        length_m=(7.5, 13.0),
        height_m=(3.2, 4.0),
        width_m=(2.4, 2.55),
        speed_mps=(11.5, 1.5),
        cylinders=(6,),
        cruise_rpm=(1_050, 1_500),
        turns_per_metre=(7.8, 6.1, 4.7, 3.7, 2.9, 2.25, 1.75, 1.4, 1.1, 0.85),
    ),
    "motorcycle": Model(
        length_m=(1.95, 2.3),
        height_m=(1.4, 1.65),
        width_m=(0.7, 0.9),
        speed_mps=(14.0, 2.5),
        cylinders=(1, 2, 2, 4),
        cruise_rpm=(3_200, 5_500),
        turns_per_metre=(8.0, 5.6, 4.3, 3.5, 2.9, 2.5),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Body:
    """What one vehicle has of its kind's ranges."""

    length_m: float
    height_m: float
    width_m: float
    colour: tuple[int, int, int]
    engine: Engine
    level_db: float


def draw_body(rng: np.random.Generator, kind: Kind) -> Body:
    """Draw a vehicle's size, paint and engine."""
    model = MODELS[kind]
    gearing = rng.uniform(0.9, 1.1)
    return Body(
        length_m=float(rng.uniform(*model.length_m)),
        height_m=float(rng.uniform(*model.height_m)),
        width_m=float(rng.uniform(*model.width_m)),
        colour=PAINTS[rng.choice(len(PAINTS), p=PAINT_SHARES)],
        engine=Engine(
            num_cylinders=int(rng.choice(model.cylinders)),
            turns_per_metre=tuple(float(gearing * turns) for turns in model.turns_per_metre),
            cruise_rpm=float(rng.uniform(*model.cruise_rpm)),
        ),
        level_db=float(rng.normal(0, 1.5)),
    )


def draw_speed(rng: np.random.Generator, kind: Kind) -> float:
    """Draw how fast one of a kind drives in a town, within two standard deviations, in m/s."""
    mean, spread = MODELS[kind].speed_mps
    return float(mean + spread * np.clip(rng.normal(), -2, 2))
