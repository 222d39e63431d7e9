"""The losses on logits that are given, whose gradients are known in closed form."""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.encoders.registry import Encoder
from avkd.stages.encoders.streams import InputShape, StreamEncoder, build_stream_encoder
from avkd.stages.losses.kl import SparseTargets
from avkd.stages.methods.batch import Batch, LearningShape, LossParts, TargetShape
from avkd.stages.methods.clip_student import Prediction, deployed_student
from avkd.stages.methods.mutual_pair import MutualPair, PairPrediction
from avkd.stages.methods.registry import Method, build_method

SWITCHES = ("both", "to_student", "to_teacher", "off")
WEIGHTS = {"a1": 0.5, "a2": 2.0, "b1": 3.0, "b2": 0.25}
LOGITS = {
    "student": [[0.0, 1.0, -2.0], [0.3, -0.4, 0.0]],
    "audio": [[1.5, 0.5, -1.0], [0.0, 0.2, -3.0]],
    "visual": [[-0.5, 2.0, 0.1], [1.0, 1.0, -1.0]],
    "fused": [[2.0, -1.0, 0.4], [-0.7, 0.0, 0.9]],
}
TAGS = [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
CLASSES = [2, 0]


class Said(nn.Module):
    """Logits that are parameters, so that each network's gradient can be looked at."""

    def __init__(self, logits: Mapping[str, list[list[float]]] = LOGITS) -> None:
        super().__init__()
        for name, values in logits.items():
            self.register_parameter(name, nn.Parameter(torch.tensor(values, dtype=torch.float64)))

    def forward(self, inputs: object, num_steps: object) -> PairPrediction:
        said = dict(self.named_parameters())
        student = teacher = None
        if "student" in said:
            student = Prediction(said["student"], torch.empty(0), {})
        if "fused" in said:
            votes = {"waveform": said["audio"], "pictures": said["visual"]}
            teacher = Prediction(said["fused"], torch.empty(0), votes)
        return PairPrediction(student, teacher)


def only(*names: str) -> dict[str, list[list[float]]]:
    return {name: LOGITS[name] for name in names}


def make_batch(labels: object = TAGS, **targets: list[list[float]] | SparseTargets) -> Batch:
    return Batch(
        clip_ids=("one", "two"),
        inputs={},
        num_steps=torch.ones(2, dtype=torch.int64),
        labels=torch.tensor(labels),
        targets={
            name: target if isinstance(target, SparseTargets) else torch.tensor(target)
            for name, target in targets.items()
        },
    )


def gradients(method: Method, said: Said, batch: Batch) -> dict[str, Tensor]:
    """Of the batch's total loss, times the number of clips."""
    method.loss(said, batch).total.backward()
    return {
        name: torch.zeros_like(each) if each.grad is None else each.grad * len(each)
        for name, each in said.named_parameters()
    }


def expected_gradients(
    single: str, cross: str, pair: str, *, mutual: bool, label_kind: str
) -> dict[str, Tensor]:
    """Every supervised term pulls to the label, every transfer to the other side's probability."""
    law = torch.sigmoid if label_kind == "classes" else lambda each: each.softmax(dim=-1)
    p = {name: law(torch.tensor(values, dtype=torch.float64)) for name, values in LOGITS.items()}
    truth = torch.tensor(TAGS) if label_kind == "classes" else torch.eye(3)[CLASSES]
    pull = {name: each - truth for name, each in p.items()}
    if single in ("both", "to_student"):
        pull["student"] = pull["student"] + WEIGHTS["b1"] * (p["student"] - p["audio"])
    if cross in ("both", "to_student"):
        pull["student"] = pull["student"] + WEIGHTS["b2"] * (p["student"] - p[pair])
    if single in ("both", "to_teacher") and mutual:
        pull["audio"] = pull["audio"] + WEIGHTS["a1"] * (p["audio"] - p["student"])
    if cross in ("both", "to_teacher") and mutual:
        pull[pair] = pull[pair] + WEIGHTS["a2"] * (p[pair] - p["student"])
    return pull


def test_divergences_have_the_values_computed_by_hand() -> None:
    half, three_quarters = [[0.0]], [[float(torch.tensor(3.0).log())]]
    said = Said({"student": half, "audio": three_quarters, "visual": half, "fused": three_quarters})
    batch = Batch(
        clip_ids=("one",),
        inputs={},
        num_steps=torch.ones(1, dtype=torch.int64),
        labels=torch.tensor([[1.0]]),
    )
    loss = build_method("mutual", b1=2.0).loss(said, batch)
    to_student = 0.75 * torch.tensor(1.5).log() + 0.25 * torch.tensor(0.5).log()
    to_teacher = 0.5 * torch.tensor(2 / 3).log() + 0.5 * torch.tensor(2.0).log()
    by_hand = {
        "binary_cross_entropy/student": -torch.tensor(0.5).log(),
        "binary_cross_entropy/fused": -torch.tensor(0.75).log(),
        "binary_cross_entropy/audio": -torch.tensor(0.75).log(),
        "binary_cross_entropy/visual": -torch.tensor(0.5).log(),
        "kl/single_to_teacher": to_teacher,
        "kl/cross_to_teacher": to_teacher,
        "kl/single_to_student": to_student,
        "kl/cross_to_student": to_student,
    }
    assert loss.parts.keys() == by_hand.keys()
    for name, value in by_hand.items():
        assert float(loss.parts[name]) == pytest.approx(float(value), abs=1e-6), name
    total = sum(by_hand.values()) + to_student  # b1 counts twice
    assert float(loss.total.detach()) == pytest.approx(float(total), abs=1e-6)
    assert not any(part.requires_grad for part in loss.parts.values())


@pytest.mark.parametrize("label_kind", ["classes", "class"])
@pytest.mark.parametrize("pair", ["fused", "visual"])
@pytest.mark.parametrize("mutual", [True, False])
def test_every_switch_takes_away_its_own_gradient_and_no_other(
    label_kind: str, pair: str, mutual: bool
) -> None:
    for single, cross in itertools.product(SWITCHES, SWITCHES):
        method = build_method(
            "mutual",
            label_kind=label_kind,
            single_modal=single,
            cross_modal=cross,
            cross_pair=pair,
            mutual=mutual,
            **WEIGHTS,
        )
        labels = TAGS if label_kind == "classes" else CLASSES
        found = gradients(method, Said(), make_batch(labels))
        expected = expected_gradients(single, cross, pair, mutual=mutual, label_kind=label_kind)
        for name, gradient in found.items():
            torch.testing.assert_close(
                gradient, expected[name].double(), msg=f"{name}, {single}, {cross}"
            )


def test_a_temperature_softens_both_sides_and_keeps_the_size_of_gradients() -> None:
    options = {"single_modal": "to_student", "cross_modal": "off", "temperature": 4.0}
    with_transfer = gradients(build_method("mutual", **options), Said(), make_batch())
    without = gradients(
        build_method("mutual", single_modal="off", cross_modal="off"), Said(), make_batch()
    )
    student, audio = (torch.tensor(LOGITS[name]).double() for name in ("student", "audio"))
    expected = 4.0 * ((student / 4).sigmoid() - (audio / 4).sigmoid())
    torch.testing.assert_close(with_transfer["student"] - without["student"], expected)


def test_the_weight_of_votes_is_that_of_the_branches_labels() -> None:
    method = build_method("mutual", single_modal="off", cross_modal="off", vote_weight=0.5)
    found = gradients(method, Said(), make_batch())
    for name, weight in {"student": 1.0, "fused": 1.0, "audio": 0.5, "visual": 0.5}.items():
        pull = torch.tensor(LOGITS[name]).double().sigmoid() - torch.tensor(TAGS)
        torch.testing.assert_close(found[name], weight * pull)


@pytest.mark.parametrize(
    ("label_kind", "labels", "masked"),
    [("classes", TAGS, [TAGS[0], [-1.0] * 3]), ("class", CLASSES, [CLASSES[0], -1])],
)
def test_rows_without_labels_count_in_the_transfers_only(
    label_kind: str, labels: list[Any], masked: list[Any]
) -> None:
    method = build_method("mutual", label_kind=label_kind)
    whole, part = (method.loss(Said(), make_batch(each)) for each in (labels, masked))
    law = torch.sigmoid if label_kind == "classes" else lambda each: each.softmax(dim=-1)
    for name, value in part.parts.items():
        if name.startswith("kl/"):
            assert torch.equal(value, whole.parts[name])
        else:
            probability = law(torch.tensor(LOGITS[name.partition("/")[2]][0]).double())
            if label_kind == "class":
                alone = -probability[CLASSES[0]].log()
            else:
                truth = torch.tensor(TAGS[0])
                alone = -(truth * probability + (1 - truth) * (1 - probability)).log().sum()
            torch.testing.assert_close(value, alone)
    none = [[-1.0] * 3] * 2 if label_kind == "classes" else [-1, -1]
    said = Said()
    unlabelled = method.loss(said, make_batch(none))
    assert all(unlabelled.parts[n] == 0 for n in unlabelled.parts if not n.startswith("kl/"))
    assert float(unlabelled.total.detach()) > 0
    unlabelled.total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in said.parameters())


