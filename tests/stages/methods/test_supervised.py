import math

import pytest
import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.encoders.streams import InputShape, build_stream_encoder
from avkd.stages.losses.margin import aam_softmax
from avkd.stages.methods.batch import Batch, LearningShape
from avkd.stages.methods.clip_student import ClipStudent
from avkd.stages.methods.registry import build_method

SHAPES = {"alpha": InputShape(shape=(3,)), "beta": InputShape(shape=(2,))}
LATE = {"streams": {"alpha": "vectors", "beta": "vectors"}, "kind": "late"}


def build(encoder: str = "vectors", num_classes: int = 4, **options: object) -> ClipStudent:
    torch.manual_seed(0)
    names = tuple(f"class{number}" for number in range(num_classes))
    body = build_stream_encoder(encoder, SHAPES, **(LATE if encoder == "fusion" else {}))
    method = build_method("supervised", **options)
    student = method.build_student(body, LearningShape(inputs=SHAPES, class_names=names))
    assert isinstance(student, ClipStudent)
    return student


def batch_of(labels: Tensor | None, num_clips: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(5)
    return Batch(
        clip_ids=tuple("abcd"[:num_clips]),
        inputs={
            "alpha": torch.randn(num_clips, 3, generator=generator),
            "beta": torch.randn(num_clips, 2, generator=generator),
        },
        num_steps=torch.ones(num_clips, dtype=torch.int64),
        labels=labels,
    )


def test_one_class_is_learned_by_cross_entropy() -> None:
    labels = torch.tensor([0, 1, 2, 3])
    student, batch = build(), batch_of(labels)
    loss = build_method("supervised").loss(student, batch)
    logits = student(batch.inputs, batch.num_steps).logits
    assert loss.total.item() == pytest.approx(nn.functional.cross_entropy(logits, labels).item())
    assert loss.parts["accuracy"] == (logits.argmax(dim=1) == labels).float().mean()
    assert set(loss.parts) == {"cross_entropy", "accuracy"}


def test_clips_without_a_label_do_not_count() -> None:
    student, method = build(), build_method("supervised")
    some = method.loss(student, batch_of(torch.tensor([0, -1, 2, -1])))
    batch = batch_of(torch.tensor([0, 1, 2, 3]))
    logits = student(batch.inputs, batch.num_steps).logits[[0, 2]]
    alone = nn.functional.cross_entropy(logits, torch.tensor([0, 2]))
    assert some.total.item() == pytest.approx(alone.item())


def test_a_batch_without_any_label_has_no_loss_but_a_gradient() -> None:
    student = build()
    loss = build_method("supervised").loss(student, batch_of(torch.full((4,), -1)))
    loss.total.backward()
    assert loss.total == 0
    assert all(p.grad is not None and not p.grad.any() for p in student.parameters())


def test_several_classes_are_learned_by_binary_cross_entropy() -> None:
    student = build(task="classes")
    nn.init.zeros_(student.head.weight)
    nn.init.constant_(student.head.bias, 1.0)
    labels = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0], [-1.0] * 4, [-1.0] * 4])
    loss = build_method("supervised", task="classes").loss(student, batch_of(labels))
    present, absent = -math.log(1 / (1 + math.exp(-1))), -math.log(1 / (1 + math.exp(1)))
    assert loss.total.item() == pytest.approx((5 * present + 3 * absent) / 2)
    assert loss.parts["accuracy"] == pytest.approx((4 / 4 + 1 / 4) / 2)


def test_speakers_are_learned_with_a_margin_that_inference_does_not_have() -> None:
    options = {"task": "verification", "scale": 20.0, "margin": 0.3}
    student, labels = build(**options), torch.tensor([0, 1, 2, 3])
    batch = batch_of(labels)
    loss = build_method("supervised", **options).loss(student, batch)
    said = student(batch.inputs, batch.num_steps)
    cosines = student.head.cosines(said.embedding)
    assert torch.allclose(said.logits, 20 * cosines)
    assert loss.total.item() == pytest.approx(aam_softmax(cosines, labels, 20.0, 0.3).item())
    assert loss.total > nn.functional.cross_entropy(said.logits, labels)


def test_the_votes_of_streams_may_be_taught_as_well() -> None:
    plain, labels = {"head": "late"}, torch.tensor([0, 1, 2, 3])
    student, batch = build("fusion", **plain), batch_of(labels)
    alone = build_method("supervised", **plain).loss(student, batch)
    both = build_method("supervised", **plain, vote_weight=0.5).loss(student, batch)
    votes = student(batch.inputs, batch.num_steps).stream_logits
    assert set(votes) == {"alpha", "beta"}
    of_votes = [nn.functional.cross_entropy(vote, labels).item() for vote in votes.values()]
    assert both.parts["cross_entropy/votes"].item() == pytest.approx(sum(of_votes) / 2)
    assert both.total.item() == pytest.approx(alone.total.item() + 0.5 * sum(of_votes) / 2)


def test_it_reads_the_streams_and_the_labels_it_learns_from() -> None:
    needs = build_method("supervised").needs(build())
    assert (needs.inputs, needs.labels, needs.logits_of) == (("alpha",), "class", ())
    assert build_method("supervised", task="classes").needs(build()).labels == "classes"


def test_a_store_without_labels_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"name their data\.label_column"):
        build(num_classes=0)
    with pytest.raises(InvalidValueError, match=r"name their data\.label_column"):
        build_method("supervised").loss(build(), batch_of(None))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"task": "tags"}, "use class or classes or verification"),
        ({"task": "verification", "head": "linear"}, "needs the head 'cosine'"),
        ({"task": "classes", "loss_on": "probabilities"}, "go with task 'class'"),
        ({"loss_on": "odds"}, "use 'logits' or 'probabilities'"),
        ({"label_smoothing": 1.0}, "from 0 to below 1"),
        ({"vote_weight": 1.0}, "only 'late' has a vote"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        build_method("supervised", **options)


def test_an_unknown_head_gets_close_matches() -> None:
    with pytest.raises(UnknownNameError, match="did you mean linear"):
        build(head="linear1")
