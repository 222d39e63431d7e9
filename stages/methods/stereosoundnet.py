"""StereoSoundNet (Gan et al., ICCV 2019): sound learns the boxes that a picture's detector saw.

Loss = ranking of feature maps + detection, unweighted [S:GAN-fig]. The ranking draws each step's
map nearer to that of its own picture than to those of others; the detection loss is YOLOv2's
against the teacher's boxes. Margin, coefficients and how boxes were filtered are unknown [U].

Conventions: B clips, T steps, N real steps of a batch, A anchors, C channels, H and W cells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.detection.anchors import PAPER_3_ANCHORS
from avkd.stages.detection.boxes import BoxTargets
from avkd.stages.detection.grid_network import GridNetwork, build_grid_head
from avkd.stages.encoders.real_steps import real_mask
from avkd.stages.encoders.registry import Encoder
from avkd.stages.encoders.step_sound import StepSoundEncoder
from avkd.stages.encoders.stream_inputs import (
    require_amount,
    require_choice,
    require_count,
    require_counts,
)
from avkd.stages.encoders.streams import StreamEncoder
from avkd.stages.losses.detection_grid import (
    OBJECTNESS,
    GridLossWeights,
    Objectness,
    grid_loss,
)
from avkd.stages.losses.ranking import map_ranking
from avkd.stages.methods.batch import Batch, LearningShape, LossParts, Needs, TargetShape
from avkd.stages.methods.grid_student import GridOutput, GridStudent, require_anchors
from avkd.stages.methods.registry import register_method

Ranking: TypeAlias = Literal["as_paper", "as_printed", "off"]
Stored = TypeVar("Stored", BoxTargets, Tensor)
PAPER_GRID = 13
PAPER_MAP_CHANNELS = 1024
FEATURES = "features"
"""How the names of outputs begin that are maps of a network, and not of its attention."""


@dataclass(frozen=True, kw_only=True)
class StereoSoundNetMethod:
    """The configured losses and the shape of the student; holds no tensors."""

    teacher: str
    feature_map: str
    classes: tuple[str, ...]
    """Empty: all of the teacher's."""
    ranking: Ranking
    ranking_weight: float
    detection_weight: float
    margin: float
    weights: GridLossWeights = field(default_factory=GridLossWeights)
    objectness_form: Objectness
    ignore_threshold: float
    min_score: float
    weigh_by_score: bool
    num_anchors: int
    anchors: tuple[float, ...]
    """Widths and heights in turn, in cells; empty: fitted to the teacher's boxes."""
    grid_size: int
    map_channels: int
    """0: the teacher's."""
    bottleneck: int
    deconv_widths: tuple[int, ...]

    def build_student(
        self, encoder: Encoder | StreamEncoder, learning: LearningShape
    ) -> GridStudent:
        """A student whose grid and map are the teacher's, or the paper's where it stored no map.

        Raises:
            InvalidValueError: The encoder hears no steps, or the teacher stored no boxes, or no map
                that the ranking could use.
            UnknownNameError: There is no such teacher, map or class.
        """
        if not isinstance(encoder, StepSoundEncoder):
            raise InvalidValueError(
                "method 'stereosoundnet' needs an encoder of the sound around each step; "
                "use spectrogram_pair or phase_aware"
            )
        teacher, shape = self._find_teacher(learning)
        feature_map = "" if self.ranking == "off" else self._find_map(teacher, shape)
        channels, height, width = self._settle_map(shape, feature_map)
        anchors = torch.zeros(self.num_anchors, 2)
        if self.anchors:
            anchors = torch.tensor(self.anchors).view(-1, 2)
        known = shape.box_classes
        if stray := sorted(set(self.classes) - set(known)):
            raise UnknownNameError(f"class of teacher {teacher!r}", stray[0], known)
        class_names = self.classes or known
        network = GridNetwork(
            encoder.embedding_size,
            bottleneck=self.bottleneck,
            widths=self.deconv_widths,
            map_channels=channels,
            height=height,
            width=width,
        )
        return GridStudent(
            encoder,
            network,
            build_grid_head(channels, len(anchors), len(class_names)),
            anchors,
            teacher=teacher,
            teacher_classes=known,
            class_names=class_names,
            feature_map=feature_map,
            grid=(height, width),
        )

    def needs(self, student: nn.Module) -> Needs:
        """The encoder's streams, the teacher's boxes, and its map where that is ranked.

        Raises:
            InvalidValueError: It is another kind of student.
        """
        if not isinstance(student, GridStudent):
            raise InvalidValueError(f"a {type(student).__name__} has no grid")
        return Needs(
            inputs=student.streams,
            boxes_of=(student.teacher,),
            maps_of=((student.teacher, student.feature_map),) if student.feature_map else (),
            min_box_score=self.min_score,
        )

    def loss(self, student: nn.Module, batch: Batch) -> LossParts:
        """The weighted sum; parts are unweighted, and ``iou`` says how well boxes are met.

        Raises:
            InvalidValueError: The batch lacks boxes or maps, or the student has no anchors.
        """
        boxes = _only_stored(batch.boxes, "boxes")
        maps = None if self.ranking == "off" else _only_stored(batch.maps, "maps")
        output: GridOutput = student(batch.inputs, batch.num_steps)
        return self.compare(output, boxes, maps, batch.num_steps)

    def compare(
        self, output: GridOutput, boxes: BoxTargets, maps: Tensor | None, num_steps: Tensor
    ) -> LossParts:
        """The same of tensors: ``maps`` (B, T, C, H, W) are the teacher's, None without ranking.

        Terms of a step are summed over its cells, and the mean is taken over real steps; that of
        the ranking over pairs of them.

        Raises:
            InvalidValueError: Maps or classes are not those that the student was built for, or it
                has no anchors.
        """
        require_anchors(output.anchors)
        mask_BT = real_mask(num_steps.to(output.head.device), output.head.shape[1])
        boxes = _renumber(boxes, output.class_places)
        boxes = boxes.keep(boxes.scores >= self.min_score)
        boxes = boxes.keep(mask_BT[boxes.row, boxes.step])
        place_BT = (mask_BT.flatten().cumsum(0) - 1).view_as(mask_BT)
        loss = grid_loss(
            output.head[mask_BT],
            boxes,
            place_BT[boxes.row, boxes.step],
            output.anchors,
            ignore_threshold=self.ignore_threshold,
            weigh_by_score=self.weigh_by_score,
            objectness=self.objectness_form,
        )
        total = self.detection_weight * loss.weigh(self.weights).mean()
        parts = {
            "coordinate": loss.coordinate.mean(),
            "objectness": loss.objectness.mean(),
            "no_object": loss.no_object.mean(),
            "class": loss.classification.mean(),
            "iou": loss.iou,
        }
        if self.ranking != "off" and maps is not None:
            if output.maps.shape != maps.shape:
                raise InvalidValueError(
                    f"the student gives maps of {tuple(output.maps.shape)} but the teacher's are "
                    f"{tuple(maps.shape)} (clips, steps, channels, height, width); "
                    "train on the store that the student was built for"
                )
            ranked = map_ranking(output.maps[mask_BT], maps[mask_BT], self.margin, self.ranking)
            total = total + self.ranking_weight * ranked
            parts["ranking"] = ranked
        return LossParts(total=total, parts={name: part.detach() for name, part in parts.items()})

    def _find_teacher(self, learning: LearningShape) -> tuple[str, TargetShape]:
        """The teacher named, or the only one that stored boxes."""
        found = {name: shape for name, shape in learning.targets.items() if shape.box_classes}
        if self.teacher and self.teacher not in found:
            raise UnknownNameError("teacher with boxes", self.teacher, found)
        if self.teacher:
            return self.teacher, found[self.teacher]
        if len(found) != 1:
            raise InvalidValueError(
                f"stereosoundnet learns from one teacher but {', '.join(found) or 'none'} stored "
                "boxes; name it as method.options.teacher, or extract a detector"
            )
        return next(iter(found.items()))

    def _find_map(self, teacher: str, shape: TargetShape) -> str:
        """The feature map named, or the only one that the teacher stored."""
        maps = shape.map_shapes
        if self.feature_map and self.feature_map not in maps:
            raise UnknownNameError(f"map of teacher {teacher!r}", self.feature_map, maps)
        if self.feature_map:
            return self.feature_map
        found = [name for name in maps if name.startswith(FEATURES)]
        if len(found) != 1:
            raise InvalidValueError(
                f"stereosoundnet ranks one feature map but teacher {teacher!r} stored "
                f"{', '.join(found) or 'none'}; name it as method.options.feature_map, extract "
                "one, or set method.options.ranking=off"
            )
        return found[0]

    def _settle_map(self, shape: TargetShape, feature_map: str) -> tuple[int, int, int]:
        """Channels, height and width of the student's map."""
        asked = self.map_channels, self.grid_size, self.grid_size
        if not feature_map:
            paper = PAPER_MAP_CHANNELS, PAPER_GRID, PAPER_GRID
            channels, height, width = (
                own or usual for own, usual in zip(asked, paper, strict=True)
            )
            return channels, height, width
        stored = shape.map_shapes[feature_map]
        if any(own not in (0, size) for own, size in zip(asked, stored, strict=True)):
            raise InvalidValueError(
                f"{feature_map!r} of the teacher is a map of {' x '.join(map(str, stored))} but "
                f"map_channels is {self.map_channels} and grid_size {self.grid_size}; "
                "set both to 0 to follow the teacher, or ranking=off"
            )
        return stored


