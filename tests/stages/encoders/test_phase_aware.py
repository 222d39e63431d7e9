import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.stages.encoders.phase_aware import PhaseAwareNetwork, phase_aware
from avkd.stages.encoders.streams import InputShape

RATE = 16_000


def network_for(channels: int, **options: object) -> PhaseAwareNetwork:
    torch.manual_seed(0)
    shapes = {"waveform": InputShape(shape=(channels, RATE), sample_rate=RATE)}
    small = {"widths": (8, 8), "lag_widths": (8, 8), "vector_size": 12, "step_seconds": 1.0}
    encoder = phase_aware(shapes, **{**small, **options})  # type: ignore[arg-type]
    assert isinstance(encoder.network, PhaseAwareNetwork)
    return encoder.network


@pytest.mark.parametrize(
    ("channels", "pairing", "num_maps", "num_lag_maps"),
    [
        (2, "first", 2 + 3, 3),
        (8, "first", 8 + 3 * 7, 3 * 7),
        (8, "ring", 8 + 3 * 8, 3 * 8),
        (8, "all", 8 + 3 * 28, 3 * 28),
    ],
)
def test_the_channels_are_magnitudes_phases_levels_and_correlations(
    channels: int, pairing: str, num_maps: int, num_lag_maps: int
) -> None:
    network = network_for(channels, pairing=pairing)
    assert network.over_lag is not None
    first, lags = network.over_frequency.blocks[0], network.over_lag.blocks[0]
    assert first.first[0].in_channels == num_maps  # type: ignore[union-attr, index]
    assert lags.first[0].in_channels == num_lag_maps  # type: ignore[union-attr, index]


@torch.no_grad()
def test_one_microphone_has_nothing_to_compare() -> None:
    network = network_for(1).eval()
    assert network.over_lag is None
    assert network(0.1 * torch.randn(2, 1, RATE)).shape == (2, 12)


@torch.no_grad()
def test_vectors_have_the_width_asked_for_also_if_it_is_odd() -> None:
    for size in (12, 13):
        network = network_for(2, vector_size=size).eval()
        assert network(0.1 * torch.randn(2, 2, RATE)).shape == (2, size)


def test_the_side_that_sound_comes_from_is_learned_from_delays_alone() -> None:
    """Noise with a delay of its sign, the same level and spectrum in both microphones."""
    generator = torch.Generator().manual_seed(0)

    def draw(total: int) -> tuple[torch.Tensor, torch.Tensor]:
        samples = torch.randint(1, 12, (total,), generator=generator)
        is_left = torch.rand(total, generator=generator) < 0.5
        noise = 0.1 * torch.randn(total, 4_000 + 12, generator=generator)
        pairs = []
        for sound, by, left in zip(noise, samples.tolist(), is_left.tolist(), strict=True):
            pair = torch.stack([sound[by : 4_000 + by], sound[:4_000]])
            pairs.append(pair if left else pair.flip(0))
        return torch.stack(pairs), is_left.float()

    network = network_for(2, num_lags=33, num_bands=1, hop_seconds=0.032)
    readout = torch.nn.Linear(12, 1)
    parameters = [*network.parameters(), *readout.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=1e-2)
    for _ in range(12):
        windows, is_left = draw(16)
        said = readout(network(windows))[:, 0]
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(said, is_left).backward()
        optimiser.step()
    windows, is_left = draw(64)
    with torch.no_grad():
        said = readout(network(windows))[:, 0] > 0
    assert (said == is_left.bool()).float().mean() > 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fields": (8,)}, "fields .* must be two, over frequency and time"),
        ({"widths": ()}, "widths .* must be one or more whole numbers"),
        ({"pairing": "some"}, "pairing 'some' is not known"),
        ({"max_delay_seconds": 0.0}, "max_delay_seconds 0 must be above 0"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        network_for(2, **options)