def one_way(learner: str, **options: object) -> Method:
    names = {"teacher": "whole", "audio_teacher": "ears"}
    return build_method("mutual", form="one_way", learner=learner, **{**names, **options})


def test_one_way_gives_the_student_the_gradients_of_the_joint_form() -> None:
    batch = make_batch(whole=LOGITS["fused"], ears=LOGITS["audio"])
    found = gradients(one_way("student", **WEIGHTS), Said(only("student")), batch)
    joint = expected_gradients("both", "both", "fused", mutual=True, label_kind="classes")
    torch.testing.assert_close(found["student"], joint["student"], atol=1e-6, rtol=1e-6)


def test_one_way_in_the_other_direction_gives_the_teacher_its_own() -> None:
    method = one_way("teacher", teacher="old", audio_teacher="old", **WEIGHTS)
    said = Said(only("audio", "visual", "fused"))
    found = gradients(method, said, make_batch(old=LOGITS["student"]))
    joint = expected_gradients("both", "both", "fused", mutual=True, label_kind="classes")
    for name in ("audio", "visual", "fused"):
        torch.testing.assert_close(found[name], joint[name], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ("ears", "whole")),
        ({"single_modal": "off"}, ("whole",)),
        ({"cross_modal": "to_teacher"}, ("ears",)),
        ({"audio_teacher": ""}, ("whole",)),
        ({"teacher": "ears"}, ("ears",)),
        ({"teacher": "", "audio_teacher": ""}, ()),
    ],
)
def test_only_targets_of_terms_in_force_are_read(
    options: dict[str, object], names: tuple[str, ...]
) -> None:
    shape = TargetShape(num_steps=0, num_classes=3)
    learning = make_learning({"ears": shape, "whole": shape})
    method = one_way("student", **options)
    student = method.build_student(make_encoder(), learning)
    needs = method.needs(student)
    assert needs.logits_of == names
    assert needs.inputs == ("alpha",)
    assert needs.labels == "classes"
    assert needs.takes_unlabelled == bool(names)


