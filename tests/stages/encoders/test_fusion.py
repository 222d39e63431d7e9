import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.encoders.fusion import (
    ConcatenatedStreams,
    GatedStreams,
    fusion,
    keep_streams,
)
from avkd.stages.encoders.streams import InputShape, StreamEncoder, build_stream_encoder

SHAPES = {
    "alpha": InputShape(shape=(2,)),
    "lite": InputShape(shape=(3, 6)),
    "waveform": InputShape(shape=(1, 22_050), sample_rate=22_050),
}
STREAMS = {"alpha": "vectors", "lite": "stored"}
OPTIONS = {"alpha.hidden_size": 5, "lite.hidden_size": 7, "lite.dropout": 0.0}
NUM_STEPS = torch.tensor([3, 2, 1, 3])


def build(kind: str, **options: object) -> ConcatenatedStreams | GatedStreams:
    torch.manual_seed(0)
    return fusion(SHAPES, STREAMS, kind=kind, **{"options": OPTIONS, **options})  # type: ignore[arg-type]


def inputs() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "alpha": torch.randn(4, 2, generator=generator),
        "lite": torch.randn(4, 3, 6, generator=generator),
    }


@pytest.mark.parametrize("kind", ["early", "late"])
@torch.no_grad()
def test_embeddings_lie_side_by_side_as_the_part_sizes_say(kind: str) -> None:
    encoder = build(kind).eval()
    assert encoder.streams == ("alpha", "lite")
    assert encoder.part_sizes == {"alpha": 5, "lite": 7}
    parts = encoder(inputs(), NUM_STEPS).split([5, 7], dim=1)
    for part, inner in zip(parts, encoder.encoders, strict=True):
        assert torch.equal(part, inner(inputs(), NUM_STEPS))


@torch.no_grad()
def test_gates_weigh_projections_for_each_clip() -> None:
    encoder = build("gated", embedding_size=9).eval()
    assert isinstance(encoder, GatedStreams)
    assert encoder.part_sizes == {}
    weights = encoder.weights(inputs(), NUM_STEPS)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(4))
    assert len(weights.unique()) > 2
    pairs = zip(encoder.encoders, encoder.projections, strict=True)
    alpha, lite = (project(encode(inputs(), NUM_STEPS)) for encode, project in pairs)
    expected = weights[:, :1] * alpha + weights[:, 1:] * lite
    torch.testing.assert_close(encoder(inputs(), NUM_STEPS), expected)


@torch.no_grad()
def test_a_gate_wide_open_lets_one_stream_through() -> None:
    encoder = build("gated").eval()
    assert isinstance(encoder, GatedStreams)
    encoder.gate.weight.zero_()
    encoder.gate.bias.copy_(torch.tensor([0.0, 100.0]))
    lite = encoder.projections[1](encoder.encoders[1](inputs(), NUM_STEPS))
    torch.testing.assert_close(encoder(inputs(), NUM_STEPS), lite)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(2, 4), st.floats(0, 0.99))
def test_a_clip_never_loses_its_last_stream(num_clips: int, num_streams: int, drop: float) -> None:
    kept = keep_streams(num_clips, num_streams, drop)
    assert kept.shape == (num_clips, num_streams)
    assert kept.any(dim=1).all()
    if drop == 0:
        assert kept.all()


def test_streams_are_dropped_as_often_as_asked() -> None:
    torch.manual_seed(0)
    kept = keep_streams(10_000, 3, 0.3).float()
    # Where all three would go, one stays: 0.3 - 0.027 / 3.
    assert 1 - kept.mean().item() == pytest.approx(0.3 - 0.009, abs=0.01)
    assert kept.mean(dim=0).std() < 0.01


