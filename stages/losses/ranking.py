"""The ranking loss of feature maps: a sound's map lies nearer to its own picture's than to others.

Gan et al. (ICCV 2019) after Aytar et al., "See, Hear, and Read" [S:GAN-fig].

Conventions: N pictures of a batch, each with a map of any shape.
"""

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.losses.batch_rules import in_full_precision
from avkd.stages.losses.geometry import matrix_product, root_or_zero, unit_vectors

RankingForm: TypeAlias = Literal["as_paper", "as_printed"]


def map_ranking(
    student: Tensor, teacher: Tensor, margin: float = 0.2, form: RankingForm = "as_paper"
) -> Tensor:
    """Scalar: the mean of ``map_ranking_per_picture``, that is, over all pairs i, j != i.

    The paper sums over the pairs [S:GAN-fig]: N (N - 1) times this [D].
    """
    return map_ranking_per_picture(student, teacher, margin, form).mean()


def map_ranking_per_picture(
    student: Tensor, teacher: Tensor, margin: float = 0.2, form: RankingForm = "as_paper"
) -> Tensor:
    """(N,): the mean over j != i of max(0, margin + d(s_i, v_i) - d(s_i, v_j)).

    s is the student's map, v the teacher's.
    d is the L2 distance of whole maps brought to length 1, from 0 to 2; that they are so is our
    choice [U]. Margin 0.2 is that of MM-DistillNet's baseline [S:MM-code], the paper's is [U].
    ``as_printed`` has the two distances the other way round, which fits a similarity: it drives
    each sound away from its own picture, and is kept for the record [D]. 0 for a picture alone.

    Raises:
        InvalidValueError: The maps differ in shape, the margin is below 0, or the form is neither.
    """
    if student.shape != teacher.shape or student.dim() < 2:
        raise InvalidValueError(
            f"the student's maps are {tuple(student.shape)} but the teacher's "
            f"{tuple(teacher.shape)}; build the student for the teacher's map"
        )
    if not margin >= 0:
        raise InvalidValueError(f"margin {margin:g} must be 0 or more")
    if form not in ("as_paper", "as_printed"):
        raise InvalidValueError(f"form {form!r} is not known; use 'as_paper' or 'as_printed'")
    distances = map_distances(student, teacher)
    own = distances.diagonal()[:, None]
    difference = own - distances if form == "as_paper" else distances - own
    is_other = ~torch.eye(len(distances), dtype=torch.bool, device=distances.device)
    hinges = (margin + difference).relu() * is_other
    return hinges.sum(dim=1) / max(1, len(distances) - 1)


def map_distances(student: Tensor, teacher: Tensor) -> Tensor:
    """(N, N): the L2 distance of each student's map to each teacher's, both of length 1."""
    student, teacher = (unit_vectors(m.flatten(1)) for m in in_full_precision(student, teacher))
    squared = 2 - 2 * matrix_product(student, teacher.T)
    # A map without length is at distance 1 from every other, not at the root of 2.
    lengths = student.square().sum(dim=1)[:, None] + teacher.square().sum(dim=1)[None]
    distances = root_or_zero(squared - 2 + lengths, 4 * torch.finfo(squared.dtype).eps)
    # Pairs that learn to meet: 2 - 2 cos has lost its digits there.
    own = root_or_zero((student - teacher).square().sum(dim=1))
    return distances.diagonal_scatter(own)
