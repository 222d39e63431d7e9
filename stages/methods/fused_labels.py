"""What several teachers saw, as the labels of one student.

MM-DistillNet takes of each teacher the boxes of a score above 0.3 that its own non-maximum
suppression leaves, puts those of all together, and suppresses once more, by score at an IoU of 0.5
[S:MM-code]. Teachers number classes each in its own way, so classes are met by name.

Conventions: M boxes of a batch, K classes of the student.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.detection.boxes import BoxTargets, suppress
from avkd.stages.detection.fusion import fuse_boxes
from avkd.stages.encoders.stream_inputs import require_count
from avkd.stages.methods.batch import TargetShape


@dataclass(frozen=True, kw_only=True)
class LabelRule:
    """Whose boxes are labels, of which classes, and when two of them are one."""

    teachers: tuple[str, ...] = ()
    """Empty: all that stored boxes."""
    classes: tuple[str, ...] = ()
    """Empty: those that all chosen teachers know, in the order of the first."""
    min_score: float = 0.3
    iou_threshold: float = 0.5
    min_teachers: int = 1
    """How many teachers must have seen a box, at the IoU above or more, for it to be a label."""

    def __post_init__(self) -> None:
        read_names("teachers", self.teachers)
        read_names("classes", self.classes)
        for name in ("min_score", "iou_threshold"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise InvalidValueError(f"{name} {value:g} must be from 0 to 1")
        require_count("min_teachers", self.min_teachers)
        if self.teachers:
            self._require_enough(self.teachers, "chosen")

    def choose_teachers(self, targets: Mapping[str, TargetShape]) -> tuple[str, ...]:
        """The teachers whose boxes are labels, of those that a store holds.

        Raises:
            UnknownNameError: One that is named stored no boxes.
            InvalidValueError: None did, or fewer than a label asks for.
        """
        found = tuple(name for name, shape in targets.items() if shape.box_classes)
        for name in self.teachers:
            if name not in found:
                raise UnknownNameError("teacher with boxes", name, found)
        if not found:
            raise InvalidValueError(
                f"labels are the boxes of teachers but {', '.join(targets) or 'none'} stored none; "
                "extract a detector"
            )
        chosen = self.teachers or found
        self._require_enough(chosen, "that stored boxes")
        return chosen

    def name_classes(self, targets: Mapping[str, TargetShape]) -> tuple[str, ...]:
        """The classes of the labels, which the student learns: K names.

        Raises:
            UnknownNameError: No chosen teacher knows a class that is named, or see
                ``choose_teachers``.
            InvalidValueError: Too few of them know it, or no class is known to all.
        """
        known = {name: targets[name].box_classes for name in self.choose_teachers(targets)}
        for wanted in self.classes:
            _require_known(wanted, known, self.min_teachers)
        if self.classes:
            return self.classes
        first, *others = known.values()
        shared = tuple(name for name in first if all(name in other for other in others))
        if not shared:
            said = "; ".join(f"{name}: {_list_few(classes)}" for name, classes in known.items())
            raise InvalidValueError(
                f"the teachers know no class in common ({said}); name those to learn as "
                "method.options.classes, or other teachers as method.options.teachers"
            )
        return shared

    def fuse(
        self,
        boxes: Mapping[str, BoxTargets],
        teacher_classes: Mapping[str, tuple[str, ...]],
        class_names: Sequence[str],
    ) -> BoxTargets:
        """The labels: the boxes of every teacher in ``teacher_classes`` with the student's numbers.

        ``teacher_classes`` names each teacher's classes in its own order, ``class_names`` the
        student's; boxes of other classes are left out.

        Raises:
            InvalidValueError: The batch lacks a teacher's boxes, or one is of a class without name.
        """
        said = []
        for teacher, known in teacher_classes.items():
            if teacher not in boxes:
                raise InvalidValueError(
                    f"labels need the boxes of teacher {teacher!r} but the batch has those of "
                    f"{', '.join(boxes) or 'none'}; read them, or choose other teachers"
                )
            found = _renumber(teacher, boxes[teacher], known, class_names)
            found = found.keep(found.scores >= self.min_score)
            said.append(suppress(found, self.iou_threshold, max_boxes=max(1, len(found))))
        return fuse_boxes(said, iou_threshold=self.iou_threshold, min_teachers=self.min_teachers)

    def _require_enough(self, teachers: Sequence[str], what: str) -> None:
        if self.min_teachers > len(teachers):
            raise InvalidValueError(
                f"min_teachers is {self.min_teachers}, more than the teachers {what} "
                f"({', '.join(teachers)}); lower method.options.min_teachers, or take more teachers"
            )


def read_names(option: str, names: Sequence[str]) -> tuple[str, ...]:
    """The names that an option lists.

    Raises:
        InvalidValueError: It is one name and no list, or has a name twice.
    """
    if isinstance(names, str) or len(set(names)) != len(names):
        raise InvalidValueError(f"{option} {names!r} must be names, each once")
    return tuple(names)


def _require_known(wanted: str, known: Mapping[str, tuple[str, ...]], least: int) -> None:
    """Refuse a class that fewer teachers know than must have seen a box of it."""
    knowing = [name for name, classes in known.items() if wanted in classes]
    if not knowing:
        everything = {name for classes in known.values() for name in classes}
        raise UnknownNameError(f"class of teachers {', '.join(known)}:", wanted, everything)
    if len(knowing) < least:
        raise InvalidValueError(
            f"a box counts where {least} teachers saw it but class {wanted!r} is known to "
            f"{', '.join(knowing)} only; lower method.options.min_teachers, or leave it out"
        )


def _renumber(
    teacher: str, boxes: BoxTargets, known: Sequence[str], class_names: Sequence[str]
) -> BoxTargets:
    """The boxes of classes that are learned, with the student's numbers."""
    if len(boxes) and int(boxes.classes.max()) >= len(known):
        raise InvalidValueError(
            f"a box of teacher {teacher!r} is of class {int(boxes.classes.max())} but the teacher "
            f"named {len(known)}; train on the store that the student was built for"
        )
    numbers = {name: number for number, name in enumerate(class_names)}
    places = torch.tensor([numbers.get(name, -1) for name in known], dtype=torch.int64)
    places = places.to(boxes.classes.device)
    boxes = replace(boxes, classes=places[boxes.classes])
    return boxes.keep(boxes.classes >= 0)


def _list_few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(names[:5])}{more}"