def test_dropped_parts_are_zero_while_training_only() -> None:
    encoder = build("late", drop_stream=0.5).train()
    whole = encoder.eval()(inputs(), NUM_STEPS)
    assert (whole != 0).any(dim=1).all()
    torch.manual_seed(3)
    dropped = encoder.train()(inputs(), NUM_STEPS)
    torch.manual_seed(3)
    # The vectors draw their noise, of amount zero, before.
    torch.randn(4, 2)
    torch.randn(4, 5)
    kept = keep_streams(4, 2, 0.5)
    assert not kept.all()
    mask = torch.cat([kept[:, :1].expand(4, 5), kept[:, 1:].expand(4, 7)], dim=1)
    torch.testing.assert_close(dropped, whole * mask)


def test_a_gate_gives_dropped_streams_no_weight() -> None:
    encoder = build("gated", drop_stream=0.9).train()
    assert isinstance(encoder, GatedStreams)
    torch.manual_seed(3)
    found = encoder(inputs(), NUM_STEPS)
    torch.manual_seed(3)
    pairs = zip(encoder.encoders, encoder.projections, strict=True)
    projected = [project(encode(inputs(), NUM_STEPS)) for encode, project in pairs]
    alone = keep_streams(4, 2, 0.9).int()
    for clip in torch.where(alone.sum(dim=1) == 1)[0].tolist():
        expected = projected[int(alone[clip].argmax())][clip]
        torch.testing.assert_close(found[clip], expected)
    assert (alone.sum(dim=1) == 1).any()


@torch.no_grad()
def test_a_fused_stream_is_the_encoder_of_that_name_with_its_options() -> None:
    streams = {"waveform": "sound", "lite": "stored"}
    options = {"waveform.body_options.hop_seconds": 0.03, "waveform.num_masks": 0}
    encoder = fusion(SHAPES, streams, kind="late", options=options)
    inner = encoder.encoders[0]
    assert isinstance(inner, StreamEncoder)
    assert inner.body.frontend.hop_samples == round(0.03 * 22_050)  # type: ignore[union-attr]
    alone = build_stream_encoder("sound", SHAPES, body_options={"hop_seconds": 0.03}, num_masks=0)
    alone.load_state_dict(inner.state_dict())
    waveform = {"waveform": 0.1 * torch.randn(2, 1, 22_050)}
    num_steps = torch.tensor([3, 1])
    assert torch.equal(inner.eval()(waveform, num_steps), alone.eval()(waveform, num_steps))


def test_given_mappings_are_left_as_they_were() -> None:
    body = {"widths": (8, 12)}
    options = {"waveform.body_options": body, "waveform.body_options.hop_seconds": 0.03}
    fusion(SHAPES, {"waveform": "sound", "lite": "stored"}, options=options)
    assert body == {"widths": (8, 12)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "middle"}, "kind 'middle' is not known; use early or late or gated"),
        ({"streams": {"alpha": "vectors"}}, "two streams or more"),
        ({"streams": ("alpha", "lite")}, "two streams or more"),
        ({"embedding_size": 0}, "embedding_size 0"),
        ({"drop_stream": 1.0}, "drop_stream 1"),
        ({"options": {"hidden_size": 3}}, "not of the form alpha.OPTION, lite.OPTION"),
        ({"options": {"beta.hidden_size": 3}}, "not of the form"),
        ({"options": {"alpha.depth": 3}}, "options of stream encoder 'vectors'"),
        ({"options": {"alpha.streams": "beta"}}, "alpha.streams is settled by the key 'alpha'"),
        ({"options": {"lite.pool": "mean", "lite.pool.kind": 3}}, "is a plain value as well"),
        ({"streams": {"alpha": "vectors", "beta": "vectors"}}, "the store has no input 'beta'"),
    ],
)
def test_options_that_fit_nothing_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        fusion(SHAPES, **{"streams": STREAMS, **options})  # type: ignore[arg-type]


def test_unknown_encoders_and_fusion_within_fusion_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean vectors"):
        fusion(SHAPES, {"alpha": "vector", "lite": "stored"})
    with pytest.raises(UnknownNameError, match="unknown encoder of one stream 'fusion'"):
        fusion(SHAPES, {"alpha": "vectors", "lite": "fusion"})
