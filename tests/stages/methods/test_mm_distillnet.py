from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.detection.boxes import BoxTargets, paired_iou
from avkd.stages.encoders.registry import build_encoder
from avkd.stages.encoders.streams import InputShape, StreamEncoder, build_stream_encoder
from avkd.stages.losses.anchor_detection import anchor_detection_loss
from avkd.stages.methods.anchor_student import AnchorStudent
from avkd.stages.methods.batch import Batch, LearningShape, TargetShape
from avkd.stages.methods.mm_distillnet import MmDistillNetMethod, mm_distillnet

RATE, NUM_STEPS = 4_000, 3
SHAPES = {
    "waveform": InputShape(shape=(8, NUM_STEPS * RATE // 4), sample_rate=RATE),
    "camera": InputShape(shape=(2,)),
}
SMALL: Mapping[str, Any] = {
    "picture_size": (64, 96),
    "strides": (16, 32),
    "anchor_scale": 2.0,
    "pyramid_width": 8,
    "num_pyramid_cells": 1,
    "head_repeats": 1,
    "bottleneck": 16,
    "deconv_widths": (12, 8),
}
MAPS: Mapping[str, tuple[int, int, int]] = {
    "features_1": (5, 4, 6),
    "attention_1": (1, 4, 6),
    "attention_2": (1, 2, 3),
}
DETECTOR = TargetShape(
    num_steps=NUM_STEPS, num_classes=0, box_classes=("car", "van"), map_shapes=MAPS
)
LEARNING = LearningShape(
    targets={"rgb": DETECTOR, "thermal": replace(DETECTOR, box_classes=("van", "car"))},
    inputs=SHAPES,
)


def encoder(**options: object) -> StreamEncoder:
    torch.manual_seed(0)
    given = {"step_seconds": 0.25, "window_seconds": 0.25, "widths": (8,) * 10, **options}
    return build_stream_encoder("spectrogram_pair", SHAPES, **given)


def build(method: MmDistillNetMethod, learning: LearningShape = LEARNING) -> AnchorStudent:
    return method.build_student(encoder(metadata=("camera",)), learning)


def seen_by(teacher: str) -> BoxTargets:
    """Both saw a car in step 0 of clip 0; thermal numbers classes the other way round."""
    if teacher == "rgb":
        return BoxTargets(
            boxes=torch.tensor([[0.1, 0.1, 0.5, 0.6], [0.5, 0.5, 0.9, 0.9]]),
            scores=torch.tensor([0.9, 0.2]),
            classes=torch.tensor([0, 1]),
            row=torch.tensor([0, 0]),
            step=torch.tensor([0, 2]),
        )
    return BoxTargets(
        boxes=torch.tensor([[0.1, 0.1, 0.52, 0.6], [0.2, 0.3, 0.6, 0.8], [0.0, 0.0, 0.4, 0.4]]),
        scores=torch.tensor([0.7, 0.8, 0.9]),
        classes=torch.tensor([1, 0, 1]),
        row=torch.tensor([0, 1, 1]),
        step=torch.tensor([0, 0, 2]),
    )


def make_batch(num_steps: tuple[int, int] = (3, 1)) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(
        clip_ids=("a", "b"),
        inputs={
            "waveform": 0.1 * torch.randn(2, *SHAPES["waveform"].shape, generator=generator),
            "camera": torch.randn(2, 2, generator=generator),
        },
        num_steps=torch.tensor(num_steps),
        boxes={name: seen_by(name) for name in ("rgb", "thermal")},
        maps={
            (name, output): torch.rand(2, NUM_STEPS, *shape, generator=generator)
            for name in ("rgb", "thermal")
            for output, shape in MAPS.items()
        },
        full_steps=NUM_STEPS,
    )


def test_the_labels_are_the_fused_boxes_of_real_steps_by_name_of_class() -> None:
    method, batch = mm_distillnet(**SMALL, distillation="none"), make_batch()
    student = build(method).eval()
    assert student.teachers == ("rgb", "thermal")
    assert student.class_names == ("car", "van")
    output = student(batch.inputs, batch.num_steps)
    # The car of rgb (surer than thermal's), and thermal's van; step 2 of clip 1 is not real.
    fused = seen_by("rgb").keep(torch.tensor([0]))
    van = replace(seen_by("thermal").keep(torch.tensor([1])), classes=torch.tensor([1]))
    expected = anchor_detection_loss(
        output.class_logits,
        output.offsets,
        output.anchors,
        BoxTargets(
            **{
                name: torch.cat([getattr(fused, name), getattr(van, name)])
                for name in ("boxes", "scores", "classes", "row", "step")
            }
        ),
        torch.tensor([0, 3]),
    )
    parts = method.compare(output, batch).parts
    torch.testing.assert_close(parts["class"], expected.classification.mean().detach())
    torch.testing.assert_close(parts["box"], expected.regression.mean().detach())


def test_the_total_is_the_weighted_sum_of_its_parts() -> None:
    method = mm_distillnet(**SMALL, distillation_weight=0.5, box_weight=2.0)
    batch = make_batch()
    loss = method.loss(build(method).train(), batch)
    parts = loss.parts
    assert set(parts) == {"class", "box", "iou", "mta"}
    torch.testing.assert_close(
        loss.total.detach(), parts["class"] + 2 * parts["box"] + 0.5 * parts["mta"]
    )
    assert parts["mta"] > 0


@pytest.mark.parametrize("distillation", ["none", "ranking", "mta"])
def test_gradients_reach_every_weight(distillation: str) -> None:
    method = mm_distillnet(**SMALL, distillation=distillation, min_score=0.0)  # type: ignore[arg-type]
    student, batch = build(method).train(), make_batch((3, 3))
    method.loss(student, batch).total.backward()
    without = [name for name, weight in student.named_parameters() if weight.grad is None]
    assert not without


@pytest.mark.parametrize("distillation", ["ranking", "mta"])
def test_steps_that_are_not_real_do_not_matter(distillation: str) -> None:
    method = mm_distillnet(**SMALL, distillation=distillation)  # type: ignore[arg-type]
    student, batch = build(method).eval(), make_batch((3, 1))
    said = method.loss(student, batch).total
    maps = {key: value.clone() for key, value in batch.maps.items()}
    for value in maps.values():
        value[1, 1:] = 5.0
    torch.testing.assert_close(method.loss(student, replace(batch, maps=maps)).total, said)


def test_a_teacher_that_did_not_see_a_clip_takes_no_part_in_it() -> None:
    method = mm_distillnet(**SMALL)
    student, batch = build(method).eval(), make_batch((3, 3))
    half = replace(
        batch,
        seen={"rgb": torch.tensor([True, True]), "thermal": torch.tensor([True, False])},
    )
    maps = {key: value.clone() for key, value in batch.maps.items()}
    for (name, _), value in maps.items():
        if name == "thermal":
            value[1] = 3.0
    said = method.loss(student, half).parts["mta"]
    torch.testing.assert_close(method.loss(student, replace(half, maps=maps)).parts["mta"], said)
    assert said != method.loss(student, batch).parts["mta"]


def test_where_too_few_saw_to_agree_neither_box_nor_background_is_learned() -> None:
    method = mm_distillnet(**SMALL, distillation="none", min_teachers=2)
    student, batch = build(method).eval(), make_batch((3, 3))
    seen = {"rgb": torch.tensor([True, True]), "thermal": torch.tensor([True, False])}
    said = method.loss(student, replace(batch, seen=seen)).parts
    first = replace(
        batch,
        clip_ids=("a",),
        inputs={name: value[:1] for name, value in batch.inputs.items()},
        num_steps=batch.num_steps[:1],
        boxes={name: boxes.keep(boxes.row == 0) for name, boxes in batch.boxes.items()},
    )
    alone = method.loss(student, first).parts
    for part in ("class", "box"):
        torch.testing.assert_close(said[part], alone[part])
    nobody = {name: torch.tensor([False, False]) for name in ("rgb", "thermal")}
    assert method.loss(student, replace(batch, seen=nobody)).total == 0


def test_one_teacher_can_be_chosen_for_labels_and_others_for_maps() -> None:
    method = mm_distillnet(**SMALL, teachers=("rgb",), distillation_teachers=("thermal",))
    student = build(method)
    needs = method.needs(student)
    assert needs.boxes_of == ("rgb",)
    assert {name for name, _ in needs.maps_of} == {"thermal"}
    assert needs.any_teacher
    assert needs.min_box_score == pytest.approx(0.3)


def test_it_learns_where_a_box_is() -> None:
    # Gradient descent on one batch comes to say its boxes, and nothing elsewhere.
    method = mm_distillnet(**SMALL, min_score=0.5, distillation="none")
    student, batch = build(method).train(), make_batch((3, 3))
    optimiser = torch.optim.AdamW(student.parameters(), lr=1e-2)
    for _ in range(120):
        optimiser.zero_grad()
        method.loss(student, batch).total.backward()
        optimiser.step()
    said = student.eval().say_boxes(batch.inputs, batch.num_steps, score_threshold=0.5)
    assert said.row.tolist() == [0, 1, 1]
    assert said.step.tolist() == [0, 0, 2]
    assert said.classes.tolist() == [0, 1, 0]
    true = torch.stack(
        [seen_by("rgb").boxes[0], seen_by("thermal").boxes[1], seen_by("thermal").boxes[2]]
    )
    assert float(paired_iou(said.boxes, true).min()) > 0.7


@torch.no_grad()
def test_with_the_papers_ear_the_levels_are_those_of_its_maps() -> None:
    learning = replace(LEARNING, inputs={"waveform": SHAPES["waveform"]})
    torch.manual_seed(0)
    ear = build_stream_encoder(
        "mel_pictures",
        learning.inputs,
        step_seconds=0.25,
        window_seconds=0.25,
        num_mels=16,
        picture_size=(128, 128),
        backbone="tf_efficientnet_lite0",
    )
    options = {"pyramid_width": 8, "num_pyramid_cells": 1, "head_repeats": 1}
    student = mm_distillnet(**options, distillation="none").build_student(ear, learning).eval()
    waveform: Tensor = make_batch().inputs["waveform"]
    output = student({"waveform": waveform}, torch.tensor([1, 1]))
    assert [tuple(level.shape[2:]) for level in output.levels] == [
        (16, 16),
        (8, 8),
        (4, 4),
        (2, 2),
        (1, 1),
    ]
    assert output.class_logits.shape == (2, 9 * (256 + 64 + 16 + 4 + 1), 2)
    with pytest.raises(InvalidValueError, match="begin with 8, 16, 32"):
        mm_distillnet(strides=(16, 32), distillation="none").build_student(ear, learning)
    with pytest.raises(InvalidValueError, match="is not the encoder's"):
        mm_distillnet(picture_size=(64, 64), distillation="none").build_student(ear, learning)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"set method\.options\.picture_size"):
        build(mm_distillnet())
    with pytest.raises(InvalidValueError, match="use mel_pictures or phase_aware"):
        mm_distillnet(**SMALL).build_student(build_encoder("soundnet8"), LEARNING)
    with pytest.raises(UnknownNameError, match="'rbg'"):
        build(mm_distillnet(**SMALL, teachers=("rbg",)))
    with pytest.raises(InvalidValueError, match=r"picture_size .* must be height and width"):
        mm_distillnet(picture_size=(64,))
    with pytest.raises(InvalidValueError, match="teachers"):
        mm_distillnet(teachers="rgb")
    with pytest.raises(InvalidValueError, match="focal_alpha"):
        mm_distillnet(focal_alpha=1.5)


def test_what_was_learned_is_described_in_plain_values() -> None:
    described = build(mm_distillnet(**SMALL)).describe()
    assert described["teachers"] == ("rgb", "thermal")
    assert described["levels"] == ((4, 6), (2, 3))
    assert described["num_anchors"] == 9 * 30
