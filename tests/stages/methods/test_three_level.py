from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import normalize

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.encoders.streams import InputShape, StreamEncoder, build_stream_encoder
from avkd.stages.losses.kl import SparseTargets
from avkd.stages.losses.margin import aam_softmax
from avkd.stages.losses.relational import relational_distance
from avkd.stages.methods.batch import Batch, LearningShape, Needs, TargetShape
from avkd.stages.methods.clip_student import deployed_student
from avkd.stages.methods.registry import build_method
from avkd.stages.methods.three_level import (
    TaughtSpeech,
    ThreeLevelMethod,
    ThreeLevelPair,
    clip_embeddings,
    three_level,
)

NUM_CLIPS, NUM_CLASSES, SIZE = 5, 4, 6
NUM_STEPS = torch.full((NUM_CLIPS,), 3)
NAMES = ("ann", "bob", "cal", "dee")
OFF = dict.fromkeys(
    ("label_loss_weight", "label_weight", "embedding_weight", "distribution_weight"), 0.0
)


class Spoken(nn.Module):
    """Has said what it was given, and collects the gradients."""

    def __init__(self, num_clips: int = NUM_CLIPS) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        cosines = 2 * torch.rand(num_clips, NUM_CLASSES, generator=generator) - 1
        self.logits = nn.Parameter(32 * cosines)
        self.embedding = nn.Parameter(torch.randn(num_clips, SIZE, generator=generator))

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> TaughtSpeech:
        return TaughtSpeech(self.logits, self.embedding, self.embedding)

    def gradients(self, loss: Tensor) -> tuple[Tensor, Tensor]:
        """Of logits and embedding."""
        found = torch.autograd.grad(
            loss, (self.logits, self.embedding), allow_unused=True, materialize_grads=True
        )
        return found[0], found[1]


def make_batch(num_clips: int = NUM_CLIPS) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(
        clip_ids=tuple(map(str, range(num_clips))),
        inputs={"alpha": torch.randn(num_clips, 2, generator=generator)},
        num_steps=NUM_STEPS[:num_clips],
        targets={"av": 3 * torch.randn(num_clips, NUM_CLASSES, generator=generator)},
        embeddings={"av": torch.randn(num_clips, SIZE, generator=generator)},
        labels=torch.arange(num_clips) % NUM_CLASSES,
    )


BATCH = make_batch()
TEACHER = normalize(BATCH.embeddings["av"], dim=1)


def only(name: str, **options: object) -> ThreeLevelMethod:
    return three_level(**{**OFF, name: 1.0, **options})  # type: ignore[arg-type]


def shape_of(**teachers: TargetShape) -> LearningShape:
    return LearningShape(
        inputs={"alpha": InputShape(shape=(2,))}, targets=teachers, class_names=NAMES
    )


def taught(embedding_size: int = SIZE, num_classes: int = NUM_CLASSES) -> LearningShape:
    shape = TargetShape(num_steps=0, num_classes=num_classes, embedding_size=embedding_size)
    return shape_of(av=shape)


def encoder(embedding_size: int = SIZE) -> StreamEncoder:
    torch.manual_seed(3)
    return build_stream_encoder(
        "vectors", taught().inputs, streams=("alpha",), hidden_size=embedding_size
    )


def test_the_label_level_alone_pulls_by_the_difference_of_the_two_distributions() -> None:
    spoken = Spoken()
    loss = only("label_weight").loss(spoken, BATCH)
    of_logits, of_embedding = spoken.gradients(loss.total)
    target = BATCH.targets["av"]
    assert isinstance(target, Tensor)
    expected = (spoken.logits.softmax(dim=1) - target.softmax(dim=1)) / NUM_CLIPS
    torch.testing.assert_close(of_logits, expected)
    assert not of_embedding.any()


def test_a_temperature_softens_the_label_level_and_keeps_the_size_of_its_gradient() -> None:
    spoken = Spoken()
    loss = only("label_weight", temperature=4.0).loss(spoken, BATCH)
    of_logits, _ = spoken.gradients(loss.total)
    target = BATCH.targets["av"]
    assert isinstance(target, Tensor)
    difference = (spoken.logits / 4).softmax(dim=1) - (target / 4).softmax(dim=1)
    torch.testing.assert_close(of_logits, 4 * difference / NUM_CLIPS)


def cosine_gradient(embedding: Tensor) -> Tensor:
    """Of the mean of 1 - cosine, by hand."""
    units = normalize(embedding, dim=1)
    cosines = (units * TEACHER).sum(dim=1, keepdim=True)
    return (cosines * units - TEACHER) / embedding.norm(dim=1, keepdim=True) / NUM_CLIPS


