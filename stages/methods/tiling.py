"""Short clips made long by repetition, as SoundNet does it.

Conventions: the last axis of a waveform is samples; a full clip spans all its steps evenly.
"""

from dataclasses import replace

import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.losses.kl import SparseTargets
from avkd.stages.methods.batch import WAVEFORM, Batch


def tile_batch(batch: Batch) -> Batch:
    """Every clip full: its real steps, and the sound of exactly those, repeated in step.

    Sound that ends before its steps keeps its zeros, and they are repeated with it, so that sound
    and targets never drift apart. Full clips are unchanged.

    Raises:
        InvalidValueError: A clip has no real step, or more than its targets have.
    """
    total = batch.total_steps
    if batch.num_steps.min() < 1 or batch.num_steps.max() > total:
        raise InvalidValueError(
            f"num_steps {batch.num_steps.tolist()} must be from 1 to {total}; drop empty clips"
        )
    if bool((batch.num_steps == total).all()):
        return batch
    steps = tile_indices(batch.num_steps, total)
    return replace(
        batch,
        inputs={**batch.inputs, WAVEFORM: _tile_waveform(batch.waveform, batch.num_steps, total)},
        num_steps=torch.full_like(batch.num_steps, total),
        targets={name: _take(target, steps) for name, target in batch.targets.items()},
        embeddings={name: _gather(value, steps) for name, value in batch.embeddings.items()},
    )


def tile_indices(num_real: Tensor, total: int) -> Tensor:
    """int64 (B, total): for each place of a tiled clip, the real step or sample that fills it."""
    return torch.arange(total, device=num_real.device) % num_real[:, None]


def repeat_to(waveform: Tensor, num_samples: int) -> Tensor:
    """The waveform repeated from its start as often as needed, and cut to ``num_samples``.

    Raises:
        InvalidValueError: The waveform is empty.
    """
    if waveform.shape[-1] == 0:
        raise InvalidValueError("an empty waveform cannot be repeated; drop the recording")
    num_copies = -(-num_samples // waveform.shape[-1])
    copies = [1] * (waveform.ndim - 1) + [num_copies]
    return waveform.repeat(copies)[..., :num_samples]


def _tile_waveform(waveform: Tensor, num_steps: Tensor, total: int) -> Tensor:
    # Clip by clip: an index for every sample would be larger than the waveforms.
    num_samples = waveform.shape[-1]
    real = [round(num_samples * steps / total) for steps in num_steps.tolist()]
    pairs = zip(waveform, real, strict=True)
    return torch.stack([repeat_to(clip[..., :end], num_samples) for clip, end in pairs])


def _take(target: Tensor | SparseTargets, steps: Tensor) -> Tensor | SparseTargets:
    if isinstance(target, Tensor):
        return _gather(target, steps)
    return replace(
        target,
        values=_gather(target.values, steps),
        ids=_gather(target.ids, steps),
        log_sum_exp=_gather(target.log_sum_exp, steps),
    )


def _gather(values: Tensor, steps: Tensor) -> Tensor:
    clips = torch.arange(len(values), device=values.device)[:, None]
    return values[clips, steps.to(values.device)]
