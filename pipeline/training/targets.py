"""What teachers stored that a student can learn from: logits, embeddings, boxes and maps."""

from avkd.pipeline.training.stored_boxes import find_boxes, name_classes
from avkd.stages.methods.batch import TargetShape
from avkd.storage.schema import OutputSpec, ProducerSpec
from avkd.storage.store import Store

LOGITS = "logits"
EMBEDDING = "embedding"
PICTURE_AXES = ("height", "width")


def describe_target(store: Store, spec: ProducerSpec) -> TargetShape | None:
    """What a teacher stored; None where it is nothing to learn from."""
    logits, embedding = find_output(spec, LOGITS), find_output(spec, EMBEDDING)
    boxes = find_boxes(spec)
    found = logits or embedding or boxes
    if found is None:
        return None
    return TargetShape(
        num_steps=found.shape[0] if found.axes[:1] == ("step",) else 0,
        num_classes=logits.shape[-1] if logits else 0,
        embedding_size=embedding.shape[-1] if embedding else 0,
        class_names=logits.class_names if logits else (),
        box_classes=name_classes(store, spec, boxes) if boxes else (),
        map_shapes={o.name: _map_shape(o) for o in spec.outputs if _is_map(o)},
    )


def find_output(spec: ProducerSpec, name: str) -> OutputSpec | None:
    """An output of that name that is no boxes."""
    return next((o for o in spec.outputs if o.name == name and o.layout != "boxes"), None)


def _is_map(output: OutputSpec) -> bool:
    """Whether it is a map of each step, with channels or without."""
    is_stepwise = output.axes[:1] == ("step",) and len(output.axes) in (3, 4)
    return output.layout == "dense" and is_stepwise and output.axes[-2:] == PICTURE_AXES


def _map_shape(output: OutputSpec) -> tuple[int, int, int]:
    *channels, height, width = output.shape[1:]
    return channels[0] if channels else 1, height, width
