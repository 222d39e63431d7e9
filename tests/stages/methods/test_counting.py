import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.detection.boxes import BoxTargets
from avkd.stages.encoders.registry import Encoder
from avkd.stages.encoders.streams import InputShape, StreamEncoder, build_stream_encoder
from avkd.stages.methods.batch import Batch, LearningShape, Needs, TargetShape
from avkd.stages.methods.counting import (
    CountingMethod,
    CountingOutput,
    CountingStudent,
    count_boxes,
    counting,
)
from avkd.stages.methods.registry import build_method

RATE, NUM_STEPS = 4_000, 3
SHAPES = {
    "waveform": InputShape(shape=(2, NUM_STEPS * RATE // 4), sample_rate=RATE),
    "camera": InputShape(shape=(2,)),
}
CLASSES = {"rgb": ("person", "car"), "thermal": ("car", "bus")}
TARGETS = {
    name: TargetShape(num_steps=NUM_STEPS, num_classes=0, box_classes=classes)
    for name, classes in CLASSES.items()
}
LEARNING = LearningShape(targets=TARGETS, inputs=SHAPES)
RGB_CAR, THERMAL_CAR = 1, 0
COUNTS = torch.tensor([[2, 0, 5], [1, 0, 0]])
"""Of the steps of the clips below, the largest of them capped."""


def encoder(**options: object) -> StreamEncoder:
    torch.manual_seed(0)
    given = {"step_seconds": 0.25, "window_seconds": 0.25, "widths": (8,) * 10, **options}
    return build_stream_encoder("spectrogram_pair", SHAPES, **given)


def build(method: CountingMethod, learning: LearningShape = LEARNING) -> CountingStudent:
    return method.build_student(encoder(metadata=("camera",)), learning)


def cars(class_number: int, *places: tuple[int, int, int], score: float = 0.9) -> BoxTargets:
    """One box for each slot, row and step; those of one slot are the same box."""
    corners = [(0.1 * slot, 0.2, 0.1 * slot + 0.1, 0.4) for slot, _, _ in places]
    return BoxTargets(
        boxes=torch.tensor(corners).view(-1, 4),
        scores=torch.full((len(places),), score),
        classes=torch.full((len(places),), class_number),
        row=torch.tensor([row for _, row, _ in places], dtype=torch.int64),
        step=torch.tensor([step for _, _, step in places], dtype=torch.int64),
    )


def join(*said: BoxTargets) -> BoxTargets:
    columns = ("boxes", "scores", "classes", "row", "step")
    return BoxTargets(**{name: torch.cat([getattr(s, name) for s in said]) for name in columns})


def boxes() -> dict[str, BoxTargets]:
    """Clip 0: in step 0 a car of both, one of thermal, a person, an unsure car; 7 cars in step 2.

    Clip 1: a car in step 0, and in step 1, which is not real.
    """
    many = [(slot, 0, 2) for slot in range(7)]
    return {
        "rgb": join(
            cars(RGB_CAR, (0, 0, 0), *many[:4], (3, 1, 0)),
            cars(RGB_CAR, (7, 0, 0), score=0.1),
            cars(0, (4, 0, 0)),
        ),
        "thermal": cars(THERMAL_CAR, (0, 0, 0), (2, 0, 0), *many[3:], (5, 1, 1)),
    }


def make_batch(num_steps: Sequence[int] = (3, 1)) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(
        clip_ids=("a", "b"),
        inputs={
            "waveform": 0.1 * torch.randn(2, *SHAPES["waveform"].shape, generator=generator),
            "camera": torch.randn(2, 2, generator=generator),
        },
        num_steps=torch.tensor(num_steps),
        boxes=boxes(),
    )


class Fixed(nn.Module):
    """Says the same whatever it hears."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> CountingOutput:
        return CountingOutput(self.logits, CLASSES, ("car",))


def test_the_loss_is_the_cross_entropy_of_the_counts_of_real_steps() -> None:
    logits = torch.randn(2, NUM_STEPS, 6, generator=torch.Generator().manual_seed(2))
    loss = counting().loss(Fixed(logits), make_batch())
    real = ([0, 0, 0, 1], [0, 1, 2, 0])
    torch.testing.assert_close(loss.total, cross_entropy(logits[real], COUNTS[real]))
    torch.testing.assert_close(loss.parts["cross_entropy"], loss.total.detach())
    assert loss.total.requires_grad
    assert not any(part.requires_grad for part in loss.parts.values())


def test_knowing_nothing_costs_the_log_of_the_number_of_classes() -> None:
    loss = counting(max_count=3).loss(Fixed(torch.zeros(2, NUM_STEPS, 4)), make_batch())
    assert float(loss.parts["cross_entropy"]) == pytest.approx(math.log(4))


def test_counts_beyond_the_highest_fall_into_the_last_class() -> None:
    def sure_of(counts: Sequence[Sequence[int]], max_count: int) -> float:
        said = nn.functional.one_hot(torch.tensor(counts), max_count + 1).float()
        loss = counting(max_count=max_count).loss(Fixed(40 * said), make_batch((3, 3)))
        return float(loss.parts["cross_entropy"])

    assert sure_of([[2, 0, 7], [1, 1, 0]], 9) < 1e-6
    assert sure_of([[2, 0, 5], [1, 1, 0]], 5) < 1e-6
    assert sure_of([[1, 0, 1], [1, 1, 0]], 1) < 1e-6
    assert sure_of([[2, 0, 4], [1, 1, 0]], 5) == pytest.approx(40 / 6)


def test_agreement_and_error_are_those_of_the_surest_counts() -> None:
    # Right, one too many, three too few; right; what is said of the other steps does not matter.
    said = nn.functional.one_hot(torch.tensor([[2, 1, 2], [1, 4, 4]]), 6).float()
    parts = counting().loss(Fixed(said), make_batch()).parts
    assert float(parts["agreement"]) == pytest.approx(2 / 4)
    assert float(parts["absolute_error"]) == pytest.approx((1 + 3) / 4)


def test_boxes_are_counted_step_by_step() -> None:
    said = cars(0, (0, 1, 2), (1, 1, 2), (2, 0, 0), (3, 1, 1), (4, 0, 7))
    mask = torch.tensor([[True, True, True], [True, False, True]])
    assert count_boxes(said, mask).tolist() == [[1, 0, 0], [0, 0, 2]]
    assert count_boxes(cars(0), mask).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_the_rule_of_the_labels_decides_what_is_counted() -> None:
    def counted(**options: Any) -> list[list[int]]:
        method = counting(max_count=9, **options)
        names = method.labels.name_classes(TARGETS)
        known = {name: CLASSES[name] for name in method.labels.choose_teachers(TARGETS)}
        fused = method.labels.fuse(boxes(), known, names)
        return count_boxes(fused, torch.ones(2, 3, dtype=torch.bool)).tolist()

    assert counted() == [[2, 0, 7], [1, 1, 0]]
    assert counted(teachers=["rgb"], classes=["car"]) == [[1, 0, 4], [1, 0, 0]]
    assert counted(teachers=["rgb"]) == [[2, 0, 4], [1, 0, 0]]
    assert counted(min_teachers=2) == [[1, 0, 1], [0, 0, 0]]
    assert counted(min_score=0.05) == [[3, 0, 7], [1, 1, 0]]


@torch.no_grad()
def test_what_is_in_masked_steps_does_not_matter() -> None:
    method, batch = counting(), make_batch()
    student = build(method).eval()
    plain = method.loss(student, batch)
    sound = batch.inputs["waveform"].clone()
    sound[1, :, RATE // 4 :] = 1.0
    unreal = cars(THERMAL_CAR, *((slot, 1, 2) for slot in range(4)))
    changed = replace(
        batch,
        inputs={**batch.inputs, "waveform": sound},
        boxes={**batch.boxes, "thermal": join(batch.boxes["thermal"], unreal)},
    )
    torch.testing.assert_close(method.loss(student, changed), plain, rtol=0, atol=0)
    longer = replace(changed, num_steps=torch.tensor([3, 3]))
    assert float(method.loss(student, longer).total) != float(plain.total)


def test_a_student_can_learn_two_clips_by_heart() -> None:
    method, batch = counting(hidden_size=32), make_batch((3, 3))
    student = build(method).train()
    optimiser = torch.optim.Adam(student.parameters(), 1e-2)
    first = float(method.loss(student, batch).total.detach())
    for _ in range(60):
        optimiser.zero_grad()
        loss = method.loss(student, batch)
        loss.total.backward()
        optimiser.step()
    assert first > 1.0
    assert float(loss.total.detach()) < 0.02
    assert float(loss.parts["agreement"]) == 1
    assert float(loss.parts["absolute_error"]) == 0


def test_gradients_reach_every_weight() -> None:
    method = counting()
    student = build(method).train()
    method.loss(student, make_batch()).total.backward()
    for name, parameter in student.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@torch.no_grad()
def test_the_head_is_a_perceptron_over_the_embedding_of_each_real_step() -> None:
    method, batch = counting(max_count=3, hidden_size=7), make_batch()
    student = build(method).eval()
    output = student(batch.inputs, batch.num_steps)
    assert output.logits.shape == (2, NUM_STEPS, 4)
    assert not output.logits[1, 1:].any()
    assert [each.out_features for each in student.head if isinstance(each, nn.Linear)] == [7, 4]
    embedding = student.encoder.encode_steps(batch.inputs, batch.num_steps)
    torch.testing.assert_close(output.logits[0], student.head(embedding[0]))
    assert (output.class_names, output.teacher_classes) == (("car",), CLASSES)


def test_a_wrapped_student_learns_the_same() -> None:
    from accelerate.utils.operations import convert_outputs_to_fp32

    method, batch = counting(), make_batch()
    student = build(method).eval()
    plain = method.loss(student, batch).total
    student.forward = convert_outputs_to_fp32(student.forward)
    torch.testing.assert_close(method.loss(student, batch).total, plain)


def test_the_method_reads_its_streams_and_the_boxes_of_its_teachers() -> None:
    method = counting(min_score=0.4)
    assert method.needs(build(method)) == Needs(
        inputs=("waveform", "camera"), boxes_of=("rgb", "thermal"), min_box_score=0.4
    )
    alone = counting(teachers=("thermal",))
    assert alone.needs(build(alone)).boxes_of == ("thermal",)


def test_a_student_describes_itself_as_json_can_hold_it() -> None:
    described = json.loads(json.dumps(build(counting(max_count=4)).describe()))
    assert described == {
        "streams": ["waveform", "camera"],
        "embedding_size": 136,
        "teachers": ["rgb", "thermal"],
        "counted_classes": ["car"],
        "max_count": 4,
    }


def test_other_encoders_students_and_stores_are_refused(encoder: Encoder) -> None:
    vectors = build_stream_encoder("vectors", SHAPES, streams=("camera",))
    for other in (encoder, vectors):
        with pytest.raises(InvalidValueError, match="needs an encoder of the sound around each"):
            counting().build_student(other, LEARNING)
    with pytest.raises(InvalidValueError, match="a Linear does not count"):
        counting().needs(nn.Linear(1, 1))
    with pytest.raises(UnknownNameError, match="did you mean thermal"):
        build(counting(teachers=("termal",)))
    with pytest.raises(InvalidValueError, match="but none stored none; extract a detector"):
        build(counting(), LearningShape(inputs=SHAPES))
    lacking = replace(make_batch(), boxes={"rgb": boxes()["rgb"]})
    with pytest.raises(InvalidValueError, match="need the boxes of teacher 'thermal'"):
        counting().loss(build(counting()), lacking)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_count": 0}, "max_count 0 must be a whole number, 1 or more"),
        ({"hidden_size": 0}, "hidden_size 0 must be a whole number"),
        ({"min_score": -0.5}, "min_score -0.5 must be from 0 to 1"),
        ({"teachers": "rgb"}, "teachers 'rgb' must be names, each once"),
        ({"classes": ["car", "car"]}, "must be names, each once"),
        ({"count": 3}, "options of method 'counting'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        build_method("counting", **options)