@pytest.mark.parametrize(
    ("options", "are_taken"),
    [
        ({}, True),
        ({"single_modal": "off"}, True),
        ({"single_modal": "to_teacher", "cross_modal": "to_teacher"}, True),
        ({"single_modal": "to_teacher", "cross_modal": "to_teacher", "mutual": False}, False),
        ({"single_modal": "off", "cross_modal": "off"}, False),
        ({"a1": 0.0, "a2": 0.0, "b1": 0.0, "b2": 0.0}, False),
    ],
)
def test_rows_without_labels_are_taken_where_a_transfer_learns_from_them(
    options: dict[str, Any], are_taken: bool
) -> None:
    method = build_method("mutual", visual="beta", **options)
    student = method.build_student(make_encoder(), make_learning())
    assert method.needs(student).takes_unlabelled is are_taken


def test_sparse_targets_of_all_classes_are_the_dense_ones_where_classes_exclude_each_other() -> (
    None
):
    dense = torch.tensor(LOGITS["fused"])
    total = dense.logsumexp(-1, keepdim=True)
    values, ids = (dense - total).topk(3, dim=-1)
    sparse = SparseTargets(values=values, ids=ids, log_sum_exp=total, temperatures=(1.0,))
    method = one_way("student", label_kind="class", audio_teacher="")
    said = Said(only("student"))
    few = method.loss(said, make_batch(CLASSES, whole=sparse)).total
    all_of_them = method.loss(said, make_batch(CLASSES, whole=LOGITS["fused"])).total
    torch.testing.assert_close(few.float(), all_of_them.float())
    with pytest.raises(InvalidValueError, match="needs the logits of all classes"):
        one_way("student", audio_teacher="").loss(said, make_batch(whole=sparse))