def test_the_embedding_level_alone_turns_each_embedding_to_the_teachers() -> None:
    spoken = Spoken()
    of_logits, of_embedding = spoken.gradients(only("embedding_weight").loss(spoken, BATCH).total)
    torch.testing.assert_close(of_embedding, cosine_gradient(spoken.embedding.detach()))
    assert not of_logits.any()


def test_the_squared_error_of_directions_is_the_cosine_distance_times_two_over_the_width() -> None:
    spoken = Spoken()
    cosine = only("embedding_weight").loss(spoken, BATCH).total
    squared = only("embedding_weight", embedding="mse").loss(spoken, BATCH).total
    torch.testing.assert_close(squared, 2 / SIZE * cosine)


def test_the_margin_form_leaves_embeddings_alone_that_are_near_enough() -> None:
    spoken = Spoken()
    distances = 1 - (normalize(spoken.embedding.detach(), dim=1) * TEACHER).sum(dim=1)
    margin = float(distances.median())
    method = only("embedding_weight", embedding="margin", embedding_margin=margin)
    loss = method.loss(spoken, BATCH)
    _, of_embedding = spoken.gradients(loss.total)
    far = distances > margin
    assert 0 < far.sum() < NUM_CLIPS
    expected = cosine_gradient(spoken.embedding.detach()) * far[:, None]
    torch.testing.assert_close(of_embedding, expected)


@pytest.mark.parametrize("name", ["mmd", "similarity", "rkd", "info_nce"])
def test_the_distribution_level_alone_is_that_distance_between_directions(name: str) -> None:
    spoken = Spoken()
    loss = only("distribution_weight", distribution=name).loss(spoken, BATCH)
    of_logits, of_embedding = spoken.gradients(loss.total)
    expected = relational_distance(name, normalize(spoken.embedding, dim=1), TEACHER)
    torch.testing.assert_close(loss.total, expected)
    torch.testing.assert_close(of_embedding, spoken.gradients(expected)[1])
    assert of_embedding.any()
    assert not of_logits.any()


def test_a_distance_takes_its_own_options() -> None:
    options = {"distribution": "mmd", "distribution_options": {"bandwidth": 0.5}}
    spoken = Spoken()
    loss = only("distribution_weight", **options).loss(spoken, BATCH)
    expected = relational_distance(
        "mmd", normalize(spoken.embedding, dim=1), TEACHER, bandwidth=0.5
    )
    torch.testing.assert_close(loss.total, expected)


def test_labels_alone_are_aam_softmax_of_unscaled_cosines() -> None:
    spoken = Spoken()
    loss = only("label_loss_weight", margin=0.3).loss(spoken, BATCH)
    assert BATCH.labels is not None
    expected = aam_softmax(spoken.logits / 32, BATCH.labels, 32.0, 0.3)
    torch.testing.assert_close(loss.total, expected)
    torch.testing.assert_close(spoken.gradients(loss.total)[0], spoken.gradients(expected)[0])


@settings(deadline=None)
@given(st.lists(st.floats(0, 3), min_size=4, max_size=4).filter(any))
def test_the_loss_is_the_weighted_sum_of_its_parts(weights: list[float]) -> None:
    method = three_level(**dict(zip(OFF, weights, strict=True)))
    loss = method.loss(Spoken(), BATCH)
    parts = ("aam", "label", "embedding", "distribution")
    expected = sum(
        weight * float(loss.parts[part])
        for part, weight in zip(parts, weights, strict=True)
        if weight
    )
    assert float(loss.total.detach()) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert {part for part, weight in zip(parts, weights, strict=True) if weight} <= {*loss.parts}


def test_accuracy_counts_the_labelled_clips() -> None:
    spoken = Spoken()
    said = spoken.logits.argmax(dim=1)
    labels = said.clone()
    labels[0], labels[1] = (said[0] + 1) % NUM_CLASSES, -1
    loss = three_level().loss(spoken, replace(BATCH, labels=labels))
    assert float(loss.parts["accuracy"]) == pytest.approx(3 / 4)


def test_a_clip_without_a_label_still_learns_from_the_teacher() -> None:
    batch = replace(BATCH, labels=torch.full((NUM_CLIPS,), -1))
    spoken = Spoken()
    loss = three_level().loss(spoken, batch)
    assert float(loss.parts["aam"]) == 0
    assert "accuracy" not in loss.parts
    found = spoken.gradients(loss.total)
    assert found[0].any()
    assert all(gradient.isfinite().all() for gradient in found)


