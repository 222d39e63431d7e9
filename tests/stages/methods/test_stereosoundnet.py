from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.detection.anchors import PAPER_3_ANCHORS
from avkd.stages.detection.boxes import BoxTargets, paired_iou
from avkd.stages.encoders.registry import Encoder
from avkd.stages.encoders.streams import InputShape, StreamEncoder, build_stream_encoder
from avkd.stages.losses.detection_grid import GridLossWeights, grid_loss
from avkd.stages.losses.ranking import map_ranking
from avkd.stages.methods.batch import Batch, LearningShape, Needs, TargetShape
from avkd.stages.methods.grid_student import GridOutput, GridStudent, decode_student_output
from avkd.stages.methods.registry import build_method
from avkd.stages.methods.stereosoundnet import StereoSoundNetMethod, stereosoundnet

RATE, NUM_STEPS = 4_000, 3
SHAPES = {
    "waveform": InputShape(shape=(2, NUM_STEPS * RATE // 4), sample_rate=RATE),
    "camera": InputShape(shape=(2,)),
}
ANCHORS = (1.0, 1.0, 3.0, 2.0)
SMALL: Mapping[str, Any] = {"bottleneck": 16, "deconv_widths": (16, 12), "anchors": ANCHORS}
VOC = tuple(f"class {number}" for number in range(20))


MAPS: Mapping[str, tuple[int, int, int]] = {"features_2": (6, 5, 7), "attention_0": (1, 9, 9)}
DETECTOR = TargetShape(
    num_steps=NUM_STEPS, num_classes=0, box_classes=("car", "van"), map_shapes=MAPS
)
RANKED = ("rgb", "features_2")
LEARNING = LearningShape(targets={"rgb": DETECTOR}, inputs=SHAPES)


def encoder(**options: object) -> StreamEncoder:
    torch.manual_seed(0)
    given = {"step_seconds": 0.25, "window_seconds": 0.25, "widths": (8,) * 10, **options}
    return build_stream_encoder("spectrogram_pair", SHAPES, **given)


def build(method: StereoSoundNetMethod, learning: LearningShape = LEARNING) -> GridStudent:
    return method.build_student(encoder(metadata=("camera",)), learning)


def boxes() -> BoxTargets:
    """Two in step 0 of clip 0, an unsure one in its step 2, one in step 0 of clip 1."""
    return BoxTargets(
        boxes=torch.tensor(
            [
                [0.1, 0.1, 0.25, 0.3],
                [0.4, 0.5, 0.8, 0.9],
                [0.2, 0.2, 0.4, 0.4],
                [0.5, 0.1, 0.9, 0.5],
            ]
        ),
        scores=torch.tensor([0.9, 0.8, 0.2, 0.6]),
        classes=torch.tensor([0, 1, 0, 1]),
        row=torch.tensor([0, 0, 0, 1]),
        step=torch.tensor([0, 0, 2, 0]),
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
        boxes={"rgb": boxes()},
        maps={RANKED: torch.randn(2, NUM_STEPS, 6, 5, 7, generator=generator)},
    )


@torch.no_grad()
def test_by_default_the_student_is_the_papers() -> None:
    stored = replace(DETECTOR, box_classes=VOC, map_shapes={"features_0": (1024, 13, 13)})
    learning = LearningShape(targets={"yolo": stored}, inputs=SHAPES)
    student = build(stereosoundnet(anchors="published"), learning).eval()
    assert student.encoder.part_sizes["metadata"] == 128
    batch = make_batch((1, 1))
    output = student(batch.inputs, batch.num_steps)
    assert output.head.shape == (2, NUM_STEPS, 125, 13, 13)
    assert output.maps.shape == (2, NUM_STEPS, 1024, 13, 13)
    torch.testing.assert_close(output.anchors, torch.tensor(PAPER_3_ANCHORS))
    assert student.class_names == VOC


def test_grid_and_channels_follow_the_teachers_map_and_the_paper_without_one() -> None:
    assert build(stereosoundnet(**SMALL)).grid == (5, 7)
    without = LearningShape(targets={"rgb": replace(DETECTOR, map_shapes={})}, inputs=SHAPES)
    student = build(stereosoundnet(**SMALL, ranking="off", map_channels=8), without)
    assert student.grid == (13, 13)
    assert student.head.in_channels == 8
    free = build(stereosoundnet(**SMALL, ranking="off", grid_size=9, map_channels=4))
    assert free.grid == (9, 9)
    assert free.head.in_channels == 4
    assert build(stereosoundnet(**SMALL)).feature_map == "features_2"
    two = replace(DETECTOR, map_shapes={**MAPS, "features_1": (3, 10, 14)})
    learning = LearningShape(targets={"rgb": two}, inputs=SHAPES)
    chosen = build(stereosoundnet(**SMALL, feature_map="features_1"), learning)
    assert chosen.grid == (10, 14)
    assert chosen.head.in_channels == 3
    with pytest.raises(InvalidValueError, match="'rgb' stored features_2, features_1; name it"):
        build(stereosoundnet(**SMALL), learning)
    with pytest.raises(UnknownNameError, match="did you mean features_2"):
        build(stereosoundnet(**SMALL, feature_map="features_3"), learning)


def test_classes_that_are_not_chosen_are_not_learned() -> None:
    batch = make_batch()
    method = stereosoundnet(**SMALL, classes=("van",))
    student = build(method).eval()
    assert student.class_names == ("van",)
    assert student.head.out_channels == 2 * 6
    output = student(batch.inputs, batch.num_steps)
    vans = boxes().keep(torch.tensor([1, 3]))
    vans = replace(vans, classes=torch.zeros(2, dtype=torch.int64))
    real = ([0, 0, 0, 1], [0, 1, 2, 0])
    expected = grid_loss(output.head[real], vans, torch.tensor([0, 3]), output.anchors)
    parts = method.loss(student, batch).parts
    torch.testing.assert_close(parts["coordinate"], expected.coordinate.mean().detach())
    torch.testing.assert_close(parts["no_object"], expected.no_object.mean().detach())
    with pytest.raises(UnknownNameError, match="class of teacher 'rgb' 'bus'"):
        build(stereosoundnet(**SMALL, classes=("van", "bus")))
    strange = replace(boxes(), classes=torch.tensor([0, 1, 0, 2]))
    with pytest.raises(InvalidValueError, match="a box is of class 2 but the teacher named 2"):
        method.loss(student, replace(batch, boxes={"rgb": strange}))


def test_the_loss_is_detection_and_ranking_of_the_real_steps() -> None:
    method, batch = stereosoundnet(**SMALL, min_score=0.0), make_batch()
    student = build(method).train()
    output = student(batch.inputs, batch.num_steps)
    real = ([0, 0, 0, 1], [0, 1, 2, 0])
    picture = torch.tensor([0, 0, 2, 3])
    detection = grid_loss(output.head[real], boxes(), picture, output.anchors)
    ranking = map_ranking(output.maps[real], batch.maps[RANKED][real])
    loss = method.loss(student, batch)
    expected = detection.weigh(GridLossWeights()).mean() + ranking
    torch.testing.assert_close(loss.total, expected)
    torch.testing.assert_close(loss.parts["ranking"], ranking.detach())
    torch.testing.assert_close(loss.parts["no_object"], detection.no_object.mean().detach())
    assert set(loss.parts) == {
        "coordinate",
        "objectness",
        "no_object",
        "class",
        "iou",
        "ranking",
    }
    assert loss.total.requires_grad
    assert not any(part.requires_grad for part in loss.parts.values())


def test_gradients_reach_every_weight() -> None:
    method = stereosoundnet(**SMALL)
    student = build(method).train()
    method.loss(student, make_batch()).total.backward()
    for name, parameter in student.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_weights_coefficients_and_forms_go_where_they_belong() -> None:
    batch = make_batch()
    student = build(stereosoundnet(**SMALL)).eval()

    def total(**options: Any) -> Tensor:
        return stereosoundnet(**SMALL, **options).loss(student, batch).total.detach()

    parts = stereosoundnet(**SMALL).loss(student, batch).parts
    found = total(
        coordinate=2.0, objectness=3.0, no_object=0.5, classification=4.0, ranking_weight=7.0
    )
    expected = (
        2 * parts["coordinate"]
        + 3 * parts["objectness"]
        + 0.5 * parts["no_object"]
        + 4 * parts["class"]
        + 7 * parts["ranking"]
    )
    torch.testing.assert_close(found, expected)
    ranked = stereosoundnet(**SMALL, ranking="as_printed").loss(student, batch)
    output = student(batch.inputs, batch.num_steps)
    real = ([0, 0, 0, 1], [0, 1, 2, 0])
    printed = map_ranking(output.maps[real], batch.maps[RANKED][real], form="as_printed")
    torch.testing.assert_close(ranked.parts["ranking"], printed.detach())
    torch.testing.assert_close(total(detection_weight=0.0), parts["ranking"])
    off = stereosoundnet(**SMALL, ranking="off").loss(student, replace(batch, maps={}))
    torch.testing.assert_close(off.total.detach(), total(ranking_weight=0.0))
    assert "ranking" not in off.parts


def test_steps_that_are_not_real_do_not_matter_whatever_is_stored_there() -> None:
    method, batch = stereosoundnet(**SMALL), make_batch()
    student = build(method).eval()
    before = method.loss(student, batch).total
    maps = batch.maps[RANKED].clone()
    maps[1, 1:] = torch.nan
    moved = replace(boxes(), step=torch.tensor([0, 0, 2, 0]))
    stray = BoxTargets(
        boxes=torch.cat([moved.boxes, torch.tensor([[0.0, 0.0, 0.5, 0.5]])]),
        scores=torch.cat([moved.scores, torch.ones(1)]),
        classes=torch.cat([moved.classes, torch.zeros(1, dtype=torch.int64)]),
        row=torch.cat([moved.row, torch.ones(1, dtype=torch.int64)]),
        step=torch.cat([moved.step, torch.full((1,), 2)]),
    )
    after = method.loss(student, replace(batch, maps={RANKED: maps}, boxes={"rgb": stray})).total
    torch.testing.assert_close(after, before)


def test_unsure_boxes_are_left_out_and_scores_weigh_where_asked() -> None:
    student, batch = build(stereosoundnet(**SMALL)).eval(), make_batch()
    sure = replace(batch, boxes={"rgb": boxes().keep(torch.tensor([0, 1, 3]))})
    plain = stereosoundnet(**SMALL).loss(student, batch).total
    torch.testing.assert_close(plain, stereosoundnet(**SMALL).loss(student, sure).total)
    every = stereosoundnet(**SMALL, min_score=0.0).loss(student, batch).total
    assert not torch.allclose(every, plain)
    weighed = stereosoundnet(**SMALL, weigh_by_score=True).loss(student, batch)
    assert (
        weighed.parts["coordinate"]
        < stereosoundnet(**SMALL).loss(student, batch).parts["coordinate"]
    )


def test_a_batch_without_any_box_is_learned_from() -> None:
    method = stereosoundnet(**SMALL)
    none = replace(make_batch(), boxes={"rgb": boxes().keep(torch.zeros(4, dtype=torch.bool))})
    loss = method.loss(build(method), none)
    assert loss.total.isfinite()
    assert loss.parts["coordinate"] == loss.parts["objectness"] == 0


class Wrapped(nn.Module):
    """As accelerate hides a student in a module of its own."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> GridOutput:
        output: GridOutput = self.module(inputs, num_steps)
        return output


def test_a_wrapped_student_has_the_same_loss() -> None:
    method, batch = stereosoundnet(**SMALL), make_batch()
    student = build(method).eval()
    torch.testing.assert_close(
        method.loss(Wrapped(student), batch).total, method.loss(student, batch).total
    )


def test_a_small_student_learns_where_the_boxes_of_a_batch_are() -> None:
    method, batch = stereosoundnet(**SMALL, ranking_weight=0.1), make_batch()
    student = build(method).train()
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-2)
    for _ in range(120):
        optimiser.zero_grad()
        loss = method.loss(student, batch)
        loss.total.backward()
        optimiser.step()
    assert loss.parts["iou"] > 0.8
    # Batch normalisation has seen one batch, so that its own statistics are the ones to use.
    with torch.no_grad():
        output = student(batch.inputs, batch.num_steps)
    said = decode_student_output(output, batch.num_steps, score_threshold=0.4)
    wanted = boxes().keep(boxes().scores >= 0.3)
    assert said.row.tolist() == wanted.row.tolist()
    assert said.step.tolist() == wanted.step.tolist()
    order = said.boxes[:, 0].argsort(), wanted.boxes[:, 0].argsort()
    assert paired_iou(said.boxes[order[0]], wanted.boxes[order[1]]).min() > 0.7
    assert said.classes[order[0]].tolist() == wanted.classes[order[1]].tolist()


def test_anchors_are_given_published_or_still_to_be_fitted() -> None:
    assert build(stereosoundnet(**SMALL)).anchors.tolist() == [[1.0, 1.0], [3.0, 2.0]]
    unfitted = build(stereosoundnet(**{**SMALL, "anchors": ()}, num_anchors=2))
    assert unfitted.anchors.shape == (2, 2)
    with pytest.raises(InvalidValueError, match="the student has no anchors; fit them"):
        stereosoundnet(**SMALL).loss(unfitted, make_batch())
    unfitted.fit_anchors(boxes().boxes[:, 2:] - boxes().boxes[:, :2])
    assert stereosoundnet(**SMALL).loss(unfitted, make_batch()).total.isfinite()


def test_boxes_are_read_and_maps_where_they_are_ranked() -> None:
    method = stereosoundnet(**SMALL, min_score=0.4)
    assert method.needs(build(method)) == Needs(
        inputs=("waveform", "camera"), boxes_of=("rgb",), maps_of=(RANKED,), min_box_score=0.4
    )
    off = stereosoundnet(**SMALL, ranking="off")
    assert off.needs(build(off)).maps_of == ()


@pytest.mark.parametrize(
    ("options", "targets", "message"),
    [
        ({}, {}, "learns from one teacher but none stored boxes"),
        ({}, {"a": DETECTOR, "b": DETECTOR}, "but a, b stored boxes; name it"),
        ({}, {"a": TargetShape(num_steps=3, num_classes=5)}, "but none stored boxes"),
        (
            {},
            {"a": replace(DETECTOR, map_shapes={})},
            "ranks one feature map but teacher 'a' stored none",
        ),
        (
            {"grid_size": 13},
            {"a": DETECTOR},
            "'features_2' of the teacher is a map of 6 x 5 x 7 but",
        ),
        ({"map_channels": 8}, {"a": DETECTOR}, "set both to 0 to follow the teacher"),
    ],
)
def test_teachers_that_cannot_teach_are_refused(
    options: dict[str, Any], targets: dict[str, TargetShape], message: str
) -> None:
    with pytest.raises(InvalidValueError, match=message):
        build(stereosoundnet(**SMALL, **options), LearningShape(targets=targets, inputs=SHAPES))


def test_one_of_several_teachers_is_named() -> None:
    both = LearningShape(targets={"rgb": DETECTOR, "thermal": DETECTOR}, inputs=SHAPES)
    assert build(stereosoundnet(**SMALL, teacher="thermal"), both).teacher == "thermal"
    with pytest.raises(UnknownNameError, match="did you mean thermal"):
        build(stereosoundnet(**SMALL, teacher="termal"), both)


def test_other_encoders_and_students_are_refused(encoder: Encoder) -> None:
    vectors = build_stream_encoder("vectors", SHAPES, streams=("camera",))
    for other in (encoder, vectors):
        with pytest.raises(InvalidValueError, match="use spectrogram_pair or phase_aware"):
            stereosoundnet(**SMALL).build_student(other, LEARNING)
    with pytest.raises(InvalidValueError, match="a Linear has no grid"):
        stereosoundnet(**SMALL).needs(nn.Linear(1, 1))


def test_batches_without_what_is_learned_from_are_refused() -> None:
    method = stereosoundnet(**SMALL)
    student, batch = build(method), make_batch()
    with pytest.raises(InvalidValueError, match="needs the boxes of one teacher but the batch has"):
        method.loss(student, replace(batch, boxes={}))
    with pytest.raises(InvalidValueError, match="needs the maps of one teacher"):
        method.loss(student, replace(batch, maps={}))
    with pytest.raises(InvalidValueError, match="train on the store that the student was built"):
        method.loss(student, replace(batch, maps={RANKED: torch.zeros(2, NUM_STEPS, 6, 4, 4)}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ranking": "printed"}, "ranking 'printed' is not known"),
        ({"margin": -1.0}, "margin -1 must be 0 or more"),
        ({"no_object": -1.0}, "no_object -1 must be 0 or more"),
        ({"min_score": 2.0}, "min_score 2 must be from 0 to 1"),
        ({"ignore_threshold": -0.1}, "ignore_threshold -0.1 must be from 0 to 1"),
        ({"num_anchors": 0}, "num_anchors 0 must be a whole number"),
        ({"anchors": (1.0, 2.0, 3.0)}, "must be widths and heights in turn"),
        ({"anchors": (1.0, 0.0)}, "above 0, or 'published'"),
        ({"anchors": "paper"}, "or 'published'"),
        ({"classes": "car"}, "classes 'car' must be names, each once"),
        ({"deconv_widths": ()}, "must be one or more whole numbers"),
        ({"kernel": 3}, "options of method 'stereosoundnet'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        build_method("stereosoundnet", **options)
