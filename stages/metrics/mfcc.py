"""A control that needs no training: what plain sound statistics tell of the classes."""

import torch
from torch import Tensor

from avkd.errors import InvalidValueError

NUM_COEFFICIENTS = 20
NUM_FFT = 1024


def mfcc_features(
    waveform: Tensor, sample_rate: int, num_coefficients: int = NUM_COEFFICIENTS
) -> Tensor:
    """(B, 2 * num_coefficients): mean and deviation over time of the first channel's MFCCs.

    Takes waveforms (B, C, S) in [-1, 1]; the reference that SoundNet calls SVM on MFCC.

    Raises:
        InvalidValueError: The waveforms are shorter than one analysis window.
    """
    from torchaudio.transforms import MFCC

    if waveform.shape[-1] <= NUM_FFT:
        raise InvalidValueError(
            f"MFCC needs more than {NUM_FFT} samples, got {waveform.shape[-1]}; repeat the sound"
        )
    transform = MFCC(
        sample_rate=sample_rate,
        n_mfcc=num_coefficients,
        # Decibels would be cut off below the loudest clip of the batch.
        log_mels=True,
        melkwargs={"n_fft": NUM_FFT, "hop_length": NUM_FFT // 2, "n_mels": 64},
    ).to(waveform.device)
    coefficients: Tensor = transform(waveform[:, 0].float())
    return torch.cat([coefficients.mean(dim=-1), coefficients.std(dim=-1)], dim=1)
