import pytest
import torch
from torch import nn

from avkd.errors import InvalidValueError
from avkd.stages.encoders.ravdess import RavdessSound, ravdess_audio, ravdess_image
from avkd.stages.encoders.streams import InputShape

SHAPES = {
    "frames": InputShape(shape=(3, 256, 512, 3)),
    "waveform": InputShape(shape=(1, 66_150), sample_rate=22_050),
}


def shapes_within(layers: nn.Sequential, maps: torch.Tensor) -> list[tuple[int, ...]]:
    """Without the batch, after every pooling and linear layer."""
    shapes = []
    for layer in layers:
        maps = layer(maps)
        if isinstance(layer, nn.MaxPool2d | nn.AdaptiveMaxPool2d | nn.Linear):
            shapes.append(tuple(maps.shape[1:]))
    return shapes


@torch.no_grad()
def test_pictures_pass_through_the_published_sizes() -> None:
    layers = ravdess_image(SHAPES).network.layers
    assert isinstance(layers, nn.Sequential)
    assert shapes_within(layers, torch.zeros(1, 3, 256, 512)) == [
        (32, 128, 256),
        (64, 64, 128),
        (128, 7, 14),
        (1024,),
        (128,),
    ]


@torch.no_grad()
def test_sound_passes_through_the_published_sizes() -> None:
    layers = ravdess_audio(SHAPES).network.layers
    # The released code's own list has 32 x 128 x 126 and 64 x 8 x 62, the first of which its
    # kernels do not give: 40 bands become 18 rows.
    assert shapes_within(layers, torch.zeros(1, 1, 40, 256)) == [
        (32, 18, 126),
        (64, 8, 62),
        (128, 7, 14),
        (1024,),
        (128,),
    ]


def test_weights_are_as_many_as_in_the_released_networks_without_their_last_layer() -> None:
    joint = 128 * 7 * 14 * 1024 + 1024 + 1024 * 128 + 128
    picture = 3 * 9 * 32 + 32 + 32 * 9 * 64 + 64 + 64 * 9 * 128 + 128
    sound = 49 * 32 + 32 + 32 * 25 * 64 + 64 + 64 * 25 * 128 + 128
    for encoder, convolutions in (
        (ravdess_image(SHAPES), picture),
        (ravdess_audio(SHAPES), sound),
    ):
        assert sum(p.numel() for p in encoder.parameters()) == joint + convolutions
        assert len(encoder.state_dict()) == 10


@torch.no_grad()
def test_frames_of_any_size_and_sound_of_any_rate_are_taken() -> None:
    frames = torch.zeros(2, 1, 40, 24, 3, dtype=torch.uint8)
    small = ravdess_image({"frames": InputShape(shape=(1, 40, 24, 3))})
    assert small({"frames": frames}, torch.tensor([1, 1])).shape == (2, 128)
    shapes = {"waveform": InputShape(shape=(2, 48_000), sample_rate=16_000)}
    sound = ravdess_audio(shapes)
    assert sound({"waveform": torch.zeros(2, 2, 48_000)}, torch.tensor([1, 1])).shape == (2, 128)


@torch.no_grad()
def test_every_frame_of_a_real_step_is_seen() -> None:
    torch.manual_seed(0)
    shown = torch.randint(0, 256, (2, 4, 16, 24, 3)).to(torch.uint8)
    encoder = ravdess_image({"frames": InputShape(shape=(4, 16, 24, 3), frames_per_step=2)}).eval()
    vectors = encoder.network(encoder.normalise(shown.flatten(0, 1))).reshape(2, 4, 128)
    found = encoder({"frames": shown}, torch.tensor([2, 1]))
    expected = torch.stack([vectors[0].mean(dim=0), vectors[1, :2].mean(dim=0)])
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_a_louder_neighbour_in_the_batch_is_not_heard() -> None:
    # Decibels are cut off below the loudest of a clip, which must not become that of the batch.
    torch.manual_seed(0)
    encoder = ravdess_audio(SHAPES).eval()
    faint, loud = 1e-4 * torch.randn(1, 1, 66_150), torch.randn(1, 1, 66_150)
    together = encoder({"waveform": torch.cat([faint, loud])}, torch.tensor([1, 1]))
    alone = encoder({"waveform": faint}, torch.tensor([1]))
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_clips_of_different_lengths_keep_their_places() -> None:
    torch.manual_seed(0)
    encoder: RavdessSound = ravdess_audio(SHAPES | {"lite": InputShape(shape=(3, 6))}).eval()
    waveform = 0.1 * torch.randn(5, 1, 66_150)
    num_steps = torch.tensor([3, 1, 2, 1, 3])
    together = encoder({"waveform": waveform}, num_steps)
    for place, steps in enumerate(num_steps.tolist()):
        cut = waveform[place : place + 1, :, : steps * 22_050]
        torch.testing.assert_close(
            together[place : place + 1],
            encoder({"waveform": cut}, torch.tensor([steps])),
            rtol=1e-4,
            atol=1e-5,
        )


def test_too_little_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="needs 9728 samples, got 9000"):
        ravdess_audio(SHAPES)({"waveform": torch.zeros(1, 1, 9000)}, torch.tensor([1]))
    encoder = ravdess_audio(SHAPES)
    encoder({"waveform": torch.zeros(1, 1, 9728)}, torch.tensor([1]))
    with pytest.raises(InvalidValueError, match="4 x 4 pixels, frames has 3x64"):
        ravdess_image({"frames": InputShape(shape=(1, 3, 64, 3))})
