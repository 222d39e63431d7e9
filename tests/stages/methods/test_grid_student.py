import json

import pytest
import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.detection.anchors import fit_anchors
from avkd.stages.detection.decoding import decode_steps
from avkd.stages.detection.grid_network import GridNetwork, build_grid_head
from avkd.stages.encoders.step_sound import StepSoundEncoder
from avkd.stages.encoders.streams import InputShape, build_stream_encoder
from avkd.stages.methods.box_student import BoxStudent
from avkd.stages.methods.grid_student import GridStudent, decode_student_output

RATE, NUM_STEPS = 4_000, 3
SHAPES = {
    "waveform": InputShape(shape=(2, NUM_STEPS * RATE // 4), sample_rate=RATE),
    "camera": InputShape(shape=(2,)),
}
ANCHORS = torch.tensor([[1.0, 1.0], [3.0, 2.0]])


def build(anchors: Tensor = ANCHORS, grid: tuple[int, int] = (5, 7)) -> GridStudent:
    torch.manual_seed(0)
    encoder = build_stream_encoder(
        "spectrogram_pair",
        SHAPES,
        metadata=("camera",),
        step_seconds=0.25,
        window_seconds=0.25,
        widths=(4,) * 10,
    )
    assert isinstance(encoder, StepSoundEncoder)
    network = GridNetwork(
        encoder.embedding_size,
        bottleneck=8,
        widths=(8, 8),
        map_channels=6,
        height=grid[0],
        width=grid[1],
    )
    return GridStudent(
        encoder,
        network,
        build_grid_head(6, len(anchors), 3),
        anchors.clone(),
        teacher="rgb",
        teacher_classes=("car", "person", "van", "truck"),
        class_names=("car", "van", "truck"),
        feature_map="features_2",
        grid=grid,
    )


def inputs(clips: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    waveform = 0.1 * torch.randn(clips, *SHAPES["waveform"].shape, generator=generator)
    return {"waveform": waveform, "camera": torch.randn(clips, 2, generator=generator)}


@torch.no_grad()
def test_every_real_step_has_a_head_and_a_map_and_the_others_zeros() -> None:
    student, num_steps = build().eval(), torch.tensor([3, 1])
    output = student(inputs(), num_steps)
    assert output.head.shape == (2, NUM_STEPS, 2 * 8, 5, 7)
    assert output.maps.shape == (2, NUM_STEPS, 6, 5, 7)
    assert torch.equal(output.anchors, ANCHORS)
    assert output.class_places.tolist() == [0, -1, 1, 2]
    for part in (output.head, output.maps):
        assert part[0].flatten(1).any(dim=1).all()
        assert part[1, 0].any()
        assert not part[1, 1:].any()
    torch.testing.assert_close(output.head[0, 1:2], student.head(output.maps[0, 1:2]))


@torch.no_grad()
def test_boxes_are_decoded_with_the_students_own_anchors() -> None:
    student, num_steps = build().eval(), torch.tensor([3, 2])
    output = student(inputs(), num_steps)
    found = decode_student_output(output, num_steps, score_threshold=0.001, max_boxes=4)
    expected = decode_steps(output.head, num_steps, ANCHORS, score_threshold=0.001, max_boxes=4)
    assert torch.equal(found.boxes, expected.boxes)
    assert set(zip(found.row.tolist(), found.step.tolist(), strict=True)) == {
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 1),
    }
    assert len(decode_student_output(output, num_steps)) == 0, "a fresh student says nothing"


@torch.no_grad()
def test_it_says_its_boxes_itself_and_what_it_is() -> None:
    student, num_steps = build().eval(), torch.tensor([3, 2])
    said = student.say_boxes(inputs(), num_steps, score_threshold=0.001, max_boxes=4)
    expected = decode_student_output(
        student(inputs(), num_steps), num_steps, score_threshold=0.001, max_boxes=4
    )
    assert len(said) == 4 * 5
    assert torch.equal(said.boxes, expected.boxes)
    assert isinstance(student, BoxStudent)
    assert (student.streams, student.teachers) == (("waveform", "camera"), ("rgb",))
    told = json.loads(json.dumps(student.describe()))
    assert told["teachers"] == [told["teacher"]] == ["rgb"]
    assert (told["box_classes"], told["grid"]) == (["car", "van", "truck"], [5, 7])
    assert told["anchors"] == ANCHORS.tolist()
    assert told["feature_map"] == "features_2"


def test_anchors_are_fitted_in_cells_and_saved_with_the_weights() -> None:
    student = build(torch.zeros(2, 2))
    assert not student.has_anchors
    sizes = torch.tensor([[0.1, 0.2], [0.11, 0.19], [0.5, 0.4], [0.52, 0.41]])
    student.fit_anchors(sizes)
    assert student.has_anchors
    expected = fit_anchors((sizes.double() * torch.tensor([7.0, 5.0])).numpy(), 2)
    torch.testing.assert_close(student.anchors.double(), torch.from_numpy(expected))
    other = build(torch.zeros(2, 2))
    other.load_state_dict(student.state_dict())
    assert torch.equal(other.anchors, student.anchors)


@torch.no_grad()
def test_without_anchors_nothing_can_be_decoded() -> None:
    output = build(torch.zeros(2, 2)).eval()(inputs(), torch.tensor([3, 3]))
    with pytest.raises(InvalidValueError, match="the student has no anchors; fit them"):
        decode_student_output(output, torch.tensor([3, 3]))
    with pytest.raises(InvalidValueError, match="the student has no anchors; fit them"):
        build(torch.zeros(2, 2)).say_boxes(inputs(), torch.tensor([3, 3]))
    with pytest.raises(InvalidValueError, match="2 anchors need as many different sizes"):
        build(torch.zeros(2, 2)).fit_anchors(torch.tensor([[0.1, 0.1]]))
