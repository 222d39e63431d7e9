"""Write the road world: planned drives to a file of each stream, their table, and the truth apart.

``corpus.csv`` is what extraction and training read. ``truth/boxes.csv`` has a row for each vehicle
in each picture, ``truth/classes.csv``, where asked for, one for each recording, with a file of the
class of every pixel; teachers may learn from the rows of the split ``teacher``, the others are for
scores alone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from avkd.errors import UnknownNameError
from avkd.stages.simulation.files import write_text
from avkd.stages.simulation.road.class_map import CLASSES
from avkd.stages.simulation.road.pictures import RoadPictures
from avkd.stages.simulation.road.recording import write_gray16, write_rgb, write_sound
from avkd.stages.simulation.road.settings import Drive
from avkd.stages.simulation.road.sight import frame_seconds, track_boxes
from avkd.stages.simulation.road.sound import render_sound
from avkd.stages.simulation.worlds.folders import (
    DESCRIPTION,
    OnProgress,
    describe,
    format_table,
    write_missing,
)
from avkd.stages.simulation.worlds.road import PlannedDrive, RoadWorld, plan_road

ROAD_WORLD_VERSION = 1
"""Raised whenever the same world would give other files."""

STREAMS = ("rgb", "depth", "thermal", "audio")
"""Of a recording."""
CLASS_STREAM = "classes"
"""What is true of it, pixel by pixel: 16-bit gray of places in ``class_map.CLASSES``."""
ALL_STREAMS = (*STREAMS, CLASS_STREAM)
CORPUS_COLUMNS = (
    "recording_id",
    *STREAMS,
    "duration_seconds",
    "split",
    "light",
    "view",
    "view_split",
    "camera_height_metres",
    "camera_pitch_degrees",
    "camera_distance_metres",
)
TRUTH_COLUMNS = (
    "recording_id",
    "frame_time_seconds",
    "track_id",
    "kind",
    "x_min",
    "y_min",
    "x_max",
    "y_max",
    "visible_fraction",
    "distance_metres",
)

CLASS_COLUMNS = (*CORPUS_COLUMNS, CLASS_STREAM, "class_names")
"""Those of the corpus, files of all its streams included, and the names of the classes in the order
of their numbers, with commas between."""

_Stream: TypeAlias = tuple[Drive, str]


@dataclass(frozen=True, kw_only=True)
class RoadFiles:
    """Where the files of a road world are."""

    folder: Path
    corpus: Path
    """corpus.csv, see ``CORPUS_COLUMNS``."""
    truth: Path
    """truth/boxes.csv, see ``TRUTH_COLUMNS``: all vehicles in the picture, hidden ones too."""
    classes: Path
    """truth/classes.csv, see ``CLASS_COLUMNS``; there if the stream ``classes`` was asked for."""
    num_written: int
    """Files of recordings made by this call, one a drive and stream; 0 when all were there."""


def write_road_world(
    world: RoadWorld,
    folder: Path,
    *,
    streams: Sequence[str] = STREAMS,
    num_workers: int = 1,
    on_progress: OnProgress | None = None,
) -> RoadFiles:
    """Make a world's files in a folder, or take up what an equal world left there.

    ``on_progress`` counts files, one a drive and stream; tables have columns of the ``streams``
    asked for, and of those that an equal world left whole. ``classes`` may be one of these: it is
    truth, and has a table of its own. A folder that holds another world's recordings keeps them;
    the tables name this world's alone.

    Raises:
        UnknownNameError: There is no such stream.
    """
    for stream in streams:
        if stream not in ALL_STREAMS:
            raise UnknownNameError("stream of the road", stream, ALL_STREAMS)
    planned = plan_road(world)
    description = describe("road", ROAD_WORLD_VERSION, asdict(world))
    named = (*streams, *_find_whole(planned, folder, description))
    num_written = write_missing(
        [
            ((one.drive, stream), folder / stream_path(one.drive, stream))
            for one in planned
            for stream in streams
        ],
        write_stream,
        folder / DESCRIPTION,
        description,
        num_workers=num_workers,
        on_progress=on_progress,
    )
    files = RoadFiles(
        folder=folder,
        corpus=folder / "corpus.csv",
        truth=folder / "truth" / "boxes.csv",
        classes=folder / "truth" / "classes.csv",
        num_written=num_written,
    )
    files.truth.parent.mkdir(parents=True, exist_ok=True)
    write_text(files.corpus, _format_rows(CORPUS_COLUMNS, named, map(_corpus_row, planned)))
    if CLASS_STREAM in named:
        write_text(files.classes, _format_rows(CLASS_COLUMNS, named, map(_class_row, planned)))
    write_text(files.truth, format_table(TRUTH_COLUMNS, _truth_rows(planned)))
    write_text(folder / DESCRIPTION, description)
    return files


def _find_whole(planned: Sequence[PlannedDrive], folder: Path, text: str) -> tuple[str, ...]:
    """The streams of which an equal world, described by ``text``, has left every file."""
    description = folder / DESCRIPTION
    if not description.is_file() or description.read_text(encoding="utf-8") != text:
        return ()
    return tuple(
        stream
        for stream in ALL_STREAMS
        if all((folder / stream_path(one.drive, stream)).is_file() for one in planned)
    )


def stream_path(drive: Drive, stream: str) -> str:
    """Path of one stream of a recording in the world's folder."""
    folder = f"truth/{stream}" if stream == CLASS_STREAM else stream
    return f"{folder}/{drive.recording_id}{_SUFFIXES[stream]}"


