"""Two clips heard at once: the audio-mix augmentation of MM-DistillNet.

Sound pressures add, so two scenes heard together are the sum of their waveforms. The released code
adds log spectrograms instead, and by a slip computes x^10 where it means 10^x; the key that
switches it on is absent from its settings [S:MM-code]. Labels are those of both clips together, and
what a teacher's network felt is the mean of both, as there.

Conventions: B clips, D width of a vector, M boxes of a batch.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.detection.boxes import BoxTargets
from avkd.stages.methods.batch import WAVEFORM, Batch


def mix_sounds(batch: Batch, share: float, *, same_camera: bool = False) -> Batch:
    """Each clip, with a probability of ``share``, heard together with another of the batch.

    The other is any, each as likely. What is known of the camera stays that of the first clip, and
    two cameras do not share a picture: ``same_camera`` takes only pairs whose vectors are equal,
    and leaves a clip alone that has no such other. Random numbers are drawn on the CPU from torch's
    generator: one seed, one run on every device; none are drawn of a share of 0.

    Raises:
        InvalidValueError: The share is not from 0 to 1, or see ``mix_pairs``.
    """
    if not 0 <= share <= 1:
        raise InvalidValueError(f"the share of mixed clips {share:g} must be from 0 to 1")
    return mix_pairs(batch, _draw_partners(batch, share, same_camera)) if share else batch


def mix_pairs(batch: Batch, partner: Tensor) -> Batch:
    """Clip ``i`` heard together with clip ``partner[i]``, int64 (B,); alone where that is ``i``.

    Waveforms are added and nothing is clipped, so that they may leave [-1, 1]. A mixed clip has
    the real steps of the shorter one, the boxes that each teacher saw in either, and the means of
    its maps; ids and vectors are those of clip ``i``. A teacher has ``seen`` a mixed clip that saw
    both: of one that saw half of it the boxes are labels all the same, but its maps lack the rest.

    Raises:
        InvalidValueError: The batch has no sound, or holds what no sum of sounds has: frames,
            embeddings, logits or human labels.
    """
    _require_mixable(batch)
    partner = partner.to(batch.num_steps.device)
    is_mixed = partner != torch.arange(len(partner), device=partner.device)
    num_steps = torch.minimum(batch.num_steps, batch.num_steps[partner])
    sound = batch.waveform
    added = torch.where(_beside(is_mixed, sound), sound + sound[partner.to(sound.device)], sound)
    return replace(
        batch,
        inputs={**batch.inputs, WAVEFORM: added},
        num_steps=num_steps,
        boxes={
            teacher: _unite(boxes, partner, is_mixed, num_steps)
            for teacher, boxes in batch.boxes.items()
        },
        maps={key: _average(maps, partner, is_mixed) for key, maps in batch.maps.items()},
        seen={name: seen & seen[partner.to(seen.device)] for name, seen in batch.seen.items()},
    )


def _draw_partners(batch: Batch, share: float, same_camera: bool) -> Tensor:
    """int64 (B,): with whom each clip is heard; itself where alone."""
    num_clips = len(batch.clip_ids)
    alone = torch.arange(num_clips)
    is_chosen = torch.rand(num_clips) < share
    allowed = ~torch.eye(num_clips, dtype=torch.bool)
    for vectors in _vectors(batch) if same_camera else ():
        allowed &= (vectors[:, None] == vectors[None]).all(dim=2).cpu()
    chance = torch.rand(num_clips, num_clips).masked_fill(~allowed, -1.0)
    return torch.where(is_chosen & allowed.any(dim=1), chance.argmax(dim=1), alone)


def _vectors(batch: Batch) -> Iterator[Tensor]:
    """The inputs (B, D): what is known of the camera."""
    return (value for name, value in batch.inputs.items() if name != WAVEFORM)


def _require_mixable(batch: Batch) -> None:
    strange = [name for name, value in batch.inputs.items() if name != WAVEFORM and value.ndim != 2]
    strange += [f"logits of {name}" for name in batch.targets]
    strange += [f"embeddings of {name}" for name in batch.embeddings]
    strange += [] if batch.labels is None else ["labels"]
    if strange:
        raise InvalidValueError(
            f"two clips cannot be heard at once where {', '.join(strange)} are learned from or "
            "looked at; set the share of mixed clips to 0"
        )


def _unite(boxes: BoxTargets, partner: Tensor, is_mixed: Tensor, num_steps: Tensor) -> BoxTargets:
    """The boxes of each clip and its partner in the steps that are left; by clip, its own first."""
    clip, lent = ((boxes.row == partner[:, None]) & is_mixed[:, None]).nonzero().T
    own = torch.arange(len(boxes), device=lent.device)
    united = boxes.keep(torch.cat([own, lent]))
    united = replace(united, row=torch.cat([boxes.row, clip]))
    united = united.keep(united.row.argsort(stable=True))
    return united.keep(united.step < num_steps[united.row])


def _average(maps: Tensor, partner: Tensor, is_mixed: Tensor) -> Tensor:
    """(B, ...): halves first, as a sum may be more than a half type holds."""
    mean = maps / 2 + maps[partner.to(maps.device)] / 2
    return torch.where(_beside(is_mixed, maps), mean, maps)


def _beside(is_mixed: Tensor, values: Tensor) -> Tensor:
    """The mask (B,) with as many axes as the values (B, ...)."""
    return is_mixed.to(values.device).view(-1, *[1] * (values.ndim - 1))
