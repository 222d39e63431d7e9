import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.stages.encoders.spectrogram_pair import (
    WIDTHS,
    SpectrogramPairNetwork,
    TenConvolutions,
    spectrogram_pair,
)
from avkd.stages.encoders.streams import InputShape

RATE = 16_000
SHAPES = {"waveform": InputShape(shape=(2, 4 * RATE), sample_rate=RATE)}


@torch.no_grad()
def test_ten_convolutions_bring_two_spectrograms_to_one_vector() -> None:
    encoder = spectrogram_pair(SHAPES, step_seconds=1.0).eval()
    network = encoder.network
    assert isinstance(network, SpectrogramPairNetwork)
    assert sum(isinstance(part, torch.nn.Conv2d) for part in network.body.modules()) == 10
    windows = 0.1 * torch.randn(1, 2, RATE)
    maps = network.spectrum(windows).abs()
    # 512 samples every 160 of 16,000: 1 + (16,000 - 512) // 160 columns.
    assert maps.shape == (1, 2, 257, 97)
    shapes = []
    for layer in network.body.layers:
        maps = layer(maps)
        shapes.append(tuple(maps.shape[1:]))
    assert [shape[0] for shape in shapes] == list(WIDTHS)
    assert [shape[1] for shape in shapes[::2]] == [129, 65, 33, 17, 9]
    assert [shape[2] for shape in shapes[::2]] == [49, 25, 13, 7, 4]
    assert network(windows).shape == (1, 512)
    assert encoder.embedding_size == 512


@pytest.mark.parametrize("size", [(1, 1), (9, 3), (257, 97)])
@torch.no_grad()
def test_maps_of_any_size_pass(size: tuple[int, int]) -> None:
    body = TenConvolutions(2, (4,) * 10).eval()
    expected = tuple(-(-each // 32) for each in size)
    assert body(torch.randn(1, 2, *size)).shape == (1, 4, *expected)


def test_ten_widths_are_asked_for_and_a_reference_that_exists() -> None:
    with pytest.raises(InvalidValueError, match="widths has 9 numbers; the paper's network has"):
        spectrogram_pair(SHAPES, step_seconds=1.0, widths=WIDTHS[:9])
    with pytest.raises(InvalidValueError, match="reference 'max' is not known"):
        spectrogram_pair(SHAPES, step_seconds=1.0, reference="max")  # type: ignore[arg-type]