def test_levels_are_over_all_clips_and_aam_softmax_over_the_labelled_ones() -> None:
    assert BATCH.labels is not None
    some = BATCH.labels.clone()
    some[1::2] = -1
    spoken = Spoken()
    whole, part = (
        three_level().loss(spoken, replace(BATCH, labels=each)) for each in (BATCH.labels, some)
    )
    for level in ("label", "embedding", "distribution"):
        assert torch.equal(part.parts[level], whole.parts[level])
    expected = aam_softmax(spoken.logits[::2] / 32, BATCH.labels[::2], 32.0, 0.2)
    torch.testing.assert_close(part.parts["aam"], expected.detach())


def test_without_levels_a_batch_of_no_labels_has_a_loss_of_zero_and_no_gradient() -> None:
    spoken = Spoken()
    batch = replace(BATCH, labels=torch.full((NUM_CLIPS,), -1))
    loss = only("label_loss_weight").loss(spoken, batch).total
    assert float(loss.detach()) == 0
    assert not spoken.gradients(loss)[0].any()


@pytest.mark.parametrize(
    ("distribution", "num_clips", "is_there"),
    [("mmd", 1, False), ("mmd", 2, True), ("info_nce", 1, False), ("info_nce", 2, True)]
    + [(name, 2, False) for name in ("similarity", "rkd", "pkd")]
    + [(name, 3, True) for name in ("similarity", "rkd", "pkd")],
)
def test_a_batch_too_small_for_a_distribution_goes_without_it(
    distribution: str, num_clips: int, is_there: bool
) -> None:
    method = three_level(distribution=distribution)
    loss = method.loss(Spoken(num_clips), make_batch(num_clips))
    assert ("distribution" in loss.parts) == is_there
    assert torch.isfinite(loss.total)


def test_sparse_targets_of_all_classes_are_the_dense_ones_and_fewer_are_a_lower_bound() -> None:
    method = only("label_weight", temperature=2.0)
    dense = method.loss(Spoken(), BATCH).total
    target = BATCH.targets["av"]
    assert isinstance(target, Tensor)
    full, few = (
        method.loss(Spoken(), replace(BATCH, targets={"av": sparse(target, kept)})).total
        for kept in (NUM_CLASSES, 2)
    )
    torch.testing.assert_close(full, dense)
    assert 0 < few < dense


def sparse(logits_BK: Tensor, num_kept: int) -> SparseTargets:
    lse = torch.stack([(logits_BK / t).logsumexp(dim=1) for t in (1.0, 2.0)], dim=1)
    values, ids = logits_BK.topk(num_kept, dim=1)
    return SparseTargets(
        values=values - lse[:, :1], ids=ids, log_sum_exp=lse, temperatures=(1.0, 2.0)
    )


def test_embeddings_of_steps_are_averaged_over_the_real_ones() -> None:
    stored = torch.randn(2, 3, SIZE)
    padded = stored.clone()
    padded[1, 1:] = torch.nan
    found = clip_embeddings(padded, torch.tensor([3, 1]))
    torch.testing.assert_close(found[0], normalize(stored[0].mean(dim=0), dim=0))
    torch.testing.assert_close(found[1], normalize(stored[1, 0], dim=0))


def test_without_levels_it_is_the_supervised_method() -> None:
    ours = three_level(**{**OFF, "label_loss_weight": 1.0})
    theirs = build_method("supervised", task="verification", head="cosine")
    students = [method.build_student(encoder(), shape_of()) for method in (ours, theirs)]
    inputs = {**BATCH.inputs}
    assert ours.needs(students[0]) == theirs.needs(students[1])
    totals = []
    for method, student in zip((ours, theirs), students, strict=True):
        loss = method.loss(student, replace(BATCH, inputs=inputs, targets={}, embeddings={}))
        loss.total.backward()
        totals.append(loss.total)
    assert torch.equal(*totals)
    pairs = zip(students[0].parameters(), students[1].parameters(), strict=True)
    assert all(torch.equal(p, q) and torch.equal(grad(p), grad(q)) for p, q in pairs)


