from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.encoders.registry import Encoder, build_encoder
from avkd.stages.losses.embedding import cosine_distance, l2_of_probabilities
from avkd.stages.losses.kl import SparseTargets, dense_kl, torch7_weight
from avkd.stages.losses.steps import sum_real_steps
from avkd.stages.methods.batch import Batch, LearningShape, StudentOutput, TargetShape
from avkd.stages.methods.registry import build_method, method_names

SHAPES = {
    "objects": TargetShape(num_steps=4, num_classes=10, embedding_size=6),
    "scenes": TargetShape(num_steps=4, num_classes=4),
}


def make_batch(num_steps: tuple[int, ...] = (4, 2)) -> Batch:
    generator = torch.Generator().manual_seed(1)
    clips = len(num_steps)

    def draw(*shape: int) -> Tensor:
        return torch.randn(clips, *shape, generator=generator)

    return Batch(
        clip_ids=tuple(map(str, range(clips))),
        inputs={"waveform": draw(1, 80)},
        num_steps=torch.tensor(num_steps),
        targets={"objects": 2 * draw(4, 10), "scenes": 2 * draw(4, 4)},
        embeddings={"objects": draw(4, 6)},
    )


class Said(nn.Module):
    """A student that says the same of every batch."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.logits = nn.Parameter(torch.randn(2, 4, 10, generator=generator))
        self.embeddings = nn.Parameter(torch.randn(2, 4, 6, generator=generator))

    def forward(self, *_: object) -> StudentOutput:
        return StudentOutput({"objects": self.logits}, {"objects": self.embeddings})


def keep_all(logits: Tensor) -> SparseTargets:
    lse = logits.logsumexp(-1, keepdim=True)
    values, ids = (logits - lse).topk(logits.shape[-1], dim=-1)
    return SparseTargets(values=values, ids=ids, log_sum_exp=lse, temperatures=(1.0,))


def test_both_methods_are_registered() -> None:
    assert {"soundnet", "classification"} <= set(method_names())
    with pytest.raises(UnknownNameError, match="method"):
        build_method("soundnett")


def test_loss_is_the_sum_over_teachers_and_real_steps(encoder: Encoder) -> None:
    method, batch = build_method("soundnet", tile=False), make_batch()
    student = method.build_student(encoder, LearningShape(targets=SHAPES))
    logits = student(batch.waveform, 4).logits
    expected = {
        f"kl/{name}": sum_real_steps(dense_kl(logits[name], target), batch.num_steps)
        for name, target in batch.targets.items()
    }
    loss = method.loss(student, batch)
    torch.testing.assert_close(dict(loss.parts), {k: v.detach() for k, v in expected.items()})
    torch.testing.assert_close(loss.total, sum(expected.values()))
    assert loss.total.requires_grad
    assert not any(part.requires_grad for part in loss.parts.values())


def test_masked_targets_do_not_matter_without_tiling(encoder: Encoder) -> None:
    method, batch = build_method("soundnet", tile=False), make_batch()
    student = method.build_student(encoder, LearningShape(targets=SHAPES))
    before = method.loss(student, batch).total
    for target in batch.targets.values():
        assert isinstance(target, Tensor)
        target[1, 2:] = torch.nan
    torch.testing.assert_close(method.loss(student, batch).total, before)


@pytest.mark.parametrize("distance", ["kl", "l2"])
@pytest.mark.parametrize("garbage", [torch.nan, torch.inf])
def test_garbage_in_masked_steps_changes_neither_loss_nor_gradient(
    distance: str, garbage: float
) -> None:
    method = build_method("soundnet", distance=distance, embedding_weight=0.5, tile=False)
    student, batch = Said(), make_batch()

    def loss_and_gradients() -> tuple[Tensor, ...]:
        total = method.loss(student, batch).total
        return total, *torch.autograd.grad(total, tuple(student.parameters()))

    clean = loss_and_gradients()
    with torch.no_grad():
        for each in (*student.parameters(), batch.targets["objects"], batch.embeddings["objects"]):
            assert isinstance(each, Tensor)
            each[1, 2:] = garbage
    torch.testing.assert_close(loss_and_gradients(), clean, atol=0, rtol=0)


def test_tiling_hears_the_real_steps_only(encoder: Encoder) -> None:
    method, batch = build_method("soundnet"), make_batch((2, 2))
    student = method.build_student(encoder, LearningShape(targets=SHAPES))
    before = method.loss(student, batch).total
    batch.waveform[..., 40:] = 9.0
    torch.testing.assert_close(method.loss(student, batch).total, before)
    half = build_method("soundnet", tile=False).loss(student, batch).total
    # Two steps repeated count twice; this encoder hears no further than one step.
    torch.testing.assert_close(before, 2 * half)


def test_weights_multiply_each_teacher(encoder: Encoder) -> None:
    batch = make_batch()
    plain = build_method("soundnet")
    student = plain.build_student(encoder, LearningShape(targets=SHAPES))
    parts = plain.loss(student, batch).parts
    weighted = build_method("soundnet", teacher_weights={"scenes": 3.0})
    expected = parts["kl/objects"] + 3 * parts["kl/scenes"]
    torch.testing.assert_close(weighted.loss(student, batch).total.detach(), expected)
    torch7 = build_method("soundnet", weighting="torch7")
    expected = torch7_weight(10) * parts["kl/objects"] + torch7_weight(4) * parts["kl/scenes"]
    torch.testing.assert_close(torch7.loss(student, batch).total.detach(), expected)


def test_l2_is_between_probabilities(encoder: Encoder) -> None:
    method, batch = build_method("soundnet", distance="l2", tile=False), make_batch()
    student = method.build_student(encoder, LearningShape(targets=SHAPES))
    logits = student(batch.waveform, 4).logits["scenes"]
    target = batch.targets["scenes"]
    assert isinstance(target, Tensor)
    expected = sum_real_steps(l2_of_probabilities(logits, target), batch.num_steps)
    torch.testing.assert_close(method.loss(student, batch).parts["l2/scenes"], expected.detach())


def test_sparse_targets_with_every_class_give_the_dense_loss(encoder: Encoder) -> None:
    method, batch = build_method("soundnet"), make_batch()
    student = method.build_student(encoder, LearningShape(targets=SHAPES))
    dense: dict[str, Tensor] = {k: v for k, v in batch.targets.items() if isinstance(v, Tensor)}
    sparse = Batch(
        clip_ids=batch.clip_ids,
        inputs=batch.inputs,
        num_steps=batch.num_steps,
        targets={name: keep_all(target) for name, target in dense.items()},
    )
    torch.testing.assert_close(
        method.loss(student, sparse).total, method.loss(student, batch).total
    )
    with pytest.raises(InvalidValueError, match="'l2' needs all logits"):
        build_method("soundnet", distance="l2").loss(student, sparse)


def test_embeddings_add_a_cosine_and_train_a_projector(encoder: Encoder) -> None:
    method, batch = build_method("soundnet", embedding_weight=0.5, tile=False), make_batch()
    student = method.build_student(encoder, LearningShape(targets=SHAPES))
    loss = method.loss(student, batch)
    output = student(batch.waveform, 4).embeddings["objects"]
    distance = cosine_distance(output, batch.embeddings["objects"])
    expected = sum_real_steps(distance, batch.num_steps)
    torch.testing.assert_close(loss.parts["cosine/objects"], expected.detach())
    kl = loss.parts["kl/objects"] + loss.parts["kl/scenes"]
    torch.testing.assert_close(loss.total.detach(), kl + 0.5 * expected.detach())
    loss.total.backward()
    assert all(parameter.grad is not None for parameter in student.parameters())


def test_without_the_cosine_no_projector_is_built(encoder: Encoder) -> None:
    student = build_method("soundnet").build_student(encoder, LearningShape(targets=SHAPES))
    assert not any("projector" in name for name in student.state_dict())


@pytest.mark.parametrize(
    ("options", "shapes", "message"),
    [
        ({}, {}, "stored no logits"),
        ({}, {"t": TargetShape(num_steps=4, num_classes=0)}, r"teachers \(t\) stored no logits"),
        ({"embedding_weight": 1.0}, {"scenes": SHAPES["scenes"]}, "no teacher stored embeddings"),
        ({"teacher_weights": {"sounds": 1.0}}, SHAPES, "name sounds; the teachers are objects"),
    ],
)
def test_students_that_the_store_cannot_teach_are_refused(
    encoder: Encoder,
    options: dict[str, object],
    shapes: Mapping[str, TargetShape],
    message: str,
) -> None:
    method = build_method("soundnet", **options)
    with pytest.raises(InvalidValueError, match=message):
        method.build_student(encoder, LearningShape(targets=shapes))


WHOLE = TargetShape(num_steps=0, num_classes=10)
GIST = TargetShape(num_steps=0, num_classes=0, embedding_size=6)


@pytest.mark.parametrize(
    ("options", "shapes"),
    [({}, {**SHAPES, "av": WHOLE}), ({"embedding_weight": 1.0}, {**SHAPES, "av": GIST})],
)
def test_a_teacher_of_whole_clips_is_refused_where_its_word_is_learned(
    encoder: Encoder, options: dict[str, float], shapes: Mapping[str, TargetShape]
) -> None:
    method = build_method("soundnet", **options)
    with pytest.raises(InvalidValueError, match=r"'av' speaks of a clip as a whole.*--teacher"):
        method.build_student(encoder, LearningShape(targets=shapes))


def test_a_teacher_of_whole_clips_may_stand_beside_those_that_are_learned_from(
    encoder: Encoder,
) -> None:
    learning = LearningShape(targets={**SHAPES, "av": GIST})
    student = build_method("soundnet").build_student(encoder, learning)
    assert set(build_method("soundnet").needs(student).logits_of) == set(SHAPES)


@pytest.mark.parametrize(
    "options", [{"distance": "l1"}, {"weighting": "torch"}, {"temperature": 0.0}, {"loss": "kl"}]
)
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InvalidValueError):
        build_method("soundnet", **options)


def test_a_narrow_soundnet_learns_what_the_teachers_say() -> None:
    torch.manual_seed(0)
    encoder = build_encoder("soundnet8", width=0.25, head_kernel=4)
    method = build_method("soundnet")
    targets = {"t": TargetShape(num_steps=1, num_classes=3)}
    student = method.build_student(encoder, LearningShape(targets=targets))
    seconds = torch.arange(encoder.min_samples) / encoder.sample_rate
    tones = torch.stack([torch.sin(2 * torch.pi * hertz * seconds) for hertz in (200, 900, 4000)])
    batch = Batch(
        clip_ids=("a", "b", "c"),
        inputs={"waveform": 0.1 * tones[:, None]},
        num_steps=torch.ones(3, dtype=torch.int64),
        targets={"t": 4 * torch.eye(3)[:, None]},
    )
    optimiser = torch.optim.Adam(student.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        loss = method.loss(student, batch).total
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
