import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.stages.encoders.ecapa import Ecapa, Layer, Res2Convolution, ecapa
from avkd.stages.encoders.streams import InputShape

SHAPES = {"waveform": InputShape(shape=(1, 48_000), sample_rate=16_000)}


def small(**options: object) -> Ecapa:
    torch.manual_seed(0)
    tiny = {"channels": 16, "joined_channels": 24, "bottleneck": 8, "num_mels": 20}
    return ecapa(SHAPES, **{**tiny, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(("channels", "millions"), [(512, 6.2), (1024, 14.7)])
def test_weights_are_as_many_as_published(channels: int, millions: float) -> None:
    encoder = ecapa(SHAPES, channels=channels)
    num_weights = sum(p.numel() for p in encoder.parameters())
    assert num_weights == pytest.approx(1e6 * millions, rel=0.01)
    assert encoder.embedding_size == 192


@torch.no_grad()
def test_each_block_is_fed_the_sum_of_all_outputs_before_it() -> None:
    encoder = small().eval()
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    for block in encoder.blocks:
        block.register_forward_hook(lambda _, given, output: seen.append((given[0], output)))
    encoder({"waveform": 0.1 * torch.randn(2, 1, 48_000)}, torch.tensor([3, 3]))
    (stem, first), (second_input, second), (third_input, _) = seen
    torch.testing.assert_close(second_input, stem + first)
    torch.testing.assert_close(third_input, stem + first + second)


@torch.no_grad()
def test_a_column_sees_as_far_as_kernels_and_dilations_say() -> None:
    layer = Layer(1, 1, kernel=3, dilation=4).eval()
    mask = torch.ones(1, 1, 31, dtype=torch.bool)
    pulse = torch.zeros(1, 1, 31)
    pulse[0, 0, 15] = 1
    layer.convolution.weight.fill_(1.0)
    difference = layer(pulse, mask) - layer(torch.zeros(1, 1, 31), mask)
    assert difference[0, 0].nonzero().flatten().tolist() == [11, 15, 19]


@torch.no_grad()
def test_the_parts_of_a_res2_convolution_see_ever_farther() -> None:
    torch.manual_seed(0)
    convolution = Res2Convolution(8, dilation=2).eval()
    for layer in convolution.layers:
        # Positive weights, so that no ReLU hides what arrives.
        layer.convolution.weight.fill_(0.5)
        layer.convolution.bias.fill_(0.1)
    mask = torch.ones(1, 1, 61, dtype=torch.bool)
    pulse = torch.zeros(1, 8, 61)
    pulse[..., 30] = 1
    difference = convolution(pulse, mask) - convolution(torch.zeros(1, 8, 61), mask)
    reach = [int(part.nonzero().max()) - 30 for part in difference[0]]
    assert reach == [0, 2, 4, 6, 8, 10, 12, 14]


def test_training_on_one_clip_is_refused() -> None:
    inputs = {"waveform": 0.1 * torch.randn(1, 1, 48_000)}
    with pytest.raises(InvalidValueError, match="2 clips or more in a batch"):
        small().train()(inputs, torch.tensor([3]))
    assert small().eval()(inputs, torch.tensor([3])).shape == (1, 192)


@pytest.mark.parametrize("channels", [0, 12])
def test_channels_that_do_not_divide_are_refused(channels: int) -> None:
    with pytest.raises(InvalidValueError, match=f"channels {channels} must be a multiple of 8"):
        small(channels=channels)
