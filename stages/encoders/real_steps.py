"""Which part of a clip is real, and means over that part.

Conventions: B clips, S samples, T places along time (steps or columns), D width of a vector.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from avkd.stages.encoders.stream_inputs import require_choice
from avkd.stages.encoders.streams import InputShape


def samples_per_step(shapes: Mapping[str, InputShape], stream: str) -> float:
    """Samples of a waveform in one step, from a stored input that has steps; 0 where none has."""
    stepwise = [s for s in shapes.values() if not s.sample_rate and len(s.shape) in (2, 4)]
    lengths = {each.shape[0] // each.frames_per_step for each in stepwise}
    if len(lengths) != 1:
        return 0.0
    return shapes[stream].shape[-1] / lengths.pop()


def real_samples(num_steps: Tensor, num_samples: int, per_step: float) -> Tensor:
    """int64 (B,): how many of the samples belong to real steps, at least 1.

    ``per_step`` 0: the waveforms span as many steps as the clip of the batch with most of them.
    """
    if per_step:
        real = (num_steps.double() * per_step).ceil().long()
    else:
        real = -(-num_steps * num_samples // num_steps.max().clamp_min(1))
    return real.clamp(1, num_samples)


def real_columns(num_real: Tensor, num_samples: int, num_columns: int) -> Tensor:
    """int64 (B,): how many columns of a feature map over all samples are real, at least 1.

    The middle of a column decides.
    """
    return (num_real * num_columns / num_samples).round().long().clamp(1, num_columns)


def real_mask(num_real: Tensor, total: int) -> Tensor:
    """Bool (B, total), True in the first ``num_real`` (B,) places; at least the first is real."""
    places = torch.arange(total, device=num_real.device)
    mask: Tensor = places < num_real.clamp_min(1)[:, None]
    return mask


class StepPool(nn.Module):
    """Real places of a clip to one vector: their mean, or a mean weighted by attention."""

    def __init__(self, kind: str, size: int) -> None:
        """``kind`` is ``mean`` or ``attention``: a softmax over one learned score a place.

        Raises:
            InvalidValueError: The kind is not known.
        """
        super().__init__()
        require_choice("pool", kind, ("mean", "attention"))
        self.score = nn.Linear(size, 1) if kind == "attention" else None

    def forward(self, values_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """(B, D); what lies in other places does not matter."""
        values_BTD = values_BTD.float().masked_fill(~mask_BT[..., None], 0.0)
        if self.score is None:
            return values_BTD.sum(dim=1) / mask_BT.sum(dim=1, keepdim=True)
        scores_BT: Tensor = self.score(values_BTD)[..., 0].masked_fill(~mask_BT, -torch.inf)
        return (scores_BT.softmax(dim=1)[..., None] * values_BTD).sum(dim=1)
