"""The network of a trained teacher over the rows of a shard.

Batches are fixed by the place of rows in the shard, padded at its end and never across shards, and
torch computes on one thread: the bits of a row follow from the shard alone, whoever computes it.
Every batch ends with one more row, of zeros and all steps: an encoder that measures by the longest
clip of a batch finds the same in each.

Conventions: B clips of a batch; a place counts from the start of its shard.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avkd.pipeline.extraction.buffers import (
    USABLE_STATUSES,
    AnyArray,
    ShardContent,
    blank_rows_not_finite,
)
from avkd.pipeline.extraction.plan import Failure
from avkd.pipeline.extraction.policy import read_policy
from avkd.pipeline.extraction.producers import describe_output, stored_sparse_top_k
from avkd.pipeline.extraction.trained import (
    EMBEDDING,
    Source,
    TrainedRun,
    build_fingerprint,
    build_spec,
    find_sources,
    list_outputs,
    read_run,
)
from avkd.pipeline.training.students import load_clip_student
from avkd.stages.methods.clip_student import ClipStudent, Prediction
from avkd.stages.teachers.declaration import TORCH_CPU_THREADS
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.teachers.runtimes.by_torch import cpu_threads
from avkd.storage.schema import ClipRow, ProducerSpec
from avkd.storage.store import Store

INT16_SCALE = 32_768
"""Of full scale: a stored waveform is in [-1, 1] for a student."""


@dataclass(frozen=True, kw_only=True)
class TrainedTeacher:
    """A network with the place of what it looks at."""

    spec: ProducerSpec
    student: ClipStudent
    sources: Mapping[str, Source]
    batch_size: int


def load_trained(
    request: TeacherRequest,
    producers: Mapping[str, ProducerSpec],
    *,
    sparse_top_k: int | None = None,
) -> TrainedTeacher:
    """Build the network of a run and say what it gives.

    Args:
        request: of the teacher; resolved.
        producers: all that the store holds or will hold when the teacher looks.
        sparse_top_k: how many of the largest softmax logits are kept; None does as is stored.

    Raises:
        InvalidValueError: the store lacks something that it looks at, or holds it in another form.
    """
    loaded = load_clip_student(request.family)
    run = TrainedRun(request=read_run(request).request, description=loaded.description)
    sources = find_sources(run, producers)
    if sparse_top_k is None:
        sparse_top_k = stored_sparse_top_k(producers[request.name])
    fingerprint = build_fingerprint(run, sources, sparse_top_k, loaded.weights_sha256)
    outputs = list_outputs(
        _find_sizes(loaded.student, sources),
        sources,
        loaded.class_names,
        excludes=loaded.label_kind != "classes",
    )
    described = [describe_output(output, sparse_top_k) for output in outputs]
    return TrainedTeacher(
        spec=build_spec(run.name, fingerprint, described),
        student=loaded.student,
        sources=sources,
        batch_size=run.request.batch_size,
    )


def gather_predictions(
    teacher: TrainedTeacher, store: Store, shard: int, clips: Sequence[ClipRow]
) -> ShardContent:
    """Give a shard of a teacher whose inputs are committed there."""
    num_rows = store.rows_per_shard
    failures = _input_failures(teacher, store, shard)
    num_steps = np.ones(num_rows, np.int64)
    is_usable = np.zeros(num_rows, bool)
    for clip in clips:
        place = clip.row % num_rows
        num_steps[place] = clip.num_steps
        is_usable[place] = place not in failures or failures[place][0] in USABLE_STATUSES
    arrays: dict[str, AnyArray] = {
        output.name: np.zeros((num_rows, *output.shape), np.float32)
        for output in teacher.spec.outputs
    }
    for first in range(0, num_rows, teacher.batch_size):
        stop = min(first + teacher.batch_size, num_rows)
        (real,) = np.nonzero(is_usable[first:stop])
        if len(real):
            rows = range(shard * num_rows + first, shard * num_rows + stop)
            predictions = _predict_rows(teacher, store, rows, num_steps[first:stop])
            for name, array in arrays.items():
                array[first + real] = predictions[name][real]
    failures.update(blank_rows_not_finite(teacher.spec.name, arrays))
    return ShardContent(arrays=arrays, failures=dict(sorted(failures.items())))


def _input_failures(teacher: TrainedTeacher, store: Store, shard: int) -> dict[int, Failure]:
    """Give, by place, why a row cannot be looked at; what is only partial is looked at."""
    found: dict[int, Failure] = {}
    for stream in teacher.sources:
        for row, (status, reason) in store.read_commit(stream, shard).failures.items():
            place = row % store.rows_per_shard
            if place not in found or found[place][0] in USABLE_STATUSES:
                found[place] = (status, f"{stream}: {reason}")
    return found


def _predict_rows(
    teacher: TrainedTeacher, store: Store, rows: range, num_steps: npt.NDArray[np.int64]
) -> Mapping[str, npt.NDArray[np.float32]]:
    """Look at rows of a shard, padded to a whole batch and its last row."""
    num_more = teacher.batch_size - len(rows) + 1
    inputs = {
        stream: _to_tensor(
            _pad(store.read_rows(stream, source.output.name, rows.start, rows.stop), num_more, 0)
        )
        for stream, source in teacher.sources.items()
    }
    policy = read_policy(store)
    steps = _pad(num_steps, num_more, policy.num_steps if policy else 1)
    return _name_outputs(_predict(teacher.student, inputs, torch.from_numpy(steps)))


def _predict(student: ClipStudent, inputs: Mapping[str, Tensor], num_steps: Tensor) -> Prediction:
    with cpu_threads(TORCH_CPU_THREADS), torch.inference_mode():
        prediction: Prediction = student(inputs, num_steps)
    return prediction


def _name_outputs(prediction: Prediction) -> dict[str, npt.NDArray[np.float32]]:
    named = {
        "logits": prediction.logits,
        EMBEDDING: prediction.embedding,
        **{f"logits_{stream}": votes for stream, votes in prediction.stream_logits.items()},
    }
    return {name: value.float().numpy() for name, value in named.items()}


def _find_sizes(student: ClipStudent, sources: Mapping[str, Source]) -> dict[str, int]:
    """Count what the network gives by a look at one clip of zeros."""
    inputs = {
        stream: _to_tensor(np.zeros((1, *source.output.shape), source.output.dtype))
        for stream, source in sources.items()
    }
    prediction = _predict(student, inputs, torch.ones(1, dtype=torch.int64))
    return {name: value.shape[1] for name, value in _name_outputs(prediction).items()}


def _to_tensor(array: npt.NDArray[Any]) -> Tensor:
    """Give an input as students take it: sound in [-1, 1], pictures as they are, else float32."""
    if array.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(array))
    values = torch.from_numpy(array.astype(np.float32))
    return values / INT16_SCALE if array.dtype == np.int16 else values


def _pad(array: npt.NDArray[Any], num_rows: int, value: int) -> npt.NDArray[Any]:
    tail = np.full((num_rows, *array.shape[1:]), value, array.dtype)
    return np.concatenate([array, tail])
