"""What every encoder of streams keeps, whatever it reads."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.encoders.streams import (
    InputShape,
    StreamEncoder,
    build_stream_encoder,
    stream_encoder_names,
)

NUM_STEPS = 4
NUM_CLIPS = 3
VOICE_SAMPLES = 32_000
SHAPES = {
    "alpha": InputShape(shape=(2,)),
    "frames": InputShape(shape=(NUM_STEPS, 32, 48, 3)),
    "lite": InputShape(shape=(NUM_STEPS, 24)),
    "clipwise": InputShape(shape=(10,)),
    "voice": InputShape(shape=(1, VOICE_SAMPLES), sample_rate=16_000),
    "waveform": InputShape(shape=(1, 44_100), sample_rate=22_050),
}
SMALL: dict[str, dict[str, object]] = {
    "vectors": {},
    "sound": {"body_options": {"widths": (8, 12, 16)}},
    "pictures": {"widths": (8, 16)},
    "picture_maps": {"streams": ("frames",), "widths": (4, 8)},
    "stored": {"stream": "lite"},
    "ravdess_image": {},
    "ravdess_audio": {},
    "voice_resnet": {"stream": "voice", "widths": (4, 8), "num_blocks": (1, 1), "num_mels": 40},
    "ecapa": {"stream": "voice", "channels": 16, "joined_channels": 24, "bottleneck": 8},
    "fusion": {"streams": {"alpha": "vectors", "lite": "stored"}, "embedding_size": 12},
}
ATTENTIVE = {"pool": "attentive"}
HEARS_BORDERS = {"sound"}
"""Its body's convolutions and normalisation look a little beyond the end of a clip."""


def small(name: str) -> StreamEncoder:
    torch.manual_seed(0)
    return build_stream_encoder(name, SHAPES, **SMALL[name])


