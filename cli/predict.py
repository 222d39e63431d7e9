"""`avkd predict`: options to what a student says of one sound file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avkd.cli.console import print_json, print_note, print_result, print_table, show_progress
from avkd.errors import InvalidValueError

if TYPE_CHECKING:
    from avkd.pipeline.heard_boxes import HeardBoxes


def predict(
    run: Annotated[str, typer.Argument(help="The finished run of a student that says boxes.")],
    sound: Annotated[
        str, typer.Argument(help="A file with all microphones that the student heard.")
    ],
    video: Annotated[
        str | None,
        typer.Option(help="What to draw the boxes on; by default the sound's own pictures."),
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            help="What is known of the camera, such as camera_height_metres=4.2; may come again.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    min_score: Annotated[float, typer.Option(help="Leave boxes of a lower score out.")] = 0.3,
    out: Annotated[str, typer.Option(help="Write boxes and tracks as JSON to this file.")] = "",
    overlay: Annotated[
        str, typer.Option(help="Write the video with boxes drawn on it to this mp4 file.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
) -> None:
    """Say from sound alone where things are: boxes and tracks over time."""
    from avkd.pipeline.predict import predict_sound, probe_video
    from avkd.pipeline.run_dir import write_bytes

    if video is not None and not overlay:
        raise InvalidValueError("--video is what to draw on; name the file to write as --overlay")
    video_seconds = probe_video(video or sound, overlay) if overlay else None
    with show_progress() as show:
        heard = predict_sound(
            run,
            sound,
            metadata=_split(metadata or []),
            min_score=min_score,
            on_seconds=lambda num_done, num_total: show("seconds", num_done, num_total, ""),
        )
    # The video first: where it cannot be written, nothing is.
    if overlay:
        _draw(heard, video or sound, overlay)
    if out:
        write_bytes(Path(out), heard.to_json().encode(), "choose another place")
    for note in (*heard.notes, *_note_length(heard, video_seconds)):
        print_note(f"note: {note}")
    if as_json:
        print_json(json.loads(heard.to_json()))
        return
    _print_tracks(heard, [name for name in (out, overlay) if name])


def _draw(heard: "HeardBoxes", video: str, overlay: str) -> None:
    from avkd.pipeline.report.overlay_video import write_overlay

    write_overlay(video, heard.sound, overlay, heard.frames, heard.step_seconds)


def _note_length(heard: "HeardBoxes", video_seconds: float | None) -> Iterator[str]:
    if video_seconds is not None and video_seconds < heard.duration_seconds - heard.step_seconds:
        yield (
            f"the video ends at {video_seconds:.2f} s and the sound at "
            f"{heard.duration_seconds:.2f} s: what is heard after the video is not drawn"
        )


def _split(metadata: Sequence[str]) -> Mapping[str, str]:
    named = {}
    for text in metadata:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InvalidValueError(
                f"--metadata {text!r} is no NAME=VALUE; write camera_height_metres=4.2"
            )
        if name in named:
            raise InvalidValueError(f"--metadata {name} is given twice; give each column once")
        named[name] = value
    return named


def _print_tracks(heard: "HeardBoxes", written: Sequence[str]) -> None:
    num_boxes = sum(map(len, heard.frames))
    print_result(
        f"{heard.sound}: {heard.duration_seconds:.2f} s, {len(heard.frames)} steps, {num_boxes} "
        f"boxes of a score of {heard.min_score:g} or more, {len(heard.tracks)} tracks"
    )
    if heard.tracks:
        print_table(
            ("track", "class", "from s", "to s", "boxes", "mean score"),
            [
                (
                    track.track_id,
                    track.class_name,
                    f"{track.start_seconds:.2f}",
                    f"{track.end_seconds:.2f}",
                    track.num_boxes,
                    f"{track.mean_score:.2f}",
                )
                for track in heard.tracks
            ],
        )
    for path in written:
        print_result(f"written: {path}")