@register_method
def stereosoundnet(
    teacher: str = "",
    feature_map: str = "",
    classes: Sequence[str] = (),
    ranking: Ranking = "as_paper",
    margin: float = 0.2,
    ranking_weight: float = 1.0,
    detection_weight: float = 1.0,
    coordinate: float = 1.0,
    objectness: float = 5.0,
    no_object: float = 1.0,
    classification: float = 1.0,
    objectness_form: Objectness = "squared",
    ignore_threshold: float = 0.6,
    min_score: float = 0.3,
    weigh_by_score: bool = False,
    num_anchors: int = 5,
    anchors: Sequence[float] | Literal["published"] = (),
    grid_size: int = 0,
    map_channels: int = 0,
    bottleneck: int = 1024,
    deconv_widths: Sequence[int] = (512, 512),
) -> StereoSoundNetMethod:
    """Detection against a teacher's boxes, and the ranking of its map with ``margin``.

    ``teacher`` empty takes the only one with boxes, ``feature_map`` empty its only output
    ``features_...``, ``classes`` empty all that it knows. ``ranking`` is ``as_paper``,
    ``as_printed`` (the sign that the paper shows, which fits no distance), or ``off``.
    ``coordinate`` to ``classification`` are coefficients of the detection loss, in which
    objectness errs ``squared``, as YOLOv2's, or ``quality_focal``. Boxes below
    ``min_score`` are not learned from; ``weigh_by_score`` lets surer ones count more. ``anchors``
    are widths and heights in turn, in cells, or ``published`` (those of MM-DistillNet's code
    [S:MM-code]); empty: fitted, ``num_anchors`` of them. ``grid_size`` and ``map_channels`` 0
    follow the teacher's map; without ranking they are free, and the paper's 13 and 1024.

    Raises:
        InvalidValueError: An option is out of its range.
    """
    require_choice("ranking", ranking, ("as_paper", "as_printed", "off"))
    require_choice("objectness_form", objectness_form, OBJECTNESS)
    for name, value in {
        "margin": margin,
        "ranking_weight": ranking_weight,
        "detection_weight": detection_weight,
        "grid_size": grid_size,
        "map_channels": map_channels,
    }.items():
        require_amount(name, value)
    for name, value in {"ignore_threshold": ignore_threshold, "min_score": min_score}.items():
        if not 0 <= value <= 1:
            raise InvalidValueError(f"{name} {value:g} must be from 0 to 1")
    require_count("num_anchors", num_anchors)
    require_count("bottleneck", bottleneck)
    require_counts("deconv_widths", deconv_widths)
    return StereoSoundNetMethod(
        teacher=teacher,
        feature_map=feature_map,
        classes=_read_classes(classes),
        ranking=ranking,
        ranking_weight=ranking_weight,
        detection_weight=detection_weight,
        margin=margin,
        weights=GridLossWeights(
            coordinate=coordinate,
            objectness=objectness,
            no_object=no_object,
            classification=classification,
        ),
        objectness_form=objectness_form,
        ignore_threshold=ignore_threshold,
        min_score=min_score,
        weigh_by_score=weigh_by_score,
        num_anchors=num_anchors,
        anchors=_read_anchors(anchors),
        grid_size=grid_size,
        map_channels=map_channels,
        bottleneck=bottleneck,
        deconv_widths=tuple(deconv_widths),
    )


