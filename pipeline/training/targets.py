"""What teachers stored that a student can learn from: logits, embeddings, boxes, maps, classes."""

from avkd.pipeline.training.stored_boxes import find_boxes, name_classes
from avkd.stages.methods.batch import TargetShape
from avkd.stages.types import CLASS_MAP, IS_TRUTH
from avkd.storage.schema import OutputSpec, ProducerSpec
from avkd.storage.store import Store

LOGITS = "logits"
EMBEDDING = "embedding"
PICTURE_AXES = ("height", "width")
MAP_AXES = ("step", *PICTURE_AXES)


def describe_target(store: Store, spec: ProducerSpec) -> TargetShape | None:
    """What a teacher stored; None where it is nothing to learn from."""
    logits, embedding = find_output(spec, LOGITS), find_output(spec, EMBEDDING)
    boxes = find_boxes(spec)
    class_map = find_class_map(spec)
    found = logits or embedding or boxes or class_map
    if found is None:
        return None
    return TargetShape(
        num_steps=found.shape[0] if found.axes[:1] == ("step",) else 0,
        num_classes=logits.shape[-1] if logits else 0,
        embedding_size=embedding.shape[-1] if embedding else 0,
        class_names=logits.class_names if logits else (),
        box_classes=name_classes(store, spec, boxes) if boxes else (),
        map_shapes={o.name: _map_shape(o) for o in spec.outputs if _is_map(o)},
        map_classes=class_map.class_names if class_map else (),
        map_size=_map_shape(class_map)[1:] if class_map else (0, 0),
        is_truth=class_map is not None and bool(class_map.attributes.get(IS_TRUTH)),
    )


def find_output(spec: ProducerSpec, name: str) -> OutputSpec | None:
    """An output of that name that is no boxes."""
    return next((o for o in spec.outputs if o.name == name and o.layout != "boxes"), None)


def find_class_map(spec: ProducerSpec) -> OutputSpec | None:
    """The output with the class of each pixel of each step; None where there is none."""
    output = find_output(spec, CLASS_MAP)
    is_one = output is not None and output.holds_classes and output.axes == MAP_AXES
    return output if is_one else None


def _is_map(output: OutputSpec) -> bool:
    """Whether it is a map of each step, with channels or without, of values and not of classes."""
    is_stepwise = output.axes[:1] == ("step",) and len(output.axes) in (3, 4)
    is_map = output.layout == "dense" and is_stepwise and output.axes[-2:] == PICTURE_AXES
    return is_map and not output.holds_classes


def _map_shape(output: OutputSpec) -> tuple[int, int, int]:
    *channels, height, width = output.shape[1:]
    return channels[0] if channels else 1, height, width
