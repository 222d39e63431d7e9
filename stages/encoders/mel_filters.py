"""Bands of mel over the frequencies of a spectrum.

Conventions: F frequencies, M mel bands.
"""

import warnings
from typing import Literal, TypeAlias

from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.encoders.spectra import Spectrum

MelForm: TypeAlias = Literal["htk", "slaney"]


def mel_filters(
    spectrum: Spectrum, num_mels: int, *, lowest_hz: float, form: MelForm = "htk"
) -> Tensor:
    """float32 (F, M): triangles from ``lowest_hz`` to half the sample rate.

    ``htk`` are of height 1 and give sums of power. ``slaney`` are of that scale, linear below
    1 kHz, and of an area of about 1, so that they give means of power: librosa's, whose area is 1
    in Hz, times the Hz between frequencies.

    Raises:
        InvalidValueError: A band has no frequency.
    """
    from torchaudio.functional import melscale_fbanks

    num_frequencies, rate = spectrum.num_fft // 2 + 1, spectrum.sample_rate
    with warnings.catch_warnings():  # of empty bands, which are refused here
        warnings.simplefilter("ignore", UserWarning)
        filters: Tensor = melscale_fbanks(
            num_frequencies,
            lowest_hz,
            rate / 2,
            num_mels,
            rate,
            norm="slaney" if form == "slaney" else None,
            mel_scale=form,
        )
    if not filters.any(dim=0).all():
        raise InvalidValueError(
            f"{num_mels} mel bands are too many for {num_frequencies} frequencies; "
            "take fewer num_mels, or a longer fft_seconds"
        )
    return filters * (rate / spectrum.num_fft) if form == "slaney" else filters