def write_stream(stream: _Stream, path: Path) -> None:
    """Make one stream of one recording; the file appears whole or not at all."""
    drive, name = stream
    _WRITERS[name](drive, path)


def _write_rgb(drive: Drive, path: Path) -> None:
    frames = map(RoadPictures(drive).rgb, range(drive.num_frames))
    write_rgb(path, frames, drive.camera.picture_size, drive.frame_rate)


def _write_depth(drive: Drive, path: Path) -> None:
    frames = map(RoadPictures(drive).depth, range(drive.num_frames))
    write_gray16(path, frames, drive.camera.picture_size, drive.frame_rate)


def _write_thermal(drive: Drive, path: Path) -> None:
    frames = map(RoadPictures(drive).thermal, range(drive.num_frames))
    write_gray16(path, frames, drive.camera.picture_size, drive.frame_rate)


def _write_classes(drive: Drive, path: Path) -> None:
    maps = map(RoadPictures(drive).classes, range(drive.num_frames))
    frames = (each.astype(np.uint16) for each in maps)
    write_gray16(path, frames, drive.camera.picture_size, drive.frame_rate)


def _write_audio(drive: Drive, path: Path) -> None:
    write_sound(path, render_sound(drive), drive.sample_rate)


_WRITERS: Mapping[str, Callable[[Drive, Path], None]] = {
    "rgb": _write_rgb,
    "depth": _write_depth,
    "thermal": _write_thermal,
    "audio": _write_audio,
    CLASS_STREAM: _write_classes,
}
_SUFFIXES = {
    "rgb": ".mp4",
    "depth": ".mkv",
    "thermal": ".mkv",
    "audio": ".flac",
    CLASS_STREAM: ".mkv",
}


def _format_rows(
    columns: Sequence[str], streams: Sequence[str], rows: Iterable[Mapping[str, str]]
) -> str:
    """A table without the columns of other streams than these."""
    names = [name for name in columns if name not in ALL_STREAMS or name in streams]
    return format_table(names, (tuple(row[name] for name in names) for row in rows))


def _corpus_row(planned: PlannedDrive) -> dict[str, str]:
    drive, camera = planned.drive, planned.drive.camera
    return {
        "recording_id": drive.recording_id,
        **{stream: stream_path(drive, stream) for stream in STREAMS},
        "duration_seconds": str(drive.duration_seconds),
        "split": planned.split,
        "light": drive.light,
        "view": camera.view,
        "view_split": planned.view_split,
        "camera_height_metres": str(camera.height_m),
        "camera_pitch_degrees": str(camera.pitch_degrees),
        "camera_distance_metres": str(camera.distance_m),
    }


def _class_row(planned: PlannedDrive) -> dict[str, str]:
    """Paths are relative to the table's folder, which is one deeper than the corpus's."""
    return {
        **_corpus_row(planned),
        **{stream: f"../{stream_path(planned.drive, stream)}" for stream in STREAMS},
        CLASS_STREAM: stream_path(planned.drive, CLASS_STREAM).removeprefix("truth/"),
        "class_names": ",".join(CLASSES),
    }


def _truth_rows(planned: Sequence[PlannedDrive]) -> Iterator[tuple[str, ...]]:
    for one in planned:
        drive = one.drive
        seconds = frame_seconds(drive)
        tracks = track_boxes(drive, seconds)
        for frame, vehicle in zip(*tracks.in_picture.nonzero(), strict=True):
            yield (
                drive.recording_id,
                str(float(seconds[frame])),
                str(drive.vehicles[vehicle].track_id),
                drive.vehicles[vehicle].kind,
                *(f"{side:.6f}" for side in tracks.boxes[frame, vehicle]),
                f"{tracks.visible_fractions[frame, vehicle]:.4f}",
                f"{tracks.distances_metres[frame, vehicle]:.3f}",
            )
