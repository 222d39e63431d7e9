"""What both encoders of the sound around steps keep."""

import pytest
import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.encoders.step_sound import StepSoundEncoder
from avkd.stages.encoders.streams import InputShape, build_stream_encoder

RATE = 8_000
STEP_SECONDS = 0.25
NUM_STEPS = 4
NUM_CLIPS = 3
PER_STEP = int(RATE * STEP_SECONDS)
SMALL: dict[str, dict[str, object]] = {
    "spectrogram_pair": {"widths": (4, 4, 4, 4, 6, 6, 6, 6, 8, 8)},
    "phase_aware": {
        "widths": (4, 6),
        "lag_widths": (4, 6),
        "vector_size": 10,
        "num_lags": 17,
        "num_bands": 2,
        "columns_per_second": 32.0,
    },
}
NAMES = sorted(SMALL)


def shapes(channels: int = 2) -> dict[str, InputShape]:
    return {
        "waveform": InputShape(shape=(channels, NUM_STEPS * PER_STEP), sample_rate=RATE),
        "camera": InputShape(shape=(3,)),
    }


def build(name: str, channels_stored: int = 2, **options: object) -> StepSoundEncoder:
    torch.manual_seed(0)
    given = {
        "metadata": ("camera",),
        "step_seconds": STEP_SECONDS,
        "window_seconds": 0.4,
        **SMALL[name],
        **options,
    }
    encoder = build_stream_encoder(name, shapes(channels_stored), **given)
    assert isinstance(encoder, StepSoundEncoder)
    return encoder


def batch(channels: int = 2, seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    waveform = torch.randn(NUM_CLIPS, channels, NUM_STEPS * PER_STEP, generator=generator)
    camera = torch.randn(NUM_CLIPS, 3, generator=generator)
    return {"waveform": 0.1 * waveform, "camera": 5 * camera}


def full() -> Tensor:
    return torch.full((NUM_CLIPS,), NUM_STEPS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("stored", "channels"), [(2, "all"), (8, "all"), (2, "first"), (1, "all")])
@torch.no_grad()
def test_every_step_becomes_an_embedding_for_any_number_of_microphones(
    name: str, stored: int, channels: str
) -> None:
    encoder = build(name, stored, channels=channels).eval()
    found = encoder.encode_steps(batch(stored), full())
    assert found.shape == (NUM_CLIPS, NUM_STEPS, encoder.embedding_size)
    assert encoder.part_sizes["metadata"] == 128
    assert sum(encoder.part_sizes.values()) == encoder.embedding_size
    assert encoder.streams == ("waveform", "camera")


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_a_clip_as_a_whole_is_the_mean_of_its_real_steps(name: str) -> None:
    encoder, num_steps = build(name).eval(), torch.tensor([4, 2, 1])
    steps = encoder.encode_steps(batch(), num_steps)
    assert not steps[1, 2:].any()
    assert not steps[2, 1:].any()
    whole = encoder(batch(), num_steps)
    torch.testing.assert_close(whole[1], steps[1, :2].mean(dim=0))


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_steps_and_clips_do_not_see_each_other_out_of_training(name: str) -> None:
    encoder, inputs = build(name).eval(), batch()
    together = encoder.encode_steps(inputs, full())
    alone = encoder.encode_steps({key: value[1:2] for key, value in inputs.items()}, full()[:1])
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)
    fewer = encoder.encode_steps(inputs, torch.tensor([4, 2, 3]))
    # The window of step 0 ends before the third step.
    torch.testing.assert_close(fewer[1, 0], together[1, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_a_step_hears_its_window_and_nothing_else(name: str) -> None:
    encoder, inputs = build(name).eval(), batch()
    before = encoder.encode_steps(inputs, full())
    changed = inputs["waveform"].clone()
    changed[0, :, 3 * PER_STEP :] += 0.3
    after = encoder.encode_steps({**inputs, "waveform": changed}, full())
    # Windows reach 0.2 s from the middle of a step of 0.25 s: over its own border by 0.075 s.
    assert torch.equal(after[0, :2], before[0, :2])
    assert not torch.allclose(after[0, 2], before[0, 2])
    assert not torch.allclose(after[0, 3], before[0, 3])
    assert torch.equal(after[1:], before[1:])


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_the_cameras_part_is_its_own_and_can_be_left_out(name: str) -> None:
    encoder, inputs = build(name).eval(), batch()
    before = encoder.encode_steps(inputs, full())
    after = encoder.encode_steps({**inputs, "camera": inputs["camera"] + 1}, full())
    size = encoder.part_sizes["waveform"]
    assert torch.equal(after[..., :size], before[..., :size])
    assert not torch.allclose(after[..., size:], before[..., size:])
    without = build(name, metadata=()).eval()
    assert without.streams == ("waveform",)
    assert without.embedding_size == size
    assert without({"waveform": inputs["waveform"]}, full()).shape == (NUM_CLIPS, size)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_controls_of_stereo_change_what_is_heard_and_share_the_weights(name: str) -> None:
    inputs = {**batch(), "waveform": batch()["waveform"] * torch.tensor([1.0, 0.1])[:, None]}
    plain = build(name).eval()
    heard = plain.encode_steps(inputs, full())
    for channels in ("swapped", "shuffled", "doubled"):
        control = build(name, channels=channels).eval()
        control.load_state_dict(plain.state_dict())
        assert not torch.allclose(control.encode_steps(inputs, full()), heard)
    swapped = build(name, channels="swapped").eval()
    flipped = {**inputs, "waveform": inputs["waveform"].flip(1)}
    assert torch.equal(swapped.encode_steps(flipped, full()), heard)


@pytest.mark.parametrize("channels", ["first", "doubled"])
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_mono_does_not_hear_the_second_microphone(name: str, channels: str) -> None:
    encoder, inputs = build(name, channels=channels).eval(), batch()
    other = inputs["waveform"].clone()
    other[:, 1] = 0.5
    assert torch.equal(
        encoder.encode_steps(inputs, full()),
        encoder.encode_steps({**inputs, "waveform": other}, full()),
    )


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_weight(name: str) -> None:
    encoder = build(name).train()
    weights = torch.randn(NUM_CLIPS, NUM_STEPS, encoder.embedding_size)
    (encoder.encode_steps(batch(), full()) * weights).sum().backward()
    for key, parameter in encoder.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_one_seed_gives_one_encoder_that_loads_into_another(name: str) -> None:
    first, second = build(name).eval(), build(name).eval()
    third = build_stream_encoder(
        name,
        shapes(),
        **{"metadata": ("camera",), "step_seconds": STEP_SECONDS, "window_seconds": 0.4},
        **SMALL[name],
    ).eval()
    third.load_state_dict(first.state_dict())
    inputs = batch()
    assert torch.equal(first(inputs, full()), second(inputs, full()))
    assert torch.equal(first(inputs, full()), third(inputs, full()))
    assert all(value.is_contiguous() for value in first.state_dict().values())


@pytest.mark.parametrize("name", NAMES)
def test_training_repeats_with_the_seed_and_draws_gains_and_orders(name: str) -> None:
    options = {"max_gain_decibels": 6.0, "dropout": 0.2, "drop_metadata": 0.3}
    found = []
    for seed in (7, 7, 8):
        encoder = build(name, channels="shuffled", **options).train()
        torch.manual_seed(seed)
        found.append(encoder.encode_steps(batch(), full()))
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2])


