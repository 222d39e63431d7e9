import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.stages.encoders.even_columns import EvenColumns
from avkd.stages.encoders.spectra import Spectrum


def columns(samples_per_step: float = 400.0, columns_per_step: int = 4) -> EvenColumns:
    return EvenColumns(
        1_000,
        0.064,
        window_samples=900,
        samples_per_step=samples_per_step,
        columns_per_step=columns_per_step,
    )


def test_columns_of_whole_samples_are_those_of_a_spectrum() -> None:
    windows = torch.randn(3, 2, 900 + 5 * 400)
    expected = Spectrum(1_000, 0.064, 0.1)(windows)
    torch.testing.assert_close(columns()(windows), expected)


@pytest.mark.parametrize("num_steps", [1, 2, 7, 40])
@pytest.mark.parametrize("samples_per_step", [400.0, 413.4, 275.625])
def test_every_step_has_as_many_columns_whatever_its_samples(
    samples_per_step: float, num_steps: int
) -> None:
    spectrum = columns(samples_per_step)
    samples = round((num_steps - 1) * samples_per_step) + 900
    found = spectrum(torch.randn(1, 1, samples))
    assert found.shape[-1] == 4 * (num_steps - 1) + spectrum.columns_per_window


def test_columns_stay_with_steps_that_are_no_whole_samples() -> None:
    """A click in the middle of column 4 of the 101st step is loudest there."""
    spectrum, per_step = columns(413.4), 413.4
    sound = torch.zeros(1, 1, round(200 * per_step) + 900)
    column = 100 * 4 + 4
    sound[..., round(column * per_step / 4) + 32] = 1.0
    power = spectrum(sound).abs().square().sum(dim=(0, 1, 2))
    assert int(power.argmax()) == column


def test_a_window_shorter_than_a_column_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="63 samples is shorter than a column of 64"):
        EvenColumns(1_000, 0.064, window_samples=63, samples_per_step=10, columns_per_step=1)
