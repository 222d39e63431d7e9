"""What an evaluation of rows leaves in a run: predictions that a comparison can pair.

predictions-<name>.parquet            clip_id, recording_id, label, prediction, logits, correct
predictions-<name>.parquet of trials  enrol_id, test_id, enrol_speaker, test_speaker, is_target,
                                      score
A stored teacher's lie beside them as predictions-<name>-<teacher>.parquet.
"""

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from avkd.errors import CorruptStoreError
from avkd.pipeline.evaluation.row_predictions import RowPredictions
from avkd.pipeline.evaluation.row_scores import predict_class
from avkd.stages.metrics.trials import Trials
from avkd.storage import objects
from avkd.storage.arrow_memory import open_bytes

if TYPE_CHECKING:
    import pyarrow

CLASS_NAMES = b"class_names"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def predictions_file(run: Path, name: str, teacher: str = "") -> Path:
    """Where the predictions of an evaluation lie, the student's or a stored teacher's."""
    parts = [part for part in (name, teacher) if part]
    return run / f"predictions-{file_name(*parts)}.parquet"


def file_name(*parts: str) -> str:
    """Parts joined to what any file system takes."""
    return "-".join(_UNSAFE.sub("_", part) for part in parts)


def label_table(said: RowPredictions, *, has_one_class: bool) -> "pyarrow.Table":
    """One row a clip; ``prediction`` and ``correct`` are null where clips have several classes."""
    import pyarrow as pa

    predictions = [said.class_names[place] for place in predict_class(said)]
    columns = {
        "clip_id": list(said.clip_ids),
        "recording_id": list(said.recording_ids),
        "label": list(said.labels),
        "prediction": predictions if has_one_class else [None] * len(said),
        "logits": said.logits.tolist(),
        "correct": [p == truth for p, truth in zip(predictions, said.labels, strict=True)]
        if has_one_class
        else [None] * len(said),
    }
    schema = pa.schema(
        [
            ("clip_id", pa.string()),
            ("recording_id", pa.string()),
            ("label", pa.string()),
            ("prediction", pa.string()),
            ("logits", pa.list_(pa.float32())),
            ("correct", pa.bool_()),
        ],
        metadata={CLASS_NAMES: json.dumps(said.class_names).encode()},
    )
    return pa.table(columns, schema=schema)


def trial_table(
    trials: Trials, scores: npt.NDArray[np.float64], speakers: Mapping[str, str] | None
) -> "pyarrow.Table":
    """One row a trial, in the order of the list; speakers are null where they are not known."""
    import pyarrow as pa

    known = speakers or {}
    return pa.table(
        {
            "enrol_id": pa.array(trials.enrol_ids, pa.string()),
            "test_id": pa.array(trials.test_ids, pa.string()),
            "enrol_speaker": pa.array([known.get(i) for i in trials.enrol_ids], pa.string()),
            "test_speaker": pa.array([known.get(i) for i in trials.test_ids], pa.string()),
            "is_target": pa.array(trials.is_target),
            "score": pa.array(scores, pa.float64()),
        }
    )


def write_predictions(file: Path, table: "pyarrow.Table") -> None:
    """Put the whole table in its place at once.

    Raises:
        StoreUnwritableError: It cannot be written.
    """
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    objects.put_durable(str(file), buffer.getvalue())


def read_predictions(file: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The columns of a table by name, and the class names of its logits.

    Raises:
        CorruptStoreError: It is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # From bytes: Arrow would take the folders of a path for partitions.
        table = pq.read_table(open_bytes(file.read_bytes()))
    except (OSError, pa.ArrowException) as error:
        raise CorruptStoreError(
            f"{file} cannot be read: {str(error).splitlines()[0]}; evaluate the run again"
        ) from error
    names = (table.schema.metadata or {}).get(CLASS_NAMES, b"[]")
    return table.to_pydict(), tuple(json.loads(names))
