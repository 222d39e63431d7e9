from avkd.pipeline.training.targets import describe_target
from avkd.stages.methods.batch import TargetShape
from avkd.storage.schema import OutputSpec, ProducerSpec


def test_a_detector_has_classes_of_boxes_and_maps_of_steps(street) -> None:
    assert describe_target(street.store, street.store.producers()["rgb"]) == TargetShape(
        num_steps=4,
        num_classes=0,
        box_classes=("sign", "vehicle"),
        map_shapes={"features_0": (3, 5, 7), "attention_0": (1, 2, 3)},
    )


def test_a_classifier_is_described_as_before(store) -> None:
    assert describe_target(store, store.producers()["dense"]) == TargetShape(
        num_steps=2,
        num_classes=6,
        embedding_size=4,
        class_names=tuple(f"class{i}" for i in range(6)),
    )


def test_maps_of_a_clip_as_a_whole_and_other_outputs_are_nothing_to_learn_from(store) -> None:
    whole = OutputSpec(
        name="map", shape=(3, 5, 7), dtype="float16", axes=("channel", "height", "width")
    )
    count = OutputSpec(name="count", shape=(4,), dtype="float32", axes=("step",))
    spec = ProducerSpec(kind="teacher", name="t", outputs=(whole, count), fingerprint={})
    assert describe_target(store, spec) is None
