import pytest
import torch

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.encoders.registry import ENCODERS, build_encoder, encoder_names

SMALL: dict[str, dict[str, object]] = {
    "soundnet8": {"width": 0.125, "head_kernel": 4},
    "soundnet5": {"width": 0.125},
    "logmel_resnet": {"widths": (8, 12, 16)},
    "logmel_mobilenet": {},
}


def test_the_built_in_encoders_are_found_by_name() -> None:
    assert set(SMALL) <= set(encoder_names())


def test_unknown_encoder_offers_the_close_names() -> None:
    with pytest.raises(UnknownNameError, match="did you mean soundnet"):
        build_encoder("soundnet7")


def test_unknown_option_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="options of encoder 'soundnet5'"):
        build_encoder("soundnet5", depth=3)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_every_encoder_keeps_the_contract(name: str) -> None:
    assert name in ENCODERS.names()
    encoder = build_encoder(name, **SMALL[name]).eval()
    assert encoder.feature_layer in encoder.layer_names
    assert encoder.head_layer not in encoder.layer_names
    assert encoder.sample_rate == 22_050
    waveform = 0.1 * torch.randn(2, 1, max(encoder.min_samples, 22_050))
    for layer in encoder.layer_names:
        clips, channels, columns = encoder.features(waveform, layer).shape
        assert (clips, channels) == (2, encoder.num_channels(layer))
        assert columns >= 1
    trunk = encoder(waveform)
    assert torch.equal(trunk, encoder.features(waveform, encoder.layer_names[-1]))
    assert encoder.build_head(7)(trunk).shape[:2] == (2, 7)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_one_seed_gives_one_encoder_that_loads_into_another(name: str) -> None:
    torch.manual_seed(3)
    first = build_encoder(name, **SMALL[name]).eval()
    torch.manual_seed(3)
    second = build_encoder(name, **SMALL[name]).eval()
    third = build_encoder(name, **SMALL[name]).eval()
    third.load_state_dict(first.state_dict())
    waveform = 0.1 * torch.randn(1, 1, first.min_samples)
    assert torch.equal(first(waveform), second(waveform))
    assert torch.equal(first(waveform), third(waveform))


@pytest.mark.parametrize("name", sorted(SMALL))
def test_all_weights_are_contiguous_so_that_safetensors_takes_them(name: str) -> None:
    encoder = build_encoder(name, **SMALL[name])
    assert all(value.is_contiguous() for value in encoder.state_dict().values())