def grad(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


@pytest.mark.parametrize(
    ("size", "options", "is_projected"),
    [
        (SIZE, {}, False),
        (SIZE + 1, {}, True),
        (SIZE + 1, {**OFF, "distribution_weight": 1.0}, True),
        (SIZE + 1, {**OFF, "distribution_weight": 1.0, "distribution": "rkd"}, False),
        (SIZE + 1, {**OFF, "distribution_weight": 1.0, "distribution": "similarity"}, False),
        (SIZE + 1, {**OFF, "label_weight": 1.0}, False),
    ],
)
def test_an_embedding_is_projected_only_where_its_width_must_be_the_teachers(
    size: int, options: dict[str, object], is_projected: bool
) -> None:
    pair = build_method("three_level", **options).build_student(encoder(), taught(size))
    assert isinstance(pair, ThreeLevelPair)
    said = pair(BATCH.inputs, BATCH.num_steps)
    assert said.projected.shape == (NUM_CLIPS, size if is_projected else SIZE)
    assert torch.equal(said.projected, said.embedding) == (not is_projected)
    batch = replace(BATCH, embeddings={"av": torch.randn(NUM_CLIPS, size)})
    assert torch.isfinite(build_method("three_level", **options).loss(pair, batch).total)


def test_the_projection_is_trained_but_not_deployed() -> None:
    pair = three_level().build_student(encoder(), taught(SIZE + 1))
    batch = replace(BATCH, embeddings={"av": torch.randn(NUM_CLIPS, SIZE + 1)})
    three_level().loss(pair, batch).total.backward()
    assert isinstance(pair.projection, nn.Linear)
    assert grad(pair.projection.weight).any()
    deployed = deployed_student(pair)
    assert deployed is pair.student
    said, inside = deployed(BATCH.inputs, BATCH.num_steps), pair(BATCH.inputs, BATCH.num_steps)
    assert torch.equal(said.embedding, inside.embedding)
    assert not any("projection" in name for name, _ in deployed.named_parameters())


def test_a_student_begins_with_the_same_weights_whatever_it_is_taught() -> None:
    pairs = [three_level().build_student(encoder(), taught(size)) for size in (SIZE, SIZE + 1)]
    first, second = (pair.student.state_dict() for pair in pairs)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_only_what_counts_is_read() -> None:
    def needs(**options: object) -> Needs:
        method = build_method("three_level", **options)
        return method.needs(method.build_student(encoder(), taught()))

    assert needs() == Needs(
        inputs=("alpha",),
        logits_of=("av",),
        embeddings_of=("av",),
        labels="class",
        takes_unlabelled=True,
    )
    assert needs(label_weight=0.0).logits_of == ()
    off = {**OFF, "label_weight": 1.0}
    assert needs(**off).embeddings_of == ()
    assert needs(**off).takes_unlabelled
    assert not needs(**{**OFF, "label_loss_weight": 1.0}).takes_unlabelled


def test_the_teacher_is_the_only_one_that_stored_what_is_compared() -> None:
    silent = TargetShape(num_steps=0, num_classes=0, embedding_size=SIZE)
    whole = TargetShape(num_steps=0, num_classes=NUM_CLASSES, embedding_size=SIZE)
    pair = three_level().build_student(encoder(), shape_of(face=silent, av=whole))
    assert pair.teacher == "av"


@pytest.mark.parametrize(
    ("learning", "words"),
    [
        (taught(num_classes=3), "'av' knows 3 classes but there are 4 labels"),
        (
            shape_of(
                av=TargetShape(
                    num_steps=0,
                    num_classes=4,
                    embedding_size=SIZE,
                    class_names=("ann", "cal", "bob", "dee"),
                )
            ),
            r"class 1 of teacher 'av' is 'cal' but the label is 'bob'; .* data\.classes",
        ),
        (shape_of(), "one teacher but none stored logits and embeddings"),
        (
            shape_of(
                **{n: TargetShape(num_steps=0, num_classes=4, embedding_size=2) for n in "ab"}
            ),
            "one teacher but a, b stored .*; name it with --teacher",
        ),
        (replace(taught(), class_names=()), "three_level learns from labels"),
    ],
)
def test_a_store_that_cannot_teach_it_is_refused(learning: LearningShape, words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        three_level().build_student(encoder(), learning)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"label_weight": -1.0}, "label_weight -1 must be 0 or more"),
        (OFF, "all weights are 0"),
        ({"temperature": 0.0}, "temperature 0 must be above 0"),
        ({"scale": -2.0}, "scale -2 must be above 0"),
        ({"embedding": "l1"}, "embedding 'l1' is not known; use cosine or mse or margin"),
    ],
)
def test_an_option_out_of_its_range_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        build_method("three_level", **options)


def test_an_unknown_distance_is_named_with_the_close_ones() -> None:
    with pytest.raises(UnknownNameError, match="did you mean similarity"):
        build_method("three_level", distribution="similarty")


def test_a_batch_without_labels_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="three_level needs labels"):
        three_level().loss(Spoken(), replace(BATCH, labels=None))


def test_another_methods_student_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="a Spoken does not know its teacher"):
        three_level().needs(Spoken())
