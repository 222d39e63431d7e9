from typing import Any

import pytest
import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.encoders.registry import Encoder
from avkd.stages.encoders.streams import InputShape, build_stream_encoder
from avkd.stages.losses.kl import SparseTargets
from avkd.stages.methods.batch import Batch, LearningShape, LossParts, TargetShape
from avkd.stages.methods.mke import TaughtStudent
from avkd.stages.methods.registry import build_method

SHAPES = {"alpha": InputShape(shape=(1,)), "beta": InputShape(shape=(1,))}
TEACHER = TargetShape(num_steps=0, num_classes=2)
NUM_CLIPS = 8


def build(method: dict[str, Any], teachers: tuple[str, ...] = ("seer",)) -> TaughtStudent:
    torch.manual_seed(0)
    encoder = build_stream_encoder("vectors", SHAPES, streams=("alpha", "beta"), hidden_size=8)
    learning = LearningShape(targets=dict.fromkeys(teachers, TEACHER), inputs=SHAPES)
    student = build_method("mke", **method).build_student(encoder, learning)
    assert isinstance(student, TaughtStudent)
    return student


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(
        clip_ids=tuple("abcdefgh"),
        inputs={name: torch.randn(NUM_CLIPS, 1, generator=generator) for name in SHAPES},
        num_steps=torch.ones(NUM_CLIPS, dtype=torch.int64),
        targets={"seer": torch.randn(NUM_CLIPS, 2, generator=generator)},
    )


def learn(batch: Batch, **method: Any) -> tuple[LossParts, Tensor, Tensor]:
    """The loss, with what the student and the teacher say."""
    student = build(method)
    loss = build_method("mke", **method).loss(student, batch)
    teacher = batch.targets["seer"]
    assert isinstance(teacher, Tensor)
    return loss, student(batch.inputs, batch.num_steps).logits, teacher


def test_hard_targets_are_the_teachers_classes(batch: Batch) -> None:
    loss, logits, teacher = learn(batch)
    expected = nn.functional.cross_entropy(logits, teacher.argmax(dim=1))
    assert loss.total.item() == pytest.approx(expected.item())
    assert set(loss.parts) == {"cross_entropy", "agreement"}
    agreement = (logits.argmax(dim=1) == teacher.argmax(dim=1)).float().mean()
    assert loss.parts["agreement"] == agreement


def test_soft_targets_are_its_softmax_at_the_temperature(batch: Batch) -> None:
    loss, logits, teacher = learn(batch, targets="soft", temperature=2.0)
    shares = (teacher / 2).softmax(dim=1)
    gap = (shares * (shares.log() - (logits / 2).log_softmax(dim=1))).sum(dim=1)
    assert loss.total.item() == pytest.approx(4 * gap.mean().item(), rel=1e-5)


def test_the_first_version_compares_the_softmax_of_the_student(batch: Batch) -> None:
    loss, logits, teacher = learn(batch, loss_on="probabilities")
    expected = nn.functional.cross_entropy(logits.softmax(dim=1), teacher.argmax(dim=1))
    assert loss.total.item() == pytest.approx(expected.item())


def test_labels_of_the_batch_change_nothing(batch: Batch) -> None:
    student, method = build({}), build_method("mke")
    labelled = Batch(
        clip_ids=batch.clip_ids,
        inputs=batch.inputs,
        num_steps=batch.num_steps,
        targets=batch.targets,
        labels=torch.zeros(NUM_CLIPS, dtype=torch.int64),
    )
    assert torch.equal(method.loss(student, labelled).total, method.loss(student, batch).total)
    assert method.needs(student).labels == "none"


def test_clips_below_the_threshold_are_no_part_of_the_batch(batch: Batch) -> None:
    loss, logits, teacher = learn(batch, threshold="quantile")
    confidence = teacher.softmax(dim=1).amax(dim=1)
    kept = confidence > confidence.median()
    assert kept.sum() == NUM_CLIPS / 2
    expected = nn.functional.cross_entropy(logits[kept], teacher[kept].argmax(dim=1))
    assert loss.total.item() == pytest.approx(expected.item())
    assert loss.parts["kept"] == 0.5


def test_noise_is_scaled_by_the_clips_that_are_kept(batch: Batch) -> None:
    torch.manual_seed(0)
    encoder = build_stream_encoder("vectors", SHAPES, streams=("alpha", "beta"), input_noise=1.0)
    method = build_method("mke", threshold="quantile")
    student = method.build_student(encoder, LearningShape(targets={"seer": TEACHER}, inputs=SHAPES))
    state = torch.get_rng_state()
    loss = method.loss(student, batch)
    teacher = batch.targets["seer"]
    assert isinstance(teacher, Tensor)
    kept = teacher.softmax(dim=1).amax(dim=1) > teacher.softmax(dim=1).amax(dim=1).median()
    torch.set_rng_state(state)
    some = student({name: value[kept] for name, value in batch.inputs.items()}, batch.num_steps)
    expected = nn.functional.cross_entropy(some.logits, teacher[kept].argmax(dim=1))
    assert loss.total.item() == pytest.approx(expected.item())


