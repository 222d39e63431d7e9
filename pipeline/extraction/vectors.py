"""Student inputs that come from columns of the corpus: vectors, one a recording.

The numbers travel in the metadata of clips, so every executor has them and nothing is decoded. The
clips of a recording share its vector.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from avkd.errors import CorpusError
from avkd.pipeline.extraction.buffers import ShardContent
from avkd.pipeline.extraction.plan import Failure
from avkd.storage.schema import ClipRow, OutputSpec, ProducerSpec, Recording
from avkd.storage.vectors import vector_values

VECTOR_VERSION = 1
_COLUMN = "column"


def describe_vector(name: str, size: int) -> ProducerSpec:
    """Give the input of a column: per row float32 (size,)."""
    output = OutputSpec(name=name, shape=(size,), dtype="float32", axes=("feature",))
    fingerprint = {_COLUMN: name, "size": size, "extraction_version": VECTOR_VERSION}
    return ProducerSpec(kind="input", name=name, outputs=(output,), fingerprint=fingerprint)


def is_vector(spec: ProducerSpec) -> bool:
    """Tell whether a stored producer is such an input."""
    return spec.kind == "input" and spec.fingerprint.get(_COLUMN) == spec.name


def vector_size(name: str, recordings: Sequence[Recording], stored: ProducerSpec | None) -> int:
    """Count the numbers of a vector, in the corpus or, where no recording has one, in the store.

    Raises:
        CorpusError: neither knows.
    """
    for recording in recordings:
        if name in recording.metadata:
            return len(vector_values(recording.metadata[name]))
    if stored is None:
        raise CorpusError(f"column {name!r} of the corpus has no value in any row; fill it")
    return stored.outputs[0].shape[0]


def gather_vectors(
    spec: ProducerSpec, clips: Sequence[ClipRow], rows_per_shard: int
) -> ShardContent:
    """Give a shard of a vector; a row that has none is zeros and a reason."""
    (output,) = spec.outputs
    values = np.zeros((rows_per_shard, *output.shape), np.float32)
    failures: dict[int, Failure] = {}
    for clip in clips:
        place = clip.row % rows_per_shard
        vector, failure = _read_vector(clip, spec.name, output.shape[0])
        if failure:
            failures[place] = failure
        else:
            values[place] = vector
    return ShardContent(arrays={output.name: values}, failures=failures)


def _read_vector(
    clip: ClipRow, name: str, size: int
) -> tuple[npt.NDArray[np.float32], Failure | None]:
    nothing = np.zeros(size, np.float32)
    if name not in clip.metadata:
        return nothing, ("skipped", f"the corpus gave no {name!r} when the row was planned")
    try:
        numbers = vector_values(clip.metadata[name])
    except ValueError:
        return nothing, ("skipped", f"{name!r} of the corpus is not made of numbers")
    if len(numbers) != size:
        return nothing, ("skipped", f"{name!r} has {len(numbers)} numbers instead of {size}")
    with np.errstate(over="ignore"):  # what float32 cannot hold is not finite
        vector = np.array(numbers, np.float64).astype(np.float32)
    if not np.isfinite(vector).all():
        return nothing, ("not_finite", f"{name!r} of the corpus has values that are not finite")
    return vector, None
