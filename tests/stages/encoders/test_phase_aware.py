import pytest
import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.encoders.phase_aware import PhaseAwareNetwork, phase_aware
from avkd.stages.encoders.step_windows import cut_windows
from avkd.stages.encoders.streams import InputShape

RATE = 16_000
STEP_SECONDS = 0.25
PER_STEP = round(STEP_SECONDS * RATE)


def network_for(channels: int, **options: object) -> PhaseAwareNetwork:
    torch.manual_seed(0)
    shapes = {"waveform": InputShape(shape=(channels, RATE), sample_rate=RATE)}
    small = {
        "widths": (8, 8),
        "lag_widths": (8, 8),
        "vector_size": 12,
        "step_seconds": STEP_SECONDS,
    }
    encoder = phase_aware(shapes, **{**small, **options})  # type: ignore[arg-type]
    assert isinstance(encoder.network, PhaseAwareNetwork)
    return encoder.network


@pytest.mark.parametrize(
    ("channels", "pairing", "num_pairs"),
    [(2, "first", 1), (8, "first", 7), (8, "ring", 8), (8, "all", 28)],
)
def test_each_pair_has_a_difference_of_levels_and_correlations_in_bands(
    channels: int, pairing: str, num_pairs: int
) -> None:
    network = network_for(channels, pairing=pairing, num_bands=3)
    assert network.over_lag is not None
    blocks = network.over_mel.blocks[0], network.over_lag.blocks[0]
    seen = [block.convolution.in_channels for block in blocks]  # type: ignore[union-attr]
    assert seen == [1 + num_pairs, 3 * num_pairs]


@torch.no_grad()
def test_a_clip_heard_as_a_whole_is_its_windows_heard_one_by_one() -> None:
    shapes = {"waveform": InputShape(shape=(2, 6 * PER_STEP), sample_rate=RATE)}
    torch.manual_seed(0)
    encoder = phase_aware(shapes, step_seconds=STEP_SECONDS, vector_size=32).eval()
    waveform = 0.1 * torch.randn(3, 2, 6 * PER_STEP)
    num_steps = torch.tensor([6, 1, 4])
    together = encoder.encode_steps({"waveform": waveform}, num_steps)
    windows = cut_windows(waveform, num_steps, PER_STEP, RATE)
    alone: Tensor = encoder.network(windows)[:, 0]
    real = torch.arange(6) < num_steps[:, None]
    assert alone.std() > 1e-3
    torch.testing.assert_close(together[real], alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_one_microphone_has_nothing_to_compare() -> None:
    network = network_for(1).eval()
    assert network.over_lag is None
    assert network(0.1 * torch.randn(2, 1, RATE)).shape == (2, 1, 12)


@torch.no_grad()
def test_vectors_have_the_width_asked_for_also_if_it_is_odd() -> None:
    for size in (1, 12, 13):
        network = network_for(2, vector_size=size).eval()
        assert network(0.1 * torch.randn(2, 2, RATE)).shape == (2, 1, size)


@torch.no_grad()
def test_a_source_on_one_side_is_louder_and_earlier_there() -> None:
    """The two pictures of noise that the second hears 10 samples later, at a tenth."""
    network = network_for(2, num_lags=41, max_delay_seconds=20 / RATE, num_bands=1)
    noise = 0.1 * torch.randn(1, RATE + 10)
    pair = torch.stack([noise[:, 10:], 0.1 * noise[:, :-10]], dim=1)
    spectra = network.spectrum(pair)
    _, difference = network.levels(spectra)[0]
    assert difference.mean() * 4.0 == pytest.approx(4.605, abs=0.1)  # log of 100 in power
    whitened = spectra[:, :1] * spectra[:, 1:].conj()
    lags = network.correlation(whitened / whitened.abs())[0, 0].mean(dim=-1)
    assert int(lags.argmax()) == 20 + 10


def test_the_side_that_sound_comes_from_is_learned_from_delays_alone() -> None:
    """Noise with a delay of its sign, the same level and spectrum in both microphones."""
    generator = torch.Generator().manual_seed(0)

    def draw(total: int) -> tuple[torch.Tensor, torch.Tensor]:
        samples = torch.randint(1, 12, (total,), generator=generator)
        is_left = torch.rand(total, generator=generator) < 0.5
        noise = 0.1 * torch.randn(total, RATE + 12, generator=generator)
        pairs = []
        for sound, by, left in zip(noise, samples.tolist(), is_left.tolist(), strict=True):
            pair = torch.stack([sound[by : RATE + by], sound[:RATE]])
            pairs.append(pair if left else pair.flip(0))
        return torch.stack(pairs), is_left.float()

    network = network_for(2, num_lags=33, num_bands=1)
    readout = torch.nn.Linear(12, 1)
    parameters = [*network.parameters(), *readout.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=1e-2)
    for _ in range(12):
        windows, is_left = draw(16)
        said = readout(network(windows)[:, 0])[:, 0]
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(said, is_left).backward()
        optimiser.step()
    windows, is_left = draw(64)
    with torch.no_grad():
        said = readout(network(windows)[:, 0])[:, 0] > 0
    assert (said == is_left.bool()).float().mean() > 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": ()}, "widths .* must be one or more whole numbers"),
        ({"widths": (8,)}, r"widths \(8,\) and lag_widths \(8, 8\) must be as many"),
        ({"columns_per_second": 0.0}, "columns_per_second 0 must be above 0"),
        ({"window_seconds": 0.3}, "4 columns of a window are too few for 2 blocks"),
        ({"window_seconds": 0.05}, "a window of 800 samples is shorter than a column of 1024"),
        ({"num_mels": 3}, "a picture of 3 rows cannot be halved 2 times"),
        ({"num_mels": 400}, "400 mel bands are too many for 513 frequencies"),
        ({"pairing": "some"}, "pairing 'some' is not known"),
        ({"max_delay_seconds": 0.0}, "max_delay_seconds 0 must be above 0"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        network_for(2, **options)