SHAPES = {"alpha": InputShape(shape=(2,)), "beta": InputShape(shape=(3,))}


def make_encoder(**options: object) -> StreamEncoder:
    return build_stream_encoder("vectors", SHAPES, hidden_size=4, **options)


def make_learning(targets: Mapping[str, TargetShape] | None = None) -> LearningShape:
    return LearningShape(inputs=SHAPES, targets=targets or {}, class_names=("x", "y", "z"))


def drawn_batch() -> Batch:
    generator = torch.Generator().manual_seed(3)
    return Batch(
        clip_ids=tuple("abcdef"),
        inputs={
            "alpha": torch.randn(6, 2, generator=generator),
            "beta": torch.randn(6, 3, generator=generator),
        },
        num_steps=torch.ones(6, dtype=torch.int64),
        labels=(torch.rand(6, 3, generator=generator) < 0.5).float(),
    )


def train(
    name: str, batch: Batch, *, num_updates: int = 12, noise: float = 0.5, **options: object
) -> tuple[nn.Module, list[LossParts]]:
    """Some updates as the training loop does them: fresh random numbers for each."""
    torch.manual_seed(7)
    method = build_method(name, **options)
    module = method.build_student(
        make_encoder(input_noise=noise, dropout=0.3 * noise), make_learning()
    ).train()
    optimiser = torch.optim.AdamW(module.parameters(), lr=0.05, weight_decay=0.1)
    losses = []
    for update in range(num_updates):
        torch.manual_seed(update)
        losses.append(method.loss(module, batch))
        losses[-1].total.backward()
        optimiser.step()
        optimiser.zero_grad()
    return module, losses


OFF = {"single_modal": "off", "cross_modal": "off"}
PAIR = {"visual": "beta", "visual_options": {"hidden_size": 4}, "fusion_size": 5}


def test_with_all_transfer_off_the_student_is_a_supervised_one_bit_for_bit() -> None:
    batch = drawn_batch()
    pair, losses = train("mutual", batch, **OFF, **PAIR)
    alone, alone_losses = train("supervised", batch, task="classes")
    for together, single in zip(losses, alone_losses, strict=True):
        part = together.parts["binary_cross_entropy/student"]
        assert torch.equal(part, single.parts["binary_cross_entropy"])
    expected = alone.state_dict()
    found = deployed_student(pair).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


