from collections.abc import Mapping

import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.stages.encoders.streams import InputShape, StreamEncoder, build_stream_encoder
from avkd.stages.methods.batch import LearningShape
from avkd.stages.methods.clip_student import deployed_student
from avkd.stages.methods.mutual_pair import (
    FusionHead,
    GatedFusion,
    MutualPair,
    TeacherOptions,
    build_teacher,
    fresh_copy,
)
from avkd.stages.methods.registry import build_method

SHAPES = {
    "alpha": InputShape(shape=(2,)),
    "beta": InputShape(shape=(3,)),
    "eyes": InputShape(shape=(4, 6)),
    "waveform": InputShape(shape=(1, 8_000), sample_rate=22_050),
}
INPUTS = {"alpha": torch.randn(5, 2), "eyes": torch.randn(5, 4, 6)}
NUM_STEPS = torch.tensor([4, 1, 2, 4, 3])


def make_encoder() -> StreamEncoder:
    torch.manual_seed(0)
    return build_stream_encoder("vectors", SHAPES, hidden_size=4)


def make_pair(**options: object) -> MutualPair:
    method = build_method("mutual", **{"visual": "eyes", "fusion_size": 5, **options})
    learning = LearningShape(inputs=SHAPES, class_names=("x", "y", "z"))
    module = method.build_student(make_encoder(), learning)
    assert isinstance(module, MutualPair)
    return module.eval()


def test_the_student_is_deployed_and_hears_alone() -> None:
    pair = make_pair()
    assert deployed_student(pair).streams == ("alpha",)
    assert pair.streams == ("alpha", "eyes")
    said = pair(INPUTS, NUM_STEPS)
    alone = deployed_student(pair)({"alpha": INPUTS["alpha"]}, NUM_STEPS)
    assert torch.equal(said.student.logits, alone.logits)


@pytest.mark.parametrize("fusion", ["mlp", "gated"])
def test_the_teacher_says_something_of_each_stream_and_of_both(fusion: str) -> None:
    pair = make_pair(fusion=fusion)
    teacher = pair.teacher(INPUTS, NUM_STEPS)
    assert tuple(teacher.stream_logits) == ("alpha", "eyes")
    assert teacher.logits.shape == (5, 3)
    parts = torch.autograd.grad(teacher.logits.sum(), list(pair.teacher.encoder.parameters()))
    assert all(part.abs().sum() > 0 for part in parts[:2])
    louder = {**INPUTS, "alpha": INPUTS["alpha"] + 1}
    changed = pair.teacher(louder, NUM_STEPS)
    assert torch.equal(changed.stream_logits["eyes"], teacher.stream_logits["eyes"])
    assert not torch.equal(changed.stream_logits["alpha"], teacher.stream_logits["alpha"])
    assert not torch.equal(changed.logits, teacher.logits)


def test_a_gate_that_is_sure_lets_one_stream_through() -> None:
    fusion = GatedFusion({"ears": 2, "eyes": 3}, num_classes=4, hidden_size=5, dropout=0.0)
    torch.nn.init.zeros_(fusion.gate.weight)
    with torch.no_grad():
        fusion.gate.bias.copy_(torch.tensor([100.0, -100.0]))
    embedding = torch.randn(3, 5)
    expected = fusion.classes(torch.relu(fusion.projections[0](embedding[:, :2])))
    torch.testing.assert_close(fusion(embedding), expected)


@pytest.mark.parametrize("part", ["teacher", "audio", "visual"])
def test_another_part_can_be_deployed_with_the_same_weights(part: str) -> None:
    pair, other = make_pair(), make_pair(deploy=part)
    other.load_state_dict(pair.state_dict())
    teacher = pair.teacher(INPUTS, NUM_STEPS)
    expected = {
        "teacher": teacher.logits,
        "audio": teacher.stream_logits["alpha"],
        "visual": teacher.stream_logits["eyes"],
    }
    deployed = deployed_student(other)
    assert not deployed.training
    assert torch.equal(deployed(INPUTS, NUM_STEPS).logits, expected[part])


@pytest.mark.parametrize(
    ("learner", "deploy", "streams"),
    [("teacher", "", ("alpha", "eyes")), ("teacher", "audio", ("alpha",)), ("student", "", None)],
)
def test_a_form_of_one_network_deploys_that_one(
    learner: str, deploy: str, streams: tuple[str, ...] | None
) -> None:
    pair = make_pair(form="one_way", learner=learner, deploy=deploy)
    assert deployed_student(pair).streams == (streams or ("alpha",))
    said = pair(INPUTS, NUM_STEPS)
    assert (said.student is None) == (learner == "teacher")
    assert (said.teacher is None) == (learner == "student")


@pytest.mark.parametrize(("learner", "deploy"), [("teacher", "student"), ("student", "audio")])
def test_a_network_that_is_not_trained_cannot_be_deployed(learner: str, deploy: str) -> None:
    with pytest.raises(InvalidValueError, match=f"deploy '{deploy}' is of a network"):
        make_pair(form="one_way", learner=learner, deploy=deploy)


def test_a_fresh_copy_has_the_same_law_and_other_weights() -> None:
    torch.manual_seed(0)
    shapes = {"waveform": SHAPES["waveform"]}
    options = {"widths": (4, 8), "num_mels": 24}
    encoder = build_stream_encoder("sound", shapes, body_options=options)
    before = {name: each.clone() for name, each in encoder.state_dict().items()}
    copy = fresh_copy(encoder)
    after = encoder.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    for (name, weight), (_, fresh) in zip(
        encoder.named_parameters(), copy.named_parameters(), strict=True
    ):
        assert torch.equal(weight.flatten().sort().values, fresh.flatten().sort().values), name
        is_constant = bool((weight == weight.flatten()[0]).all())
        assert torch.equal(weight, fresh) == is_constant, name


def test_the_teacher_of_a_pair_is_no_twin_of_the_student() -> None:
    pair = make_pair()
    audio = make_pair(deploy="audio").student.encoder
    student = pair.student.encoder
    assert isinstance(audio, type(student))
    weights = zip(student.parameters(), audio.parameters(), strict=True)
    assert not any(torch.equal(one, other) for one, other in weights)


def test_the_audio_branch_may_be_another_encoder() -> None:
    options = {"teacher_audio": "sound", "teacher_audio_options": {"body_options.widths": (4, 6)}}
    pair = make_pair(**options)
    assert pair.streams == ("alpha", "waveform", "eyes")
    assert pair.teacher.encoder.part_sizes["waveform"] == 6
    head = pair.teacher.head
    assert isinstance(head, FusionHead)
    assert list(head.branches.part_sizes) == ["waveform", "eyes"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"visual": "alpha"}, "audio branch takes alpha and its visual branch alpha"),
        ({"visual": "noses"}, "no input 'noses'"),
        ({"visual": "eyes", "visual_options": {"stream": "beta"}}, "settled by the option visual"),
        (
            {"visual": "eyes", "audio": "vectors", "audio_options": {"streams": ("alpha", "beta")}},
            "audio branch takes alpha, beta",
        ),
        (
            {"visual": "eyes", "audio": "sound", "audio_options": {"body": "x", "body.y": 1}},
            "body is a plain value as well",
        ),
    ],
)
def test_branches_that_do_not_fit_are_refused(options: Mapping[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        build_teacher(make_encoder(), SHAPES, 3, TeacherOptions(**options))