@pytest.mark.parametrize("name", NAMES)
def test_silence_is_heard_without_harm(name: str) -> None:
    encoder = build(name).train()
    silent = {**batch(), "waveform": torch.zeros(NUM_CLIPS, 2, NUM_STEPS * PER_STEP)}
    found = encoder.encode_steps(silent, full())
    found.sum().backward()
    assert found.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


def test_the_length_of_a_step_comes_from_the_store_or_is_asked_for() -> None:
    stored = {**shapes(), "lite": InputShape(shape=(NUM_STEPS, 24))}
    encoder = build_stream_encoder("spectrogram_pair", stored, **SMALL["spectrogram_pair"])
    assert isinstance(encoder, StepSoundEncoder)
    assert encoder.samples_per_step == PER_STEP
    sound = InputShape(shape=(2, NUM_STEPS * PER_STEP), sample_rate=RATE, step_seconds=0.5)
    for asked, expected in ((0.0, 2 * PER_STEP), (STEP_SECONDS, PER_STEP)):
        told = build_stream_encoder(
            "spectrogram_pair",
            {**stored, "waveform": sound},
            step_seconds=asked,
            **SMALL["spectrogram_pair"],
        )
        assert isinstance(told, StepSoundEncoder)
        assert told.samples_per_step == expected
    with pytest.raises(InvalidValueError, match=r"set encoder\.options\.step_seconds"):
        build("spectrogram_pair", step_seconds=0.0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("stored", "options", "message"),
    [
        (2, {"stream": "sound"}, "the store has no input 'sound' but camera, waveform"),
        (2, {"stream": "camera"}, "'camera' has rows of shape"),
        (2, {"channels": "mono"}, "channels 'mono' is not known"),
        (1, {"channels": "swapped"}, "needs two microphones or more but 'waveform' has one"),
        (2, {"window_seconds": 0.0}, "window_seconds 0 must be above 0"),
        (2, {"dropout": 1.0}, "dropout 1 must be at least 0 and below 1"),
        (2, {"max_gain_decibels": -1.0}, "max_gain_decibels -1 must be 0 or more"),
        (2, {"step_seconds": -1.0}, "step_seconds -1 must be 0 or more"),
        (2, {"metadata": ("camera", "pitch")}, "no 'pitch' of the camera but camera; .* --vector"),
        (2, {"metadata": "camera"}, "must be names of streams, each once"),
        (2, {"depth": 3}, f"options of stream encoder '{'{name}'}'"),
    ],
)
def test_what_cannot_be_heard_is_refused(
    name: str, stored: int, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidValueError, match=message.replace("{name}", name)):
        build(name, stored, **options)


@pytest.mark.parametrize("name", NAMES)
def test_batches_of_another_shape_are_refused(name: str) -> None:
    encoder = build(name)
    with pytest.raises(InvalidValueError, match="the batch has no 'waveform' but camera"):
        encoder.encode_steps({"camera": torch.zeros(3, 3)}, full())
    with pytest.raises(InvalidValueError, match="has 8 channels but the encoder was built for 2"):
        encoder.encode_steps(batch(8), full())
    with pytest.raises(InvalidValueError, match="has 5 steps but its 8000 samples span 4"):
        encoder.encode_steps(batch(), full() + 1)
    with pytest.raises(InvalidValueError, match="'camera' has vectors of 2 but"):
        encoder.encode_steps({**batch(), "camera": torch.zeros(NUM_CLIPS, 2)}, full())