def _renumber(boxes: BoxTargets, class_places: Tensor) -> BoxTargets:
    """The boxes of classes that are learned, with the student's numbers."""
    if len(boxes) and int(boxes.classes.max()) >= len(class_places):
        raise InvalidValueError(
            f"a box is of class {int(boxes.classes.max())} but the teacher named "
            f"{len(class_places)}; train on the store that the student was built for"
        )
    boxes = replace(boxes, classes=class_places[boxes.classes])
    return boxes.keep(boxes.classes >= 0)


def _only_stored(stored: Mapping[Any, Stored], kind: str) -> Stored:
    """Boxes or maps of the one teacher."""
    if len(stored) != 1:
        raise InvalidValueError(
            f"stereosoundnet needs the {kind} of one teacher but the batch has those of "
            f"{', '.join(map(str, stored)) or 'none'}; extract a detector that stores them"
        )
    return next(iter(stored.values()))


def _read_classes(classes: Sequence[str]) -> tuple[str, ...]:
    if isinstance(classes, str) or len(set(classes)) != len(classes):
        raise InvalidValueError(f"classes {classes!r} must be names, each once")
    return tuple(classes)


def _read_anchors(anchors: Sequence[float] | str) -> tuple[float, ...]:
    if anchors == "published":
        return tuple(value for anchor in PAPER_3_ANCHORS for value in anchor)
    values = () if isinstance(anchors, str) else tuple(float(value) for value in anchors)
    if isinstance(anchors, str) or len(values) % 2 or not all(value > 0 for value in values):
        raise InvalidValueError(
            f"anchors {anchors!r} must be widths and heights in turn, in cells and above 0, "
            "or 'published'"
        )
    return values
