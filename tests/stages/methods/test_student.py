import pytest
import torch

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.encoders.registry import Encoder
from avkd.stages.methods.student import Student


def test_each_teacher_has_a_head_with_its_classes(encoder: Encoder) -> None:
    student = Student(encoder, {"objects": 7, "scenes": 5}, {"objects": 6})
    output = student(torch.randn(2, 1, 80), 4)
    assert {name: tuple(logits.shape) for name, logits in output.logits.items()} == {
        "objects": (2, 4, 7),
        "scenes": (2, 4, 5),
    }
    assert output.embeddings["objects"].shape == (2, 4, 6)
    assert set(output.embeddings) == {"objects"}


def test_logits_are_the_head_of_the_trunk_step_by_step(encoder: Encoder) -> None:
    student = Student(encoder, {"t": 7})
    waveform = torch.randn(2, 1, 80)
    columns = student.heads["t"](encoder(waveform))
    torch.testing.assert_close(student(waveform, 4).logits["t"], columns.transpose(1, 2))


def test_head_layer_is_all_heads_side_by_side(encoder: Encoder) -> None:
    student = Student(encoder, {"objects": 7, "scenes": 5})
    assert student.layer_names == ("first", "last", "output")
    waveform = torch.randn(2, 1, 80)
    output = student.features(waveform, "output")
    assert output.shape == (2, 12, 4)
    torch.testing.assert_close(output[:, 7:], student.heads["scenes"](encoder(waveform)))
    assert torch.equal(student.features(waveform, "first"), encoder.features(waveform, "first"))
    with pytest.raises(UnknownNameError):
        student.features(waveform, "middle")


@pytest.mark.parametrize("name", ["v1.5", "items", "forward"])
def test_names_that_torch_cannot_keep_are_refused(encoder: Encoder, name: str) -> None:
    with pytest.raises(InvalidValueError, match="cannot name a head"):
        Student(encoder, {name: 3})
