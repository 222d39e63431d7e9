"""Write the road world: planned drives to a file of each stream, their table, and the truth apart.

``corpus.csv`` is what extraction and training read. ``truth/boxes.csv`` has a row for each vehicle
in each picture; detectors may learn from the rows of the split ``teacher``, the others are for
scores alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from avkd.errors import UnknownNameError
from avkd.stages.simulation.files import write_text
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

_Stream: TypeAlias = tuple[Drive, str]


@dataclass(frozen=True, kw_only=True)
class RoadFiles:
    """Where the files of a road world are."""

    folder: Path
    corpus: Path
    """corpus.csv, see ``CORPUS_COLUMNS``."""
    truth: Path
    """truth/boxes.csv, see ``TRUTH_COLUMNS``: all vehicles in the picture, hidden ones too."""
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

    ``on_progress`` counts files, one a drive and stream; the table has columns of the ``streams``
    asked for. A folder that holds another world's recordings keeps them; the tables name this
    world's alone.

    Raises:
        UnknownNameError: There is no such stream.
    """
    for stream in streams:
        if stream not in STREAMS:
            raise UnknownNameError("stream of the road", stream, STREAMS)
    planned = plan_road(world)
    description = describe("road", ROAD_WORLD_VERSION, asdict(world))
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
        num_written=num_written,
    )
    files.truth.parent.mkdir(parents=True, exist_ok=True)
    columns = [name for name in CORPUS_COLUMNS if name not in STREAMS or name in streams]
    rows = (tuple(_corpus_row(one)[name] for name in columns) for one in planned)
    write_text(files.corpus, format_table(columns, rows))
    write_text(files.truth, format_table(TRUTH_COLUMNS, _truth_rows(planned)))
    write_text(folder / DESCRIPTION, description)
    return files


def stream_path(drive: Drive, stream: str) -> str:
    """Path of one stream of a recording in the world's folder."""
    return f"{stream}/{drive.recording_id}{_SUFFIXES[stream]}"


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


def _write_audio(drive: Drive, path: Path) -> None:
    write_sound(path, render_sound(drive), drive.sample_rate)


_WRITERS: Mapping[str, Callable[[Drive, Path], None]] = {
    "rgb": _write_rgb,
    "depth": _write_depth,
    "thermal": _write_thermal,
    "audio": _write_audio,
}
_SUFFIXES = {"rgb": ".mp4", "depth": ".mkv", "thermal": ".mkv", "audio": ".flac"}


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
