"""What a stored teacher said of rows, as if it were run on them again.

Conventions: N rows, K classes.
"""

import numpy as np

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.pipeline.evaluation.row_predictions import (
    BATCH_SIZE,
    Floats,
    RowPredictions,
    WantedRows,
    find_wanted,
)
from avkd.pipeline.training.examples import Examples
from avkd.pipeline.training.reading import Dense, read_scattered
from avkd.pipeline.training.targets import EMBEDDING, LOGITS
from avkd.storage.schema import OutputSpec
from avkd.storage.sparse import SparseLogits
from avkd.storage.store import Store


def read_teacher_rows(store: Store, teacher: str, wanted: WantedRows) -> RowPredictions:
    """What a stored teacher said of every wanted row that it saw.

    Raises:
        UnknownNameError: The store has no such teacher.
        InvalidValueError: The teacher stored neither logits nor embeddings.
        CorpusError: There are no such rows.
    """
    teachers = {name: spec for name, spec in store.producers().items() if spec.kind == "teacher"}
    if teacher not in teachers:
        raise UnknownNameError(f"teacher of {store.url}", teacher, teachers)
    outputs = {o.name: o for o in teachers[teacher].outputs if o.name in (LOGITS, EMBEDDING)}
    if not outputs:
        raise InvalidValueError(
            f"teacher {teacher!r} of {store.url} stored neither logits nor embeddings; leave it out"
        )
    examples, num_wanted = find_wanted(store, (teacher,), wanted)
    said = {name: _read_means(store, teacher, o, examples) for name, o in outputs.items()}
    nothing = np.zeros((len(examples), 0), np.float32)
    return RowPredictions(
        clip_ids=examples.clip_ids,
        recording_ids=examples.recording_ids,
        labels=examples.labels,
        logits=said.get(LOGITS, nothing),
        embeddings=said.get(EMBEDDING, nothing),
        class_names=outputs[LOGITS].class_names if LOGITS in outputs else (),
        num_left_out=num_wanted - len(examples),
    )


def _read_means(store: Store, teacher: str, output: OutputSpec, examples: Examples) -> Floats:
    """(N, width): the mean over each row's real steps."""
    has_steps = output.axes[0] == "step"
    means: list[Floats] = []
    for start in range(0, len(examples), BATCH_SIZE):
        block = slice(start, start + BATCH_SIZE)
        rows = read_scattered(store, teacher, output.name, examples.rows[teacher][block])
        for row, num_steps in zip(rows, examples.num_steps[block].tolist(), strict=True):
            values = _dense_row(row, output.shape[-1])
            means.append(values[:num_steps].mean(axis=0) if has_steps else values)
    return np.stack(means)


def _dense_row(row: Dense | SparseLogits, num_classes: int) -> Floats:
    """Logits of every class; those that were not kept share what is left of the probability."""
    if not isinstance(row, SparseLogits):
        return row.astype(np.float32)
    kept = row.values.astype(np.float32)
    left = np.clip(1 - np.exp(kept).sum(axis=-1, keepdims=True), np.finfo(np.float32).tiny, None)
    num_others = max(num_classes - kept.shape[-1], 1)
    dense = np.broadcast_to(np.log(left / num_others), (*kept.shape[:-1], num_classes)).copy()
    np.put_along_axis(dense, row.ids.astype(np.int64), kept, axis=-1)
    return dense