def test_a_batch_of_which_too_few_are_sure_teaches_nothing(batch: Batch) -> None:
    method = {"threshold": "fixed", "threshold_value": 0.999}
    student = build(method)
    loss = build_method("mke", **method).loss(student, batch)
    loss.total.backward()
    assert loss.total == 0
    assert loss.parts["kept"] == 0
    assert all(p.grad is not None and not p.grad.any() for p in student.parameters())


def test_mixup_weighs_the_targets_as_the_inputs(batch: Batch) -> None:
    method = {"mixup": 1.0}
    student = build(method)
    torch.manual_seed(9)
    loss = build_method("mke", **method).loss(student, batch)
    torch.manual_seed(9)
    drawn = torch.distributions.Beta(1.0, 1.0).sample((NUM_CLIPS,))
    share, partner = torch.maximum(drawn, 1 - drawn), torch.randperm(NUM_CLIPS)
    inputs = {
        name: share[:, None] * value + (1 - share)[:, None] * value[partner]
        for name, value in batch.inputs.items()
    }
    teacher = batch.targets["seer"]
    assert isinstance(teacher, Tensor)
    one_hot = nn.functional.one_hot(teacher.argmax(dim=1), 2).float()
    mixed = share[:, None] * one_hot + (1 - share)[:, None] * one_hot[partner]
    expected = nn.functional.cross_entropy(student(inputs, batch.num_steps).logits, mixed)
    assert loss.total.item() == pytest.approx(expected.item(), rel=1e-5)


def test_gamma_pulls_a_disturbed_student_towards_itself_undisturbed(batch: Batch) -> None:
    torch.manual_seed(0)
    encoder = build_stream_encoder("vectors", SHAPES, streams=("alpha", "beta"), input_noise=1.0)
    method = build_method("mke", gamma=0.5)
    learning = LearningShape(targets={"seer": TEACHER}, inputs=SHAPES)
    student = method.build_student(encoder, learning)
    loss = method.loss(student, batch)
    assert student.training
    assert loss.parts["consistency"] > 0
    whole = loss.parts["cross_entropy"] + 0.5 * loss.parts["consistency"]
    assert loss.total.item() == pytest.approx(whole.item())


def test_validation_is_undisturbed_and_of_every_clip(batch: Batch) -> None:
    method = {"threshold": "quantile", "mixup": 1.0, "gamma": 1.0}
    student = build(method).eval()
    loss = build_method("mke", **method).loss(student, batch)
    plain = build_method("mke").loss(student, batch)
    assert torch.equal(loss.total, plain.total)
    assert set(loss.parts) == set(plain.parts)


def test_a_teacher_of_steps_and_a_sparse_one_teach_as_well(batch: Batch) -> None:
    student = build({})
    dense = torch.randn(NUM_CLIPS, 3, 2, generator=torch.Generator().manual_seed(2))
    values, ids = dense.log_softmax(dim=-1).sort(dim=-1, descending=True)
    lse = dense.logsumexp(dim=-1, keepdim=True)
    sparse = SparseTargets(values=values, ids=ids, log_sum_exp=lse, temperatures=(1.0,))
    num_steps = torch.tensor([1, 2, 3, 3, 2, 1, 3, 2])
    for targets in ("hard", "soft"):
        method = build_method("mke", targets=targets)
        losses = [
            method.loss(
                student,
                Batch(
                    clip_ids=batch.clip_ids,
                    inputs=batch.inputs,
                    num_steps=num_steps,
                    targets={"seer": target},
                ),
            ).total.item()
            for target in (dense, sparse)
        ]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize(
    ("teachers", "words"),
    [((), "none stored logits"), (("one", "two"), "one, two stored logits; name it with --teach")],
)
def test_it_learns_from_exactly_one_teacher(teachers: tuple[str, ...], words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        build({}, teachers)


def test_it_reads_the_streams_and_its_teacher() -> None:
    needs = build_method("mke").needs(build({}))
    assert (needs.inputs, needs.logits_of) == (("alpha", "beta"), ("seer",))


def test_a_student_of_another_method_is_refused(encoder: Encoder) -> None:
    with pytest.raises(InvalidValueError, match="does not know its teacher"):
        build_method("mke").needs(nn.Identity())
    with pytest.raises(InvalidValueError, match=r"encoder\.name=sound"):
        build_method("mke").build_student(encoder, LearningShape(targets={"seer": TEACHER}))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"targets": "firm"}, "use hard or soft"),
        ({"threshold": "median"}, "use none or fixed or quantile or flexmatch"),
        ({"threshold_value": 1.5}, "from 0 to 1"),
        ({"temperature": 0.0}, "above 0"),
        ({"mixup": -1.0}, "mixup -1 must be 0 or more"),
        ({"gamma": -1.0}, "gamma -1 must be 0 or more"),
        ({"vote_weight": 1.0}, "only 'late' has a vote"),
        ({"loss_on": "odds"}, "use 'logits' or 'probabilities'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        build_method("mke", **options)


def test_no_threshold_is_also_what_the_word_none_of_an_override_means() -> None:
    assert build_method("mke", threshold=None) == build_method("mke", threshold="none")