def batch(seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(NUM_CLIPS, *shape, generator=generator)

    pixels = torch.randint(0, 256, (NUM_CLIPS, NUM_STEPS, 32, 48, 3), generator=generator)
    return {
        "alpha": normal(2),
        "frames": pixels.to(torch.uint8),
        "lite": normal(NUM_STEPS, 24),
        "clipwise": normal(10),
        "voice": 0.1 * normal(1, VOICE_SAMPLES),
        "waveform": 0.1 * normal(1, 44_100),
    }


def with_other_padding(inputs: Mapping[str, Tensor], num_steps: Tensor) -> dict[str, Tensor]:
    """The same real steps with something else after them."""
    changed = {name: value.clone() for name, value in inputs.items()}
    others = batch(seed=2)
    for clip, steps in enumerate(num_steps.tolist()):
        for name in ("frames", "lite"):
            changed[name][clip, steps:] = others[name][clip, steps:]
        for name in ("voice", "waveform"):
            end = steps * inputs[name].shape[-1] // NUM_STEPS
            changed[name][clip, :, end:] = others[name][clip, :, end:]
    return changed


def full() -> Tensor:
    return torch.full((NUM_CLIPS,), NUM_STEPS)


def test_the_built_in_encoders_of_streams_are_found_by_name() -> None:
    assert set(SMALL) <= set(stream_encoder_names())
    with pytest.raises(UnknownNameError, match="did you mean vectors"):
        build_stream_encoder("vector", SHAPES)


@pytest.mark.parametrize("name", sorted(SMALL))
@torch.no_grad()
def test_a_batch_becomes_one_embedding_a_clip(name: str) -> None:
    encoder = small(name)
    assert set(encoder.streams) <= set(SHAPES)
    assert encoder(batch(), full()).shape == (NUM_CLIPS, encoder.embedding_size)
    assert sum(encoder.part_sizes.values()) in (0, encoder.embedding_size)


@pytest.mark.parametrize("name", sorted(SMALL))
@torch.no_grad()
def test_out_of_training_nothing_is_drawn_and_clips_do_not_see_each_other(name: str) -> None:
    encoder = small(name).eval()
    inputs, num_steps = batch(), torch.tensor([4, 2, 3])
    state = torch.get_rng_state()
    together = encoder(inputs, num_steps)
    assert torch.equal(together, encoder(inputs, num_steps))
    assert torch.equal(state, torch.get_rng_state())
    second = encoder({key: value[1:2] for key, value in inputs.items()}, num_steps[1:2])
    torch.testing.assert_close(together[1:2], second, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(set(SMALL) - HEARS_BORDERS))
@torch.no_grad()
def test_what_lies_beyond_the_real_steps_does_not_matter(name: str) -> None:
    encoder = small(name).eval()
    inputs, num_steps = batch(), torch.tensor([4, 2, 1])
    expected = encoder(inputs, num_steps)
    found = encoder(with_other_padding(inputs, num_steps), num_steps)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options"), [("ecapa", {}), ("voice_resnet", {}), ("voice_resnet", ATTENTIVE)]
)
@torch.no_grad()
def test_a_short_voice_has_the_embedding_of_the_voice_cut(
    name: str, options: dict[str, object]
) -> None:
    torch.manual_seed(0)
    encoder = build_stream_encoder(name, SHAPES, **SMALL[name], **options).eval()
    for part in encoder.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            # Fresh shifts are zero, which would hide a forgotten mask.
            part.bias.normal_()
    voice = batch()["voice"]
    padded = encoder({"voice": voice}, torch.tensor([4, 2, 1]))
    for place, steps in enumerate((4, 2, 1)):
        cut = voice[place : place + 1, :, : steps * VOICE_SAMPLES // NUM_STEPS]
        alone = encoder({"voice": cut}, torch.tensor([steps]))
        torch.testing.assert_close(padded[place : place + 1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["ecapa", "voice_resnet"])
def test_a_voice_at_another_rate_is_refused(name: str) -> None:
    shapes = {"voice": SHAPES["waveform"]}
    with pytest.raises(InvalidValueError, match=f"at 22050 Hz but {name} hears 16000 Hz"):
        build_stream_encoder(name, shapes, **SMALL[name])


@pytest.mark.parametrize("name", sorted(set(SMALL) - {"vectors"}))
@torch.no_grad()
def test_what_lies_in_the_real_steps_does_matter(name: str) -> None:
    encoder = small(name).eval()
    inputs, fewer = batch(), torch.tensor([4, 2, 1])
    found = encoder(with_other_padding(inputs, fewer), full())
    expected = encoder(inputs, full())
    torch.testing.assert_close(found[0], expected[0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found[1:], expected[1:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_gradients_reach_every_weight(name: str) -> None:
    encoder = small(name).train()
    weights = torch.randn(NUM_CLIPS, encoder.embedding_size)
    (encoder(batch(), full()) * weights).sum().backward()
    for key, parameter in encoder.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    assert next(encoder.parameters()).grad.abs().max() > 0  # type: ignore[union-attr]


@pytest.mark.parametrize("name", sorted(SMALL))
@torch.no_grad()
def test_one_seed_gives_one_encoder_that_loads_into_another(name: str) -> None:
    first, second = small(name).eval(), small(name).eval()
    third = build_stream_encoder(name, SHAPES, **SMALL[name]).eval()
    third.load_state_dict(first.state_dict())
    inputs = batch()
    assert torch.equal(first(inputs, full()), second(inputs, full()))
    assert torch.equal(first(inputs, full()), third(inputs, full()))
    assert all(value.is_contiguous() for value in first.state_dict().values())


@pytest.mark.parametrize("name", sorted(SMALL))
def test_training_repeats_with_the_seed(name: str) -> None:
    inputs = batch()
    embeddings = []
    for _ in range(2):
        encoder = small(name).train()
        torch.manual_seed(7)
        embeddings.append(encoder(inputs, full()))
    assert torch.equal(*embeddings)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_missing_stream_is_named(name: str) -> None:
    stream = small(name).streams[0]
    without = {key: shape for key, shape in SHAPES.items() if key != stream}
    with pytest.raises(InvalidValueError, match=f"the store has no input '{stream}' but"):
        build_stream_encoder(name, without, **SMALL[name])
    inputs = {key: value for key, value in batch().items() if key != stream}
    with pytest.raises(InvalidValueError, match=f"the batch has no '{stream}' but"):
        small(name)(inputs, full())


@pytest.mark.parametrize("name", sorted(set(SMALL) - {"fusion"}))
def test_a_stream_of_another_kind_is_refused(name: str) -> None:
    stream = small(name).streams[0]
    other = InputShape(shape=(2, 3, 4)) if name != "vectors" else SHAPES["frames"]
    with pytest.raises(InvalidValueError, match=f"'{stream}' has rows of shape"):
        build_stream_encoder(name, {stream: other}, **SMALL[name])
    inputs = batch() | {stream: torch.zeros(NUM_CLIPS, 1, 1, 1)}
    with pytest.raises(InvalidValueError, match=f"'{stream}' has shape .* but must be"):
        small(name)(inputs, full())


@pytest.mark.parametrize("name", sorted(SMALL))
def test_unknown_options_are_refused(name: str) -> None:
    with pytest.raises(InvalidValueError, match=f"options of stream encoder '{name}'"):
        build_stream_encoder(name, SHAPES, **SMALL[name], depth=3)
