import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.stages.encoders.registry import Encoder
from avkd.stages.methods.batch import Batch, LearningShape
from avkd.stages.methods.registry import build_method


def make_batch(labels: list[int] | None) -> Batch:
    clips = len(labels or [0, 0])
    return Batch(
        clip_ids=tuple(map(str, range(clips))),
        inputs={"waveform": torch.randn(clips, 1, 80, generator=torch.Generator().manual_seed(0))},
        num_steps=torch.ones(clips, dtype=torch.int64),
        labels=None if labels is None else torch.tensor(labels),
    )


def test_loss_is_the_cross_entropy_of_the_mean_logits(encoder: Encoder) -> None:
    method, batch = build_method("classification", num_classes=3), make_batch([0, 2, 1])
    student = method.build_student(encoder, LearningShape())
    columns = student.heads["labels"](encoder(batch.waveform))
    logits = columns.mean(dim=-1).log_softmax(dim=-1)
    expected = -logits[torch.arange(3), batch.labels].mean()
    loss = method.loss(student, batch)
    torch.testing.assert_close(loss.total, expected)
    torch.testing.assert_close(loss.parts["cross_entropy"], expected.detach())
    hits = (logits.argmax(-1) == batch.labels).float().mean()
    assert loss.parts["accuracy"] == hits
    loss.total.backward()
    assert all(parameter.grad is not None for parameter in student.parameters())


def test_label_smoothing_lifts_the_loss_of_a_sure_student(encoder: Encoder) -> None:
    batch = make_batch([1, 1])
    plain = build_method("classification", num_classes=3)
    smooth = build_method("classification", num_classes=3, label_smoothing=0.1)
    student = plain.build_student(encoder, LearningShape())
    with torch.no_grad():
        student.heads["labels"].bias.copy_(torch.tensor([-9.0, 9.0, -9.0]))
    assert smooth.loss(student, batch).total > plain.loss(student, batch).total


def test_missing_labels_and_single_classes_are_refused(encoder: Encoder) -> None:
    method = build_method("classification", num_classes=2)
    student = method.build_student(encoder, LearningShape())
    with pytest.raises(InvalidValueError, match="needs labels"):
        method.loss(student, make_batch(None))
    with pytest.raises(InvalidValueError, match="num_classes 1 must be 2 or more"):
        build_method("classification", num_classes=1)
