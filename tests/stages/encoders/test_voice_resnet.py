import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.stages.encoders.streams import InputShape
from avkd.stages.encoders.voice_resnet import VoiceResNet, voice_resnet

SHAPES = {"waveform": InputShape(shape=(1, 48_000), sample_rate=16_000)}


def small(**options: object) -> VoiceResNet:
    torch.manual_seed(0)
    tiny = {"widths": (4, 6, 8), "num_blocks": (1, 2, 1), "num_mels": 40, "embedding_size": 12}
    return voice_resnet(SHAPES, **{**tiny, **options})  # type: ignore[arg-type]


def test_weights_are_as_many_as_published() -> None:
    full = voice_resnet(SHAPES)
    assert sum(p.numel() for p in full.parameters()) == pytest.approx(6.6e6, rel=0.02)
    assert full.embedding.weight.shape == (256, 2 * 256 * 10)
    assert sum(hasattr(block, "first") for block in full.blocks) == 16


@torch.no_grad()
def test_stages_halve_bands_and_columns_rounded_up() -> None:
    encoder = small(num_mels=41)
    image, mask = torch.zeros(1, 4, 41, 51), torch.ones(1, 1, 51, dtype=torch.bool)
    sizes = []
    for block in encoder.blocks:
        image, mask = block(image, mask)
        sizes.append((*image.shape[1:], mask.shape[-1]))
    assert sizes == [(4, 41, 51, 51), (6, 21, 26, 26), (6, 21, 26, 26), (8, 11, 13, 13)]
    assert encoder.embedding.in_features == 2 * 8 * 11


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (4, 6)}, "must be as many"),
        ({"widths": ()}, "widths"),
        ({"num_blocks": (1, 0, 1)}, "num_blocks"),
        ({"num_mels": 0}, "num_mels 0"),
        ({"embedding_size": 0}, "embedding_size 0"),
        ({"pool": "mean"}, "pool 'mean' is not known; use statistics or attentive"),
        ({"dropout": 1.0}, "dropout 1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        small(**options)


def test_too_little_sound_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="needs 512 samples, got 511"):
        small()({"waveform": torch.zeros(1, 1, 511)}, torch.tensor([1]))
