import pytest
import torch
from torch import nn

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.encoders.streams import InputShape, StreamEncoder, build_stream_encoder
from avkd.stages.methods.clip_student import ClipStudent
from avkd.stages.methods.heads import CosineHead, LateHead, build_head

SHAPES = {"alpha": InputShape(shape=(2,)), "lite": InputShape(shape=(3, 6))}
EMBEDDING = torch.randn(4, 12, generator=torch.Generator().manual_seed(0))


def fused(kind: str = "late") -> StreamEncoder:
    return build_stream_encoder(
        "fusion",
        SHAPES,
        streams={"alpha": "vectors", "lite": "stored"},
        kind=kind,
        options={"alpha.hidden_size": 5, "lite.hidden_size": 7},
        embedding_size=12,
    )


def test_linear_is_one_layer_and_draws_as_one() -> None:
    torch.manual_seed(2)
    expected = nn.Linear(12, 3)
    encoder = fused()
    torch.manual_seed(2)
    head = build_head("linear", encoder, 3)
    assert torch.equal(head(EMBEDDING), expected(EMBEDDING))


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_normalised_embeddings_lose_their_length(kind: str) -> None:
    head = build_head(kind, fused(), 3, normalise=True)
    torch.testing.assert_close(head(EMBEDDING), head(7 * EMBEDDING))
    plain = build_head(kind, fused(), 3)
    assert not torch.allclose(plain(EMBEDDING), plain(7 * EMBEDDING))


@pytest.mark.parametrize("normalise", [False, True])
def test_late_logits_are_the_mean_of_what_each_stream_votes(normalise: bool) -> None:
    head = build_head("late", fused(), 3, normalise=normalise)
    assert isinstance(head, LateHead)
    votes = head.votes(EMBEDDING)
    assert list(votes) == ["alpha", "lite"]
    torch.testing.assert_close(head(EMBEDDING), (votes["alpha"] + votes["lite"]) / 2)
    other = EMBEDDING.clone()
    other[:, 5:] = 0
    assert torch.equal(head.votes(other)["alpha"], votes["alpha"])
    assert not torch.equal(head.votes(other)["lite"], votes["lite"])


def test_a_clip_student_tells_the_votes_of_a_late_head_only() -> None:
    inputs, num_steps = {"alpha": torch.randn(4, 2), "lite": torch.randn(4, 3, 6)}, torch.ones(4)
    late = ClipStudent(fused(), build_head("late", fused(), 3)).eval()
    said = late(inputs, num_steps.long())
    torch.testing.assert_close(said.logits, torch.stack([*said.stream_logits.values()]).mean(0))
    joined = ClipStudent(fused(), build_head("mlp", fused(), 3)).eval()
    assert joined(inputs, num_steps.long()).stream_logits == {}


def test_cosine_logits_are_scaled_angles() -> None:
    head = build_head("cosine", fused(), 3, scale=30.0)
    assert isinstance(head, CosineHead)
    with torch.no_grad():
        head.weight.copy_(5 * torch.eye(3, 12))
    embedding = torch.zeros(2, 12)
    embedding[0, 0], embedding[1, 1], embedding[1, 2] = 2.0, 3.0, -3.0
    half = 0.5**0.5
    expected = torch.tensor([[1.0, 0.0, 0.0], [0.0, half, -half]])
    torch.testing.assert_close(head.cosines(embedding), expected)
    torch.testing.assert_close(head(embedding), 30 * expected)
    assert head.scale == 30


def test_cosines_stay_exact_in_half_precision() -> None:
    head = build_head("cosine", fused(), 3)
    assert isinstance(head, CosineHead)
    with torch.autocast("cpu", torch.bfloat16):
        assert head(EMBEDDING).dtype == torch.float32
        assert torch.equal(head(EMBEDDING), 32 * head.cosines(EMBEDDING))


@pytest.mark.parametrize("kind", ["linear", "late", "cosine", "mlp"])
def test_gradients_reach_weights_and_embeddings(kind: str) -> None:
    head = build_head(kind, fused(), 3)
    embedding = EMBEDDING.clone().requires_grad_()
    (head(embedding) * torch.randn(4, 3)).sum().backward()
    assert head(embedding).shape == (4, 3)
    for tensor in (embedding, *head.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
        assert tensor.grad.abs().max() > 0


def test_late_needs_parts() -> None:
    with pytest.raises(InvalidValueError, match="head 'late' needs an embedding in parts"):
        build_head("late", fused("gated"), 3)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("linear", {"scale": 3.0}, "head 'linear' takes no option 'scale'; it takes: normalise"),
        ("cosine", {"scale": 0.0}, "scale 0 must be above 0"),
        ("mlp", {"hidden_size": 0}, "hidden_size 0"),
        ("mlp", {"dropout": 1.0}, "dropout 1"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    kind: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidValueError, match=message):
        build_head(kind, fused(), 3, **options)


def test_unknown_heads_and_no_classes_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown head 'cosin'; did you mean cosine"):
        build_head("cosin", fused(), 3)
    with pytest.raises(InvalidValueError, match="num_classes 0"):
        build_head("linear", fused(), 0)
