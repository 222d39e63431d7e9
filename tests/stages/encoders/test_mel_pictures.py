import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from avkd.errors import InvalidValueError
from avkd.stages.encoders.mel_pictures import (
    STRIDES,
    MelDecibels,
    MelPicturesEncoder,
    build_backbone,
)
from avkd.stages.encoders.spectra import Reference, Spectrum
from avkd.stages.encoders.streams import InputShape, build_stream_encoder

RATE = 44_100
SMALL_RATE = 8_000
STEP_SECONDS = 0.25
NUM_STEPS = 4
PER_STEP = int(SMALL_RATE * STEP_SECONDS)
SMALL_BACKBONE = "mobilenetv3_small_050"
REFERENCES: tuple[Reference, ...] = ("own", "shared", "fixed")


def build(stored: int = 2, **options: Any) -> MelPicturesEncoder:
    torch.manual_seed(0)
    sound = InputShape(shape=(stored, NUM_STEPS * PER_STEP), sample_rate=SMALL_RATE)
    given = {
        "step_seconds": STEP_SECONDS,
        "window_seconds": 0.4,
        "num_mels": 40,
        "picture_size": (40, 70),
        "backbone": SMALL_BACKBONE,
        "scaling": "unit",
        **options,
    }
    encoder = build_stream_encoder(
        "mel_pictures", {"waveform": sound, "camera": InputShape(shape=(3,))}, **given
    )
    assert isinstance(encoder, MelPicturesEncoder)
    return encoder


