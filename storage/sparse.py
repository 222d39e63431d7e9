"""Wide softmax logits as the few largest and the log-sum-exps of all.

Conventions: C classes, K kept; z are float32 logits; LSE_T = log sum exp(z / T) over all C.
Kept values are z - LSE_1 as float16, largest first, ties by lower class id. With LSE_T stored for
some temperatures T, the distribution at T over K + 1 outcomes (the last is all other classes) is
known; its KL is a lower bound of the dense KL.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError
from avkd.storage.schema import SPARSE_TEMPERATURES

_SMALLEST_TAIL = 1e-7  # rounding of the kept values can leave the tail at zero or just below


@dataclass(frozen=True, kw_only=True)
class SparseLogits:
    """The largest logits of each item, as stored."""

    values: npt.NDArray[np.float16]
    """(..., K): logit - LSE_1, descending."""
    ids: npt.NDArray[np.uint16] | npt.NDArray[np.uint32]
    """(..., K): class of each value."""
    lse: npt.NDArray[np.float32]
    """(..., len(temperatures)): log-sum-exp of all logits over T."""
    temperatures: tuple[float, ...] = SPARSE_TEMPERATURES


@dataclass(frozen=True, kw_only=True)
class KlGap:
    """Mean KL of a sample, dense and over K + 1 outcomes; nats."""

    dense: float
    sparse: float


def encode_sparse(
    logits: npt.NDArray[np.float32],
    num_kept: int,
    temperatures: Sequence[float] = SPARSE_TEMPERATURES,
) -> SparseLogits:
    """Keep the largest logits of each item.

    Args:
        logits: (..., C) before any temperature.
        num_kept: K, from 1 to C.
        temperatures: the first must be 1, to which the kept values refer.
    """
    num_classes = logits.shape[-1]
    if not 1 <= num_kept <= num_classes:
        raise InvalidValueError(f"num_kept {num_kept} must be from 1 to {num_classes} classes")
    if not temperatures or temperatures[0] != 1.0:
        raise InvalidValueError(f"temperatures {tuple(temperatures)} must start with 1")
    logits = logits.astype(np.float32, copy=False)
    lse = np.stack([_log_sum_exp(logits / np.float32(t)) for t in temperatures], axis=-1)
    ids = np.argsort(-logits, axis=-1, kind="stable")[..., :num_kept]
    values = np.take_along_axis(logits, ids, axis=-1) - lse[..., :1]
    return SparseLogits(
        values=np.maximum(values, np.finfo(np.float16).min).astype(np.float16),
        ids=ids.astype(id_dtype(num_classes)),
        lse=lse,
        temperatures=tuple(temperatures),
    )


def id_dtype(num_classes: int) -> str:
    """Return the dtype of class ids."""
    return "uint16" if num_classes <= 65_536 else "uint32"


def decode_sparse(
    sparse: SparseLogits, temperature: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return log-probabilities at a temperature: of the kept (..., K), and of the tail (...).

    Raises:
        InvalidValueError: no log-sum-exp was stored for that temperature.
    """
    if temperature not in sparse.temperatures:
        known = ", ".join(f"{t:g}" for t in sparse.temperatures)
        raise InvalidValueError(
            f"temperature {temperature:g} has no stored log-sum-exp; choose one of {known}, "
            "or store the logits dense"
        )
    lse = sparse.lse[..., sparse.temperatures.index(temperature), None]
    logits = sparse.values.astype(np.float32) + sparse.lse[..., :1]
    kept = logits / np.float32(temperature) - lse
    tail = np.maximum(1.0 - np.exp(kept).sum(axis=-1), _SMALLEST_TAIL)
    return kept, np.log(tail).astype(np.float32)


def measure_kl_gap(
    logits: npt.NDArray[np.float32],
    num_kept: int,
    temperature: float = 1.0,
    student_logits: npt.NDArray[np.float32] | None = None,
) -> KlGap:
    """Compare the KL that a student would see through sparse storage with the dense one.

    Args:
        logits: (..., C) of the teacher, a sample.
        num_kept: K.
        temperature: one of the stored ones.
        student_logits: (..., C); the uniform student if None.
    """
    student = np.zeros_like(logits) if student_logits is None else student_logits
    dense_p, dense_q = (_log_softmax(each / np.float32(temperature)) for each in (logits, student))
    sparse = encode_sparse(logits, num_kept)
    kept_p, tail_p = decode_sparse(sparse, temperature)
    kept_q = np.take_along_axis(dense_q, sparse.ids.astype(np.int64), axis=-1)
    tail_q = np.log(np.maximum(1.0 - np.exp(kept_q).sum(axis=-1), _SMALLEST_TAIL))
    sparse_p = np.concatenate([kept_p, tail_p[..., None]], axis=-1)
    sparse_q = np.concatenate([kept_q, tail_q[..., None]], axis=-1)
    return KlGap(dense=_mean_kl(dense_p, dense_q), sparse=_mean_kl(sparse_p, sparse_q))


def _mean_kl(log_p: npt.NDArray[np.float32], log_q: npt.NDArray[np.float32]) -> float:
    return float((np.exp(log_p) * (log_p - log_q)).sum(axis=-1).mean())


def _log_softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    shifted: npt.NDArray[np.float32] = logits - _log_sum_exp(logits)[..., None]
    return shifted


def _log_sum_exp(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    largest = logits.max(axis=-1)
    total = np.exp(logits - largest[..., None]).sum(axis=-1)
    result: npt.NDArray[np.float32] = (largest + np.log(total)).astype(np.float32)
    return result
