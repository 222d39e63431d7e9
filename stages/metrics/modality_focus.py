"""Which of a teacher's channels can be heard at all: a diagnostic before distilling.

Knowledge moves between modalities as far as the teacher's decisive features are general to both
(the modality focusing hypothesis, Xue et al., ICLR 2023). Its authors rank channels by a
permutation saliency; here (ours, not theirs) a channel is audible if a linear map of the
student's features predicts it on recordings that the map has not seen. What only a deep student
would hear is missed: it is a lower bound.

Conventions: N clips, D features of the student's side, C channels of the teacher (embedding
dimensions or logits).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError

Array = npt.NDArray[np.floating]
Matrix = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]

STRENGTHS = tuple(10.0**power for power in range(-2, 7))
"""Ridge penalties to choose from; the largest ones shrink to the mean what cannot be heard."""


@dataclass(frozen=True, kw_only=True)
class ChannelFit:
    """How well one channel of the teacher is predicted."""

    name: str
    r2: float
    """Out of fold, over all clips: 1 at best, around 0 or below for what cannot be heard."""
    is_audible: bool
    """Above the floor."""


@dataclass(frozen=True, kw_only=True)
class ModalityFocus:
    """The teacher's channels by how well they are heard."""

    fits: tuple[ChannelFit, ...]
    """Of the channels that vary, best first."""
    floor: float
    """What the best of all channels reaches by chance: the ``level`` quantile of its R^2 with the
    recordings exchanged, or 0. By chance any channel passes it at most at ``1 - level``."""
    share_audible: float
    """Of the channels that vary."""
    constant_channels: tuple[str, ...]
    """The same for every clip: nothing to predict."""
    num_clips: int
    num_recordings: int


def measure_modality_focus(
    features: Array,
    channels: Array,
    recordings: Sequence[str],
    *,
    channel_names: Sequence[str] | None = None,
    num_folds: int = 5,
    num_permutations: int = 20,
    level: float = 0.95,
    seed: int = 0,
) -> ModalityFocus:
    """Predict channels (N, C) from features (N, D), each recording by maps trained on others.

    A ridge regression on standardised features for each channel, with its penalty chosen within
    the training folds (leave one clip out). ``recordings`` (N,) names the recording of each clip.

    Raises:
        InvalidValueError: Rows do not match, numbers are not finite, recordings are fewer than
            folds, permutations too few for the level, or no channel varies.
    """
    names = tuple(channel_names or (str(place) for place in range(channels.shape[1])))
    _require_rows(features, channels, recordings, names)
    _require_permutations(num_permutations, level)
    groups = np.unique(np.asarray(recordings), return_inverse=True)[1].astype(np.int64)
    _require_folds(num_folds, groups)
    varies = np.ptp(channels, axis=0) > 0
    if not varies.any():
        raise InvalidValueError(f"all {len(names)} channels are constant; there is nothing to hear")
    # Stored float16 has too few digits for sums of squares.
    inputs, targets = features.astype(np.float64), channels[:, varies].astype(np.float64)
    r2 = out_of_fold_r2(inputs, targets, groups, num_folds)
    generator = np.random.default_rng(seed)
    exchanges = [_exchange(groups, generator) for _ in range(num_permutations)]
    chance = [out_of_fold_r2(inputs, targets[each], groups, num_folds).max() for each in exchanges]
    # At one of the permutations, not between two: so that chance passes at 1 - level or less.
    # Never below 0, where a channel is predicted worse than by its mean.
    floor = max(0.0, float(np.quantile(chance, level, method="higher")))
    return ModalityFocus(
        fits=_sort_fits([names[place] for place in np.flatnonzero(varies)], r2, floor),
        floor=floor,
        share_audible=float(np.mean(r2 > floor)),
        constant_channels=tuple(names[place] for place in np.flatnonzero(~varies)),
        num_clips=len(groups),
        num_recordings=int(groups.max()) + 1,
    )


def out_of_fold_r2(features: Matrix, channels: Matrix, groups: Groups, num_folds: int) -> Matrix:
    """(C,): 1 - squared error / squared deviation of each channel, no group in two folds."""
    from sklearn.linear_model import RidgeCV
    from sklearn.metrics import r2_score
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    predicted = np.empty_like(channels)
    for train, test in GroupKFold(num_folds).split(features, groups=groups):
        ridge = RidgeCV(alphas=STRENGTHS, alpha_per_target=True)
        model = make_pipeline(StandardScaler(), ridge).fit(features[train], channels[train])
        predicted[test] = model.predict(features[test]).reshape(len(test), -1)
    r2: Matrix = r2_score(channels, predicted, multioutput="raw_values")
    return r2


def _sort_fits(names: Sequence[str], r2: Matrix, floor: float) -> tuple[ChannelFit, ...]:
    values = [(name, float(value)) for name, value in zip(names, r2, strict=True)]
    return tuple(
        ChannelFit(name=name, r2=value, is_audible=value > floor)
        for name, value in sorted(values, key=lambda pair: -pair[1])
    )


def _exchange(groups: Groups, generator: np.random.Generator) -> Groups:
    """(N,): for each clip another clip's place, so that clips of a recording stay together.

    Clips one by one would set the floor too low where clips of a recording are alike. Recordings
    of different lengths are laid end to end in their new order, and so share clips at the seams.
    """
    places = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[places])) + 1
    blocks = np.split(places, starts)
    exchanged = np.empty_like(places)
    exchanged[places] = np.concatenate([blocks[k] for k in generator.permutation(len(blocks))])
    return exchanged


def _require_folds(num_folds: int, groups: Groups) -> None:
    num_recordings = len(np.unique(groups))
    if not 2 <= num_folds <= num_recordings:
        raise InvalidValueError(
            f"{num_folds} folds of {num_recordings} recordings; give from 2 folds to as many"
        )


def _require_permutations(num_permutations: int, level: float) -> None:
    if not 0 < level < 1:
        raise InvalidValueError(f"level {level} must be between 0 and 1, such as 0.95")
    needed = math.ceil(round(1 / (1 - level), 6)) - 1
    if num_permutations < needed:
        raise InvalidValueError(
            f"{num_permutations} permutations cannot tell level {level}; take {needed} or more"
        )


def _require_rows(
    features: Array, channels: Array, recordings: Sequence[str], names: Sequence[str]
) -> None:
    if features.ndim != 2 or channels.ndim != 2 or len(names) != channels.shape[1]:
        raise InvalidValueError(
            f"features {features.shape}, channels {channels.shape} and {len(names)} names do not "
            "fit; give (N, D), (N, C) and C"
        )
    if not len(features) == len(channels) == len(recordings):
        raise InvalidValueError(
            f"{len(features)} rows of features, {len(channels)} of channels and "
            f"{len(recordings)} recordings; give one each a clip"
        )
    if not (np.isfinite(features).all() and np.isfinite(channels).all()):
        raise InvalidValueError("features or channels are not finite; leave those clips out")
