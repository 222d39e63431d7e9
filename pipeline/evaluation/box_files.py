"""What an evaluation of boxes leaves in a run beside its report: everything that was said.

<name>.parquet  recording_id, time_seconds, box (x_min, y_min, x_max, y_max in fractions of the
                picture), score, class, class_name, track_id (null without a track); a stored
                teacher's lie beside them as <name>-<teacher>.parquet. Frames without boxes have no
                row.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avkd.errors import CorruptStoreError
from avkd.pipeline.evaluation.box_said import SaidBoxes
from avkd.pipeline.evaluation.box_tracks import Ids, number_boxes
from avkd.pipeline.evaluation.row_files import file_name, write_predictions
from avkd.stages.metrics.boxes import FrameBoxes
from avkd.stages.tracking.tracker import NO_TRACK
from avkd.storage.arrow_memory import open_bytes

if TYPE_CHECKING:
    import pyarrow


def boxes_file(run: Path, name: str, teacher: str = "") -> Path:
    """Where the boxes of an evaluation lie, the student's or a stored teacher's."""
    return run / f"{file_name(*(part for part in (name, teacher) if part))}.parquet"


def write_boxes(file: Path, said: SaidBoxes, track_ids: Mapping[str, tuple[Ids, ...]]) -> None:
    """Write all boxes, by recording, time and score.

    Raises:
        StoreUnwritableError: It cannot be written.
    """
    write_predictions(file, box_table(said, track_ids))


def box_table(said: SaidBoxes, track_ids: Mapping[str, tuple[Ids, ...]]) -> "pyarrow.Table":
    """One row a box."""
    import pyarrow as pa

    recordings = said.by_recording()
    frames = [frame for each in recordings.values() for frame in each]
    ids = np.concatenate(
        [np.empty(0, np.int64), *(own for name in recordings for own in track_ids[name])]
    )
    boxes = np.concatenate([np.empty((0, 4), np.float32), *(each.boxes for each in frames)])
    classes = np.concatenate([np.empty(0, np.int32), *(each.classes for each in frames)])
    names = [name for name, each in recordings.items() for frame in each for _ in frame.scores]
    times = np.repeat([each.time_seconds for each in frames], [len(each) for each in frames])
    scores = np.concatenate([np.empty(0, np.float32), *(each.scores for each in frames)])
    return pa.table(
        {
            "recording_id": pa.array(names, pa.string()),
            "time_seconds": pa.array(times.astype(np.float64)),
            "box": pa.FixedSizeListArray.from_arrays(pa.array(boxes.reshape(-1)), 4),
            "score": pa.array(scores),
            "class": pa.array(classes),
            "class_name": pa.array([said.class_names[c] for c in classes.tolist()], pa.string()),
            "track_id": pa.array(ids, mask=ids == NO_TRACK),
        }
    )


def read_box_frames(file: Path) -> dict[str, tuple[FrameBoxes, ...]]:
    """The boxes of each recording at every instant that has some, numbered by ``number_boxes``.

    Raises:
        CorruptStoreError: It is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # From bytes: Arrow would take the folders of a path for partitions.
        table = pq.read_table(open_bytes(file.read_bytes())).combine_chunks()
        columns = {name: table[name].to_numpy() for name in ("time_seconds", "score", "class")}
        ids = table["track_id"].fill_null(NO_TRACK).to_numpy()
        boxes = table["box"].combine_chunks().flatten().to_numpy().reshape(-1, 4)
        names = table["recording_id"].to_pylist()
    except (OSError, KeyError, pa.ArrowException) as error:
        raise CorruptStoreError(
            f"{file} cannot be read: {str(error).splitlines()[0]}; evaluate the run again"
        ) from error
    places: dict[str, dict[float, list[int]]] = {}
    for place, (name, seconds) in enumerate(zip(names, columns["time_seconds"], strict=True)):
        places.setdefault(name, {}).setdefault(float(seconds), []).append(place)

    def frame(seconds: float, rows: list[int]) -> FrameBoxes:
        found = FrameBoxes(
            time_seconds=seconds,
            boxes=boxes[rows],
            scores=columns["score"][rows],
            classes=columns["class"][rows],
        )
        return number_boxes(found, ids[rows])

    return {
        name: tuple(frame(seconds, rows) for seconds, rows in sorted(by_time.items()))
        for name, by_time in places.items()
    }