def test_a_transfer_changes_the_side_that_it_goes_to_and_leaves_the_other_bit_for_bit() -> None:
    batch = drawn_batch()
    base, _ = train("mutual", batch, **OFF, **PAIR)
    assert isinstance(base, MutualPair)
    for kind in OFF:
        for direction, changed in {"to_student": "student", "to_teacher": "teacher"}.items():
            pair, _ = train("mutual", batch, **{**OFF, kind: direction}, **PAIR)
            assert isinstance(pair, MutualPair)
            for name in ("student", "teacher"):
                here, there = (getattr(each, name).state_dict() for each in (pair, base))
                same = all(torch.equal(here[key], there[key]) for key in here)
                assert same == (name != changed), (kind, direction, name)


def test_both_networks_learn_the_labels_of_a_batch() -> None:
    _, losses = train("mutual", drawn_batch(), num_updates=100, noise=0.0, **PAIR)
    for who in ("student", "fused", "audio", "visual"):
        first, last = (float(each.parts[f"binary_cross_entropy/{who}"]) for each in losses[::99])
        assert last < 0.7 * first, who


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_kind": "tags"}, "label_kind 'tags'"),
        ({"form": "rounds"}, "form 'rounds'"),
        ({"learner": "both"}, "learner 'both'"),
        ({"single_modal": "on"}, "single_modal 'on'"),
        ({"cross_modal": "mutual"}, "cross_modal 'mutual'"),
        ({"cross_pair": "audio"}, "cross_pair 'audio'"),
        ({"fusion": "early"}, "fusion 'early'"),
        ({"deploy": "pair"}, "deploy 'pair'"),
        ({"temperature": 0.0}, "temperature 0 must be above 0"),
        ({"b2": -1.0}, "weight of cross_to_student -1"),
        ({"vote_weight": 0.0}, "without labels, but single_to_student"),
        ({"vote_weight": 0.0, "single_modal": "off", "cross_pair": "visual"}, "cross_to_student"),
        ({"teacher": "av"}, "reads no targets of av"),
        ({"teacher_audio_options": {"hidden_size": 3}}, "name teacher_audio"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        build_method("mutual", **options)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (TargetShape(num_steps=0, num_classes=5), "'whole' knows 5 classes but there are 3"),
        (TargetShape(num_steps=4, num_classes=3), "'whole' stored logits for 4 steps"),
        (
            TargetShape(num_steps=0, num_classes=3, class_names=("x", "z", "y")),
            r"class 1 of teacher 'whole' is 'z' but the label is 'y'; .* data\.classes",
        ),
        (None, "unknown teacher of the store 'whole'"),
    ],
)
def test_stored_targets_that_are_not_of_the_labels_are_refused(
    shape: TargetShape | None, message: str
) -> None:
    targets = {} if shape is None else {"whole": shape}
    method = one_way("student", audio_teacher="")
    with pytest.raises(UnknownNameError if shape is None else InvalidValueError, match=message):
        method.build_student(make_encoder(), make_learning(targets))


def test_what_the_method_cannot_be_built_on_is_refused(encoder: Encoder) -> None:
    method = build_method("mutual", visual="beta")
    with pytest.raises(InvalidValueError, match=r"encoder\.name=sound"):
        method.build_student(encoder, make_learning())
    both = build_stream_encoder("vectors", SHAPES, streams=("alpha", "beta"))
    with pytest.raises(InvalidValueError, match="takes one stream, not alpha, beta"):
        method.build_student(both, make_learning())
    with pytest.raises(InvalidValueError, match=r"name data\.label_column"):
        method.build_student(make_encoder(), LearningShape(inputs=SHAPES))
    with pytest.raises(InvalidValueError, match="no input 'efficientnet_lite0'"):
        build_method("mutual").build_student(make_encoder(), make_learning())
    with pytest.raises(InvalidValueError, match="mutual needs labels"):
        method.loss(Said(), Batch(clip_ids=(), inputs={}, num_steps=torch.ones(1)))
