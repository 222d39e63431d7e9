"""What things are made of: their colour by day, what shines of its own, and how warm they are.

The numbers are ours, chosen so that pictures look right and a thermal camera sees the pattern that
is known of roads: engines, wheels and exhausts far above the air, paint near it, asphalt heated by
the sun by day [R].
"""

from collections.abc import Mapping
from dataclasses import dataclass

from avkd.stages.simulation.road.chance import stream
from avkd.stages.simulation.road.settings import Vehicle

Rgb = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Material:
    """How a face looks and how warm it is."""

    colour: Rgb
    """Of light that it gives back, 0 to 255."""
    shine: Rgb = (0.0, 0.0, 0.0)
    """What it gives of its own while lamps are lit."""
    warm_kelvin: float = 0.0
    """Above the air, by itself."""
    sunny_kelvin: float = 0.0
    """Above that, in full sun."""
    grain: float = 0.0
    """How much its brightness varies from place to place."""


_CARGO: tuple[Rgb, ...] = ((225, 225, 222), (60, 90, 150), (190, 150, 60), (150, 155, 160))
_STRIPES: tuple[Rgb, ...] = ((190, 40, 40), (30, 110, 60), (40, 60, 140), (230, 190, 60))
_HELMETS: tuple[Rgb, ...] = ((230, 230, 230), (200, 40, 40), (30, 30, 34), (240, 190, 40))

_PARTS: dict[str, Material] = {
    "shadow": Material(colour=(30, 30, 32), warm_kelvin=3.0, sunny_kelvin=10.0),
    "glass": Material(colour=(62, 78, 92), warm_kelvin=-2.0, sunny_kelvin=4.0),
    "tyre": Material(colour=(26, 26, 28), warm_kelvin=18.0, sunny_kelvin=4.0),
    "hub": Material(colour=(150, 152, 156), warm_kelvin=32.0, sunny_kelvin=2.0),
    "trim": Material(colour=(38, 38, 40), warm_kelvin=9.0, sunny_kelvin=3.0),
    "seam": Material(colour=(45, 45, 48), sunny_kelvin=8.0),
    "grille": Material(colour=(34, 34, 38), warm_kelvin=30.0, sunny_kelvin=3.0),
    "exhaust": Material(colour=(60, 58, 56), warm_kelvin=55.0),
    "engine": Material(colour=(70, 70, 74), warm_kelvin=60.0),
    "headlamp": Material(colour=(226, 228, 220), shine=(255, 250, 225), warm_kelvin=12.0),
    "tail lamp": Material(colour=(165, 28, 26), shine=(235, 36, 26), warm_kelvin=4.0),
    "plate": Material(colour=(222, 220, 190), sunny_kelvin=6.0),
    "rider": Material(colour=(44, 44, 52), warm_kelvin=11.0, sunny_kelvin=4.0),
}


def vehicle_materials(vehicle: Vehicle) -> Mapping[str, Material]:
    """The materials of one vehicle, its paint and the warmth of its engine drawn from its seed."""
    rng = stream(vehicle.seed, "materials")
    cargo, stripe, helmet = (tints[rng.integers(4)] for tints in (_CARGO, _STRIPES, _HELMETS))
    warmth = rng.uniform(0.75, 1.2)
    red, green, blue = (float(value) for value in vehicle.colour)
    paint = (red, green, blue)
    made = {
        **_PARTS,
        "paint": Material(colour=paint, warm_kelvin=-1.0, sunny_kelvin=8.0),
        "bonnet": Material(colour=paint, warm_kelvin=20.0, sunny_kelvin=4.0),
        "engine side": Material(colour=paint, warm_kelvin=14.0, sunny_kelvin=4.0),
        "cargo": Material(colour=cargo, warm_kelvin=-1.0, sunny_kelvin=7.0),
        "stripe": Material(colour=stripe, warm_kelvin=-1.0, sunny_kelvin=8.0),
        "helmet": Material(colour=helmet, warm_kelvin=6.0, sunny_kelvin=4.0),
    }
    return {name: _warmed(material, warmth) for name, material in made.items()}


def _warmed(material: Material, warmth: float) -> Material:
    if material.warm_kelvin <= 5:
        return material
    return Material(
        colour=material.colour,
        shine=material.shine,
        warm_kelvin=material.warm_kelvin * warmth,
        sunny_kelvin=material.sunny_kelvin,
        grain=material.grain,
    )