def batch(channels: int = 2, clips: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    waveform = torch.randn(clips, channels, NUM_STEPS * PER_STEP, generator=generator)
    return {"waveform": 0.1 * waveform}


def decibels_of(reference: Reference, num_mels: int = 80) -> MelDecibels:
    return MelDecibels(Spectrum(RATE, 1024 / RATE, 256 / RATE), num_mels, reference)


def slaney(hertz: float) -> float:
    """Slaney's mel: linear to 1 kHz, of a ratio of 6.4 for 27 from there."""
    if hertz < 1000:
        return 3 * hertz / 200
    return 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def test_the_papers_ear_has_the_papers_shapes() -> None:
    shapes = {"waveform": InputShape(shape=(8, 4 * RATE), sample_rate=RATE)}
    encoder = build_stream_encoder("mel_pictures", shapes, step_seconds=1.0)
    assert isinstance(encoder, MelPicturesEncoder)
    assert encoder.map_channels == (48, 120, 352)
    assert encoder.map_sizes == ((96, 96), (48, 48), (24, 24))
    assert encoder.embedding_size == 352
    assert encoder.streams == ("waveform",)
    stem = encoder.network.backbone.get_submodule("conv_stem")
    assert isinstance(stem, torch.nn.Conv2d)
    assert stem.in_channels == 8
    windows = 0.1 * torch.randn(1, 8, RATE)
    assert encoder.network.decibels(windows).shape == (1, 8, 80, 173)
    assert encoder.network.draw(windows).shape == (1, 8, 768, 768)


@pytest.mark.parametrize("backbone", [SMALL_BACKBONE, "tf_efficientnet_b2"])
@torch.no_grad()
def test_maps_have_the_shapes_that_were_told_also_at_odd_sizes(backbone: str) -> None:
    encoder = build(backbone=backbone, picture_size=(39, 71)).eval()
    assert encoder.map_sizes == ((5, 9), (3, 5), (2, 3))
    maps = encoder.encode_maps(batch(), torch.tensor([2, 1, 4]))
    expected = [(7, c, *s) for c, s in zip(encoder.map_channels, encoder.map_sizes, strict=True)]
    assert [tuple(each.shape) for each in maps] == expected


@torch.no_grad()
def test_a_steps_embedding_is_the_mean_of_its_last_map() -> None:
    encoder, num_steps = build().eval(), torch.tensor([4, 2, 1])
    vectors = encoder.encode_steps(batch(), num_steps)
    maps = encoder.encode_maps(batch(), num_steps)
    real = torch.arange(NUM_STEPS) < num_steps[:, None]
    assert vectors[real].std() > 1e-3
    torch.testing.assert_close(vectors[real], maps[-1].mean(dim=(2, 3)))
    assert not vectors[~real].any()


@torch.no_grad()
def test_decibels_are_those_of_an_independent_mel_spectrogram() -> None:
    from torchaudio.transforms import AmplitudeToDB, MelSpectrogram

    windows = 0.1 * torch.randn(2, 2, RATE, generator=torch.Generator().manual_seed(2))
    windows[0, 0] += torch.sin(2 * math.pi * 700 * torch.arange(RATE) / RATE)
    windows[1, :, RATE // 2 :] *= 1e-6
    plain = MelSpectrogram(
        RATE, 1024, hop_length=256, n_mels=80, norm="slaney", mel_scale="slaney"
    )(windows)
    for number, channel in ((0, 0), (0, 1), (1, 0), (1, 1)):
        known = AmplitudeToDB("power", top_db=80.0)(plain[number, channel])
        found = decibels_of("own")(windows)[number, channel]
        torch.testing.assert_close(found, known - known.max(), rtol=0, atol=0.01)


@pytest.mark.parametrize("hertz", [200.0, 1000.0, 8000.0])
@torch.no_grad()
def test_a_tone_lies_in_the_row_of_its_mel(hertz: float) -> None:
    tone = 0.5 * torch.sin(2 * math.pi * hertz * torch.arange(RATE) / RATE)
    found = decibels_of("own")(tone.expand(1, 1, -1))[0, 0].mean(dim=1)
    # Centres of 80 bands lie evenly between the edges of them all.
    expected = slaney(hertz) / slaney(RATE / 2) * 81 - 1
    assert abs(int(found.argmax()) - expected) < 1
    assert found.max() == pytest.approx(0, abs=1)
    picture = interpolate(found.view(1, 1, 80, 1).expand(1, 1, 80, 173), (768, 768), mode="bicubic")
    row = int(picture[0, 0].mean(dim=1).argmax())
    assert row == pytest.approx((expected + 0.5) * 768 / 80, abs=768 / 80)


@torch.no_grad()
def test_the_difference_of_levels_is_lost_or_kept_as_the_reference_says() -> None:
    noise = 0.1 * torch.randn(1, 1, RATE, generator=torch.Generator().manual_seed(3))
    pair = torch.cat([noise, 0.1 * noise], dim=1)
    for reference, expected in (("own", 0.0), ("shared", 20.0), ("fixed", 20.0)):
        ear = decibels_of(reference)  # type: ignore[arg-type]
        first, second = ear(pair)[0]
        assert (second > -ear.range).all()
        torch.testing.assert_close(
            first - second, torch.full_like(first, expected), rtol=0, atol=0.01
        )


@torch.no_grad()
def test_loudness_is_kept_by_the_fixed_reference_alone() -> None:
    noise = 0.1 * torch.randn(1, 2, RATE, generator=torch.Generator().manual_seed(3))
    for reference, expected in (("own", 0.0), ("shared", 0.0), ("fixed", -20.0)):
        ear = decibels_of(reference)  # type: ignore[arg-type]
        assert (ear(0.1 * noise) - ear(noise)).mean() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("reference", REFERENCES)
@torch.no_grad()
def test_decibels_stay_between_the_floor_and_the_reference(reference: Reference) -> None:
    ear = decibels_of(reference)
    square = torch.sign(torch.sin(2 * math.pi * 440 * torch.arange(RATE) / RATE) + 1e-6)
    for windows in (square.expand(1, 2, -1), 1e-3 * torch.randn(1, 2, RATE)):
        found = ear(windows)
        assert found.max() <= 0
        assert found.min() >= -ear.range


@pytest.mark.parametrize("reference", REFERENCES)
@torch.no_grad()
def test_a_dead_microphone_lies_at_the_floor_and_does_not_change_the_others(
    reference: Reference,
) -> None:
    ear = decibels_of(reference)
    noise = 0.1 * torch.randn(1, 2, RATE, generator=torch.Generator().manual_seed(3))
    noise[:, 1] *= 0.5
    dead = torch.cat([noise, torch.zeros(1, 1, RATE)], dim=1)
    found = ear(dead)
    assert (found[:, 2] == -ear.range).all()
    torch.testing.assert_close(found[:, :2], ear(noise))


@pytest.mark.parametrize("scaling", ["none", "unit"])
@pytest.mark.parametrize("reference", REFERENCES)
def test_silence_is_heard_without_harm(reference: str, scaling: str) -> None:
    encoder = build(reference=reference, scaling=scaling).train()
    silent = {"waveform": torch.zeros(3, 2, NUM_STEPS * PER_STEP)}
    maps = encoder.encode_maps(silent, torch.tensor([4, 4, 2]))
    sum(each.sum() for each in maps).backward()  # type: ignore[union-attr]
    assert all(each.isfinite().all() for each in maps)
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


@torch.no_grad()
def test_unit_scaling_is_the_decibels_between_minus_one_and_one() -> None:
    windows = 0.1 * torch.randn(2, 2, int(0.4 * SMALL_RATE))
    for reference, half in (("own", 40.0), ("shared", 40.0), ("fixed", 60.0)):
        plain = build(reference=reference, scaling="none").network.draw(windows)
        unit = build(reference=reference, scaling="unit").network.draw(windows)
        torch.testing.assert_close(unit, 1 + plain / half)


@torch.no_grad()
def test_pictures_smaller_than_the_spectrogram_see_all_of_it() -> None:
    """A click of 4 ms changes the picture wherever it falls in columns of 12.5 ms."""
    windows = 0.01 * torch.randn(1, 1, int(0.4 * SMALL_RATE))
    short = {"fft_seconds": 0.004, "hop_seconds": 0.002, "num_mels": 4}
    encoder = build(1, picture_size=(32, 32), reference="fixed", **short)
    assert encoder.network.decibels(windows).shape[-1] > 6 * 32
    before, changes = encoder.network.draw(windows), []
    for place in range(1000, 1200, 16):
        clicked = windows.clone()
        clicked[..., place] += 0.5
        changes.append(float((encoder.network.draw(clicked) - before).sum()))
    assert max(changes) < 1.5 * min(changes)


def test_gradients_reach_every_weight_and_the_stem_of_every_microphone() -> None:
    encoder = build(8).train()
    generator = torch.Generator().manual_seed(4)
    loss = torch.zeros(())
    for each in encoder.encode_maps(batch(8), torch.full((3,), NUM_STEPS)):
        loss = loss + (each * torch.randn(each.shape, generator=generator)).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    stem = encoder.network.backbone.get_submodule("conv_stem")
    assert isinstance(stem, torch.nn.Conv2d)
    assert stem.weight.grad is not None
    assert (stem.weight.grad.abs().amax(dim=(0, 2, 3)) > 0).all()


@torch.no_grad()
def test_one_seed_gives_one_encoder_that_loads_into_another() -> None:
    first, second, num_steps = build().eval(), build().eval(), torch.full((3,), NUM_STEPS)
    other = build()
    for parameter in other.parameters():
        parameter.add_(0.1)
    other.load_state_dict(first.state_dict())
    expected = first.encode_maps(batch(), num_steps)
    for encoder in (first, second, other.eval()):
        found = encoder.encode_maps(batch(), num_steps)
        assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    assert all(value.is_contiguous() for value in first.state_dict().values())
    assert all(name.startswith("network.backbone.") for name in first.state_dict())


@torch.no_grad()
def test_a_step_hears_its_window_and_nothing_else() -> None:
    encoder, inputs = build().eval(), batch()
    num_steps = torch.full((3,), NUM_STEPS)
    before = encoder.encode_maps(inputs, num_steps)[0].chunk(3)
    changed = inputs["waveform"].clone()
    changed[0, :, 3 * PER_STEP :] += 0.3 * torch.randn(2, PER_STEP)
    after = encoder.encode_maps({"waveform": changed}, num_steps)[0].chunk(3)
    # Windows reach 0.2 s from the middle of a step of 0.25 s: over its own border by 0.075 s.
    torch.testing.assert_close(after[0][:2], before[0][:2])
    assert not torch.allclose(after[0][2], before[0][2], atol=1e-3)
    torch.testing.assert_close(after[1:], before[1:])


@torch.no_grad()
def test_controls_of_stereo_change_what_the_maps_hear() -> None:
    """``swapped`` is the pair flipped, ``doubled`` and ``first`` are deaf to the second."""
    inputs, num_steps = batch(), torch.full((3,), NUM_STEPS)
    flipped = {"waveform": inputs["waveform"].flip(1)}
    deaf = {"waveform": inputs["waveform"] * torch.tensor([1.0, 0.3])[:, None].square()}
    plain = build().eval().encode_maps(inputs, num_steps)[-1]
    swapped = build(channels="swapped").eval()
    assert torch.equal(swapped.encode_maps(flipped, num_steps)[-1], plain)
    assert not torch.allclose(swapped.encode_maps(inputs, num_steps)[-1], plain)
    for channels in ("doubled", "first"):
        mono = build(channels=channels).eval()
        heard = mono.encode_maps(inputs, num_steps)[-1]
        assert torch.equal(heard, mono.encode_maps(deaf, num_steps)[-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metadata": ("camera",)}, "options of stream encoder 'mel_pictures'"),
        ({"dropout": 0.1}, "options of stream encoder 'mel_pictures'"),
        ({"stream": "sound"}, "the store has no input 'sound' but camera, waveform"),
        ({"stream": "camera"}, "'camera' has rows of shape"),
        ({"channels": "mono"}, "channels 'mono' is not known"),
        ({"step_seconds": 0.0}, r"set encoder\.options\.step_seconds"),
        ({"window_seconds": 0.0}, "window_seconds 0 must be above 0"),
        ({"window_seconds": 0.02}, "a window of 160 samples is shorter than a column of 186"),
        ({"hop_seconds": 0.0}, "hop_seconds 0 are 186 and 0 samples"),
        ({"num_mels": 0}, "num_mels 0 must be a whole number"),
        ({"num_mels": 400}, "400 mel bands are too many for 94 frequencies"),
        ({"reference": "max"}, "reference 'max' is not known; use own or shared or fixed"),
        ({"scaling": "imagenet"}, "scaling 'imagenet' is not known; use none or unit"),
        ({"picture_size": (768,)}, r"picture_size \(768,\) must be height and width"),
        ({"picture_size": (16, 768)}, r"picture_size \(16, 768\) must be .* each at least 32"),
        ({"picture_size": 768}, "picture_size 768 must be one or more whole numbers"),
        ({"backbone": "efficientnet_b99"}, "timm has no network 'efficientnet_b99'"),
        ({"backbone": "vit_tiny_patch16_224"}, "vit_tiny_patch16_224 gives no maps .* at strides"),
        ({"backbone": "convnext_atto"}, "convnext_atto gives no maps of a picture of"),
        ({"max_gain_decibels": -1.0}, "max_gain_decibels -1 must be 0 or more"),
    ],
)
def test_options_that_cannot_be_are_refused_in_one_line(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidValueError, match=message) as refusal:
        build(**options)
    assert "\n" not in str(refusal.value)


def test_batches_of_another_shape_are_refused() -> None:
    encoder, full = build(), torch.full((3,), NUM_STEPS)
    with pytest.raises(InvalidValueError, match="has 8 channels but the encoder was built for 2"):
        encoder.encode_maps(batch(8), full)
    with pytest.raises(InvalidValueError, match="has 5 steps but its 8000 samples span 4"):
        encoder.encode_maps(batch(), full + 1)
    with pytest.raises(InvalidValueError, match="the batch has no 'waveform' but nothing"):
        encoder.encode_maps({}, full)


@torch.no_grad()
def test_a_look_at_the_backbone_draws_no_numbers_and_leaves_it_training() -> None:
    states = []
    for size in ((32, 32), (64, 96)):
        torch.manual_seed(5)
        network, channels = build_backbone(SMALL_BACKBONE, 3, size)
        states.append(torch.random.get_rng_state())
        assert network.training
        assert len(channels) == len(STRIDES)
        assert next(network.parameters()).device.type == "cpu"
    assert torch.equal(states[0], states[1])
