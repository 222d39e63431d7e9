"""All pictures of a drive: what a colour, a depth and a thermal camera see at once, and of what."""

from functools import cached_property

from avkd.stages.simulation.road.class_map import ClassMap, draw_class_map, empty_class_map
from avkd.stages.simulation.road.depth import Depths, draw_depth, empty_depth
from avkd.stages.simulation.road.drawing import Backdrop, Pixels, draw_rgb, paint_backdrop
from avkd.stages.simulation.road.projection import Array
from avkd.stages.simulation.road.scene import (
    Cast,
    Shape,
    Stage,
    build_shapes,
    build_stage,
    draw_cast,
    first_samples,
)
from avkd.stages.simulation.road.settings import Drive
from avkd.stages.simulation.road.sight import TrackBoxes, frame_seconds, track_boxes
from avkd.stages.simulation.road.thermal import (
    Counts,
    ThermalBackdrop,
    draw_thermal,
    warm_backdrop,
)


class RoadPictures:
    """Draws any picture of a drive; what stands still is drawn when first needed, then kept."""

    def __init__(self, drive: Drive) -> None:
        self.drive = drive
        self._shapes: tuple[Shape, ...] = build_shapes(drive)

    def rgb(self, frame: int) -> Pixels:
        """Colour: uint8 (height, width, 3)."""
        cast = self._cast(frame)
        return draw_rgb(self.drive, self._backdrop, cast, frame)

    def depth(self, frame: int) -> Depths:
        """Depth: uint16 (height, width), centimetres along the optical axis."""
        cast = self._cast(frame)
        return draw_depth(self.drive, self._empty_depth, self._rays, cast)

    def thermal(self, frame: int) -> Counts:
        """Heat: uint16 (height, width), hundredths of a kelvin."""
        cast = self._cast(frame)
        return draw_thermal(self.drive, self._thermal_backdrop, cast, frame)

    def classes(self, frame: int) -> ClassMap:
        """Truth: uint8 (height, width), places in ``class_map.CLASSES``."""
        return draw_class_map(self._empty_class_map, self._cast(frame))

    def _cast(self, frame: int) -> Cast | None:
        return draw_cast(self.drive, self._shapes, self._tracks, frame)

    @cached_property
    def _tracks(self) -> TrackBoxes:
        return track_boxes(self.drive, frame_seconds(self.drive))

    @cached_property
    def _stage(self) -> Stage:
        return build_stage(self.drive)

    @cached_property
    def _backdrop(self) -> Backdrop:
        return paint_backdrop(self.drive, self._stage, self._shapes)

    @cached_property
    def _thermal_backdrop(self) -> ThermalBackdrop:
        return warm_backdrop(self.drive, self._stage, self._shapes)

    @cached_property
    def _empty_depth(self) -> Depths:
        return empty_depth(self._stage)

    @cached_property
    def _empty_class_map(self) -> ClassMap:
        return empty_class_map(self._stage)

    @cached_property
    def _rays(self) -> Array:
        return first_samples(self._stage.rays)
