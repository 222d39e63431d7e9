import pytest
import torch
from torch import nn

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.encoders.registry import build_encoder
from avkd.stages.encoders.soundnet import SoundNet, soundnet5, soundnet8

TWENTY_SECONDS = 441_000
LENGTHS_8 = {
    "conv1": 220_501,
    "pool1": 27_562,
    "conv2": 13_782,
    "pool2": 1_722,
    "conv3": 862,
    "conv4": 432,
    "conv5": 217,
    "pool5": 54,
    "conv6": 28,
    "conv7": 15,
    "conv8": 4,
}
LENGTHS_5 = {
    "conv1": 220_501,
    "pool1": 27_562,
    "conv2": 13_782,
    "pool2": 1_722,
    "conv3": 862,
    "pool3": 107,
    "conv4": 54,
    "conv5": 4,
}
CHANNELS_8 = {"conv1": 16, "pool1": 16, "conv2": 32, "conv3": 64, "conv4": 128, "pool5": 256}
CHANNELS_8 |= {"conv6": 512, "conv7": 1024}


def narrow(name: str, **options: object) -> SoundNet:
    torch.manual_seed(0)
    encoder = build_encoder(name, width=0.125, **options)
    assert isinstance(encoder, SoundNet)
    return encoder.eval()


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("name", "lengths"), [("soundnet8", LENGTHS_8), ("soundnet5", LENGTHS_5)])
@torch.no_grad()
def test_every_layer_of_twenty_seconds_has_the_length_of_the_paper(
    name: str, lengths: dict[str, int]
) -> None:
    encoder = narrow(name)
    assert encoder.layer_lengths(TWENTY_SECONDS) == lengths
    columns = torch.randn(1, 1, TWENTY_SECONDS)
    measured = {}
    for layer, block in encoder.blocks.items():
        columns = block(columns)
        measured[layer] = columns.shape[-1]
    measured[encoder.head_layer] = encoder.build_head(3)(columns).shape[-1]
    assert measured == lengths


@torch.no_grad()
def test_ten_seconds_of_evaluation_give_27_columns_at_pool5() -> None:
    encoder = narrow("soundnet8")
    assert encoder.features(torch.randn(2, 1, 220_500), "pool5").shape == (2, 32, 27)
    assert encoder.layer_lengths(30 * 22_050)["pool5"] == 81
    assert encoder.layer_lengths(441_000)["pool5"] == 54


def test_channels_are_those_of_the_paper() -> None:
    encoder = soundnet8()
    assert {name: encoder.num_channels(name) for name in CHANNELS_8} == CHANNELS_8
    shallow = soundnet5()
    channels = [shallow.num_channels(name) for name in ("conv1", "conv2", "pool3", "conv4")]
    assert channels == [32, 64, 128, 256]


def test_parameters_add_up_to_the_published_numbers() -> None:
    deep, shallow = soundnet8(), soundnet5()
    assert num_parameters(deep) == pytest.approx(2.87e6, rel=2e-3)
    heads = num_parameters(deep.build_head(1000)) + num_parameters(deep.build_head(401))
    assert heads == 8 * 1024 * 1401 + 1401
    assert heads == pytest.approx(11.48e6, rel=1e-3)
    assert num_parameters(shallow) == pytest.approx(0.46e6, rel=1e-2)


def test_initial_weights_have_the_released_spread() -> None:
    torch.manual_seed(0)
    encoder = soundnet8()
    convolution, norm = encoder.blocks["conv5"][0], encoder.blocks["conv6"][1]
    head = encoder.build_head(100).conv
    # 131,072 and 819,200 draws: the deviation is known to about half a percent.
    assert convolution.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert head.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert norm.weight.mean().item() == pytest.approx(1.0, abs=0.005)
    assert norm.weight.std().item() == pytest.approx(0.02, rel=0.15)
    assert not convolution.bias.any()
    assert not norm.bias.any()
    assert not head.bias.any()


def test_features_stop_at_the_layer_and_the_trunk_is_the_last_one() -> None:
    encoder = narrow("soundnet8")
    waveform = torch.randn(1, 1, 40_000)
    assert torch.equal(encoder(waveform), encoder.features(waveform, "conv7"))
    assert encoder.layer_names[-1] == "conv7"
    for layer in ("conv4", "conv5", "pool5", "conv6", "conv7"):
        features = encoder.features(waveform, layer)
        expected = (1, encoder.num_channels(layer), encoder.layer_lengths(40_000)[layer])
        assert features.shape == expected
        assert features.min() >= 0


def test_only_the_first_channel_is_heard() -> None:
    encoder = narrow("soundnet5")
    stereo = torch.randn(1, 2, 8_000)
    mono = encoder.features(stereo[:, :1], "conv3")
    assert torch.equal(encoder.features(stereo, "conv3"), mono)


def test_input_gain_is_an_amplitude() -> None:
    waveform = torch.randn(1, 1, 8_000)
    released = narrow("soundnet5", input_gain=512.0)
    trained = narrow("soundnet5")
    louder = trained.features(2 * waveform, "conv3")
    assert torch.equal(released.features(waveform, "conv3"), louder)
    assert not torch.equal(trained.features(waveform, "conv3"), louder)


@pytest.mark.parametrize(
    ("name", "options", "min_samples"),
    [
        ("soundnet8", {}, 209_374),
        ("soundnet8", {"head_kernel": 4}, 78_302),
        ("soundnet5", {}, 56_798),
    ],
)
def test_min_samples_is_the_shortest_that_gives_the_head_a_column(
    name: str, options: dict[str, int], min_samples: int
) -> None:
    encoder = narrow(name, **options)
    assert encoder.min_samples == min_samples
    head = encoder.build_head(3)
    assert head(encoder(torch.zeros(1, 1, min_samples))).shape == (1, 3, 1)
    with pytest.raises(InvalidValueError, match=f"at least {min_samples} samples"):
        head(encoder(torch.zeros(1, 1, min_samples - 1)))


def test_too_short_for_a_layer_names_the_samples_it_needs() -> None:
    encoder = narrow("soundnet8")
    assert encoder.features(torch.zeros(1, 1, 4_574), "pool5").shape[-1] == 1
    with pytest.raises(InvalidValueError, match="needs 4574 samples for pool5, got 4573"):
        encoder.features(torch.zeros(1, 1, 4_573), "pool5")


@pytest.mark.parametrize("layer", ["conv9", "conv8", ""])
def test_unknown_layers_are_refused(layer: str) -> None:
    encoder = narrow("soundnet8")
    with pytest.raises(UnknownNameError, match="layer"):
        encoder.features(torch.zeros(1, 1, 40_000), layer)
    with pytest.raises(UnknownNameError, match="layer"):
        encoder.num_channels(layer)


def test_width_scales_channels_and_never_reaches_zero() -> None:
    assert soundnet8(width=0.5).num_channels("conv7") == 512
    assert soundnet8(width=0.01).num_channels("conv1") == 2
    with pytest.raises(InvalidValueError, match="width 0 must be above 0"):
        soundnet8(width=0)
