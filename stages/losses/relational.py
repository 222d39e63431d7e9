"""Losses on how the clips of a batch lie to each other, and one door to all of them.

Conventions: B clips, D embedding width; embeddings (B, D), one scalar a batch. Where only the
relations within each side count, the two widths may differ. None of these is fixed as the
distribution level of Zhang et al. (Interspeech 2021): which one they took is [U].
"""

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import huber_loss, pdist

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.losses.batch_rules import (
    in_full_precision,
    require_above_zero,
    require_clips,
    require_pair,
    require_same_clips,
)
from avkd.stages.losses.contrastive import info_nce
from avkd.stages.losses.correlation import pearson
from avkd.stages.losses.geometry import matrix_product, off_diagonal, unit_vectors
from avkd.stages.losses.kl import dense_kl
from avkd.stages.losses.mmd import mmd

RelationalName: TypeAlias = Literal["mmd", "similarity", "rkd", "info_nce", "pkd"]


def relational_distance(name: str, student: Tensor, teacher: Tensor, **options: float) -> Tensor:
    """The loss of that name (``RELATIONAL_DISTANCES``), with its own options.

    Raises:
        UnknownNameError: There is none of that name.
        InvalidValueError: It does not take one of the options, or the batch is too small.
    """
    if name not in RELATIONAL_DISTANCES:
        raise UnknownNameError("relational distance", name, RELATIONAL_DISTANCES)
    distance = RELATIONAL_DISTANCES[name]
    known = list(inspect.signature(distance).parameters)[2:]
    if stray := sorted(set(options) - set(known)):
        raise InvalidValueError(
            f"relational distance {name!r} has no option {', '.join(stray)}; "
            f"it takes: {', '.join(known) or 'none'}"
        )
    return distance(student, teacher, **options)


def rkd(
    student: Tensor, teacher: Tensor, distance_weight: float = 1.0, angle_weight: float = 2.0
) -> Tensor:
    """``rkd_distance`` and ``rkd_angle``; angles weigh double, as 25 and 50 in Park et al. [R]."""
    distance = distance_weight * rkd_distance(student, teacher)
    return distance + angle_weight * rkd_angle(student, teacher) if angle_weight else distance


def rkd_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """The Huber loss between pair distances, each side's over their mean: blind to scale.

    Park et al., CVPR 2019, equations 6 to 9 [R], as the mean over distinct pairs (released code
    averages over B^2, with the zeros of the diagonal [S]).

    Raises:
        InvalidValueError: The clips differ, or there are fewer than 3: one pair is its own mean.
    """
    require_same_clips(student, teacher)
    require_clips(student.shape[0], 3, "RKD distance")
    student, teacher = in_full_precision(student, teacher)
    return huber_loss(_relative_distances(student), _relative_distances(teacher))


def rkd_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """The Huber loss between the cosines of all triangles: blind to rotation, scale and shift.

    Park et al., CVPR 2019, equations 10 and 11 [R]: the angle at j between i and k, mean over
    triples of distinct clips (released code also averages those that are not distinct, all zero
    [S]). Where two points of a triangle meet, its cosine is 0 without gradient. Memory grows with
    B^3.

    Raises:
        InvalidValueError: The clips differ, or there are fewer than 3.
    """
    require_same_clips(student, teacher)
    require_clips(student.shape[0], 3, "RKD angle")
    student, teacher = in_full_precision(student, teacher)
    same = torch.eye(len(student), dtype=torch.bool, device=student.device)
    # Axes j, i, k: at vertex j, from i to k.
    distinct = ~(same[:, :, None] | same[:, None, :] | same[None, :, :])
    return huber_loss(_angle_cosines(student)[distinct], _angle_cosines(teacher)[distinct])


def similarity_row_kl(student: Tensor, teacher: Tensor, temperature: float = 0.1) -> Tensor:
    """KL(teacher || student) of each clip's softmax over its cosines to the other clips, mean.

    Probabilistic knowledge transfer (Passalis and Tefas, ECCV 2018 [R]) with softmaxed cosines;
    that form and the temperature are ours [U]. A clip's cosine with itself is left out: it is 1
    on both sides and would take most of the softmax. Not weighted with the squared temperature,
    which is no softening here.

    Raises:
        InvalidValueError: The clips differ, there are fewer than 3, or T is not above 0.
    """
    require_same_clips(student, teacher)
    require_above_zero("temperature", temperature)
    require_clips(student.shape[0], 3, "similarity-row KL")
    student, teacher = in_full_precision(student, teacher)
    ours, theirs = _cosine_rows(student), _cosine_rows(teacher)
    return dense_kl(ours / temperature, theirs / temperature).mean()


def pkd(student: Tensor, teacher: Tensor) -> Tensor:
    """One minus the mean over features of Pearson's correlation over the batch.

    PKD (Cao et al., NeurIPS 2022 [R]) standardises each channel over the batch and the map and
    takes half the squared difference, which is this [D]; a clip's embedding is a map of one
    position. Blind to scale and shift of every feature.

    Raises:
        InvalidValueError: The shapes differ, or there are fewer than 3 clips: two always correlate.
    """
    require_pair(student, teacher)
    require_clips(student.shape[0], 3, "PKD")
    student, teacher = in_full_precision(student, teacher)
    return 1 - pearson(student.T, teacher.T).mean()


def _relative_distances(points_BD: Tensor) -> Tensor:
    """(B (B - 1) / 2,): the distances of pairs, over their mean; zeros where all points meet."""
    distances = pdist(points_BD)
    return distances / distances.mean().clamp_min(torch.finfo(distances.dtype).tiny)


def _angle_cosines(points_BD: Tensor) -> Tensor:
    """(B, B, B): at vertex j, the cosine of the angle from i to k."""
    directions_JID = unit_vectors(points_BD[None, :, :] - points_BD[:, None, :])
    return matrix_product(directions_JID, directions_JID.mT)


def _cosine_rows(points_BD: Tensor) -> Tensor:
    """(B, B - 1): each clip's cosines to the others."""
    units = unit_vectors(points_BD)
    return off_diagonal(matrix_product(units, units.T))


RELATIONAL_DISTANCES: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {
        "mmd": mmd,
        "similarity": similarity_row_kl,
        "rkd": rkd,
        "info_nce": info_nce,
        "pkd": pkd,
    }
)
"""Every name of ``relational_distance``."""
