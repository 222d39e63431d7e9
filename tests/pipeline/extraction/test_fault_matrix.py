"""Every kind of file that is broken, strange or hostile ends in its own defined state.

One extraction over a corpus of all of them; then a test for each.
"""

import csv
import ctypes
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.progress import ProgressEvent
from avkd.pipeline.extraction.request import ExtractReport, ExtractRequest
from avkd.stages.media.limits import DecodeLimits
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import WaveformFormat
from avkd.storage.store import Store
from avkd.storage.verify import verify_store

from .odd_media import (  # noqa: TID252  (a neighbour: tests are no package of that name)
    CANARY_SHADE,
    LARGEST_WIDTH,
    MAKERS,
    SAMPLE_RATE,
    Movie,
    write_all,
    write_movie,
)

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="pipes, links and signals"),
    pytest.mark.slow,
]

LIMITS = DecodeLimits(
    no_progress_seconds=5.0,
    clip_seconds=60.0,
    num_pixels=LARGEST_WIDTH**2,
    memory_bytes=2**30,
)
NO_SOUND = "no sound in this file"
NO_PICTURES = "no pictures in this file"
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0

# name: states of the pictures and of the sound, clip by clip, and what their reasons name. Where
# the file itself is refused there is one clip, whose pictures and sound have one reason.
EXPECTED: dict[str, tuple[str, str, str, str]] = {
    "good.mp4": ("ok ok", "ok ok", "", ""),
    "good.mkv": ("ok ok", "ok ok", "", ""),
    "same_a.mp4": ("ok ok", "ok ok", "", ""),
    "same_b.mp4": ("ok ok", "ok ok", "", ""),
    "video_only.mp4": ("ok ok", "no_audio no_audio", "", NO_SOUND),
    "audio_only.m4a": ("no_video no_video", "ok ok", NO_PICTURES, ""),
    "short_0.2s.mp4": ("ok", "ok", "", ""),
    "variable_rate.mp4": ("ok ok", "ok ok", "", ""),
    "rotated.mp4": ("ok ok", "ok ok", "", ""),
    "odd_size.mkv": ("ok ok", "ok ok", "", ""),
    "eight_channels.mkv": ("ok ok", "ok ok", "", ""),
    "stereo.mp4": ("ok ok", "ok ok", "", ""),
    "eight_khz.mp4": ("ok ok", "ok ok", "", ""),
    "ten_bit.mkv": ("ok ok", "ok ok", "", ""),
    "one_frame.mp4": ("ok", "no_audio", "", NO_SOUND),
    "late_sound.mp4": ("ok ok", "ok ok", "", ""),
    "two_sizes.ts": ("ok ok", "no_audio no_audio", "", NO_SOUND),
    "two_sizes.mkv": ("ok ok", "no_audio no_audio", "", NO_SOUND),
    "growing.mkv": ("ok decode_error", "no_audio no_audio", "1040 x 1040 are over", NO_SOUND),
    "empty_track.mkv": ("ok ok", "no_audio no_audio", "", "track of sound in this file is empty"),
    "sound_with_a_hole.mkv": (
        "no_video no_video no_video",
        "ok too_short ok",
        NO_PICTURES,
        "2.00 s of sound are missing",
    ),
    # Without the index at the end of an MP4 nothing can be found in it.
    "cut_head.mp4": ("decode_error", "decode_error", "cut_head.mp4: Invalid data", "Invalid data"),
    "cut_middle.mp4": ("decode_error", "decode_error", r"\(moov\) is missing", "cut off"),
    "cut_tail.mp4": ("decode_error", "decode_error", r"\(moov\) is missing", "cut off"),
    "cut_head_faststart.mp4": ("decode_error", "decode_error", "Invalid data", "Invalid data"),
    "cut_middle_faststart.mp4": (
        "ok too_short",
        "ok partial",
        r"pictures end at 2\.\d\d s: 2 of 2 missing",
        r"sound ends at 2\.\d\d s, the file declares 4\.00 s: \d+ of 32000 samples missing",
    ),
    "cut_tail_faststart.mp4": (
        "ok partial",
        "ok partial",
        "1 of 2 missing, the last wanted at 3.50 s",
        "sound ends at 3",
    ),
    "cut_middle.mkv": ("ok too_short", "ok partial", "2 of 2 missing", "sound ends at 2"),
    # All pictures that are wanted are there, and yet the file is short.
    "cut_tail.mkv": (
        "ok partial",
        "ok partial",
        r"pictures end at 3\.\d\d s, the file declares 4\.00 s",
        "sound ends at 3",
    ),
    "cut_middle.avi": ("ok partial", "ok partial", "1 of 2 missing", "the file declares 4.00 s"),
    # A transport stream declares no length: what is there is all there is.
    "cut_middle.ts": ("ok", "ok", "", ""),
    "cut_middle.flac": (
        "no_video no_video",
        "partial too_short",
        NO_PICTURES,
        "the file declares 4.00 s",
    ),
    "cut_middle.wav": ("no_video no_video", "ok partial", NO_PICTURES, "declares 4.00 s"),
    "flipped.mp4": ("ok partial", "partial partial", "damaged pictures", "broken packets of sound"),
    "flipped_sound.m4a": ("no_video no_video", "partial partial", NO_PICTURES, "broken packets"),
    "garbage_inside.mkv": ("ok partial", "partial partial", "damaged pictures", "missing in bet"),
    "garbage_inside.mp4": ("partial partial", "partial partial", "damaged pict", "broken packets"),
    "garbage_inside.ts": ("ok partial", "partial partial", "damaged pictures", "missing in betw"),
    "huge_pictures.avi": ("decode_error decode_error", "ok ok", "12000 x 12000 are over", ""),
    # The pictures know better than the container how large they are, and its table how long.
    "huge_pictures.mp4": ("ok ok", "no_audio no_audio", "", NO_SOUND),
    "huge_duration.mp4": ("ok ok", "ok ok", "", ""),
    "huge_duration.mkv": ("decode_error", "decode_error", r"declares 1e\+10 s, over", "604800 s"),
    "huge_sample_rate.wav": ("no_video", "decode_error", NO_PICTURES, "2000000000 samples a sec"),
    "empty.mp4": ("decode_error", "decode_error", "the file is empty", "the file is empty"),
    "zeros.mp4": ("decode_error", "decode_error", "begins with zeros", "begins with zeros"),
    "text.mp4": ("decode_error", "decode_error", "the file is text", "the file is text"),
    "hanging.avi": ("timeout", "timeout", "nothing was decoded for 5 s", "nothing was decoded"),
    # What the corpus itself does wrong; see ``_tricks``.
    "playlist.mp4": ("decode_error", "decode_error", "a playlist", "a playlist"),
    "concat.mp4": ("decode_error", "decode_error", "a playlist", "a playlist"),
    "web_playlist.mp4": ("decode_error", "decode_error", "a playlist", "a playlist"),
    "pipe.mp4": ("decode_error", "decode_error", "a named pipe, not a file", "a named pipe"),
    "folder.mp4": ("decode_error", "decode_error", "a folder, not a file", "a folder"),
    "device": ("decode_error", "decode_error", "/dev/zero: a device", "a device"),
    "loop.mp4": ("decode_error", "decode_error", "symbolic links", "symbolic links"),
    "missing.mp4": ("decode_error", "decode_error", "missing.mp4: no such file", "no such file"),
    "unreadable.mp4": ("decode_error", "decode_error", "Permission denied", "Permission denied"),
    "deleted.mp4": ("decode_error decode_error", "decode_error decode_error", "no such", "no such"),
    "ünï côdé 日本語 🎬.mp4": ("ok", "ok", "", ""),
    "long name": ("ok", "ok", "", ""),
    "two\nlines": ("ok", "no_audio", "", r"two\\nlines.mp4': no sound in this file"),
    "too long name": ("decode_error", "decode_error", "name too long", "name too long"),
    "nul path": ("decode_error", "decode_error", "null", "null"),
    "../../../escape": ("ok", "ok", "", ""),
    "/absolute\\..\\id": ("ok", "ok", "", ""),
    "nul\0id": ("ok", "ok", "", ""),
    "declared for years": (
        "decode_error",
        "decode_error",
        "the corpus declares 1e",
        "over the lim",
    ),
}
KINDS = [
    pytest.param(name, marks=pytest.mark.skipif(IS_ROOT, reason="root reads everything"))
    if name == "unreadable.mp4"
    else name
    for name in EXPECTED
]
WHOLE = [
    name
    for name, (pictures, sound, *_) in EXPECTED.items()
    if {*pictures.split(), *sound.split()} == {"ok"}
]


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """What came of the one run."""

    folder: Path
    store: Store
    report: ExtractReport
    states: Mapping[tuple[str, str], Sequence[tuple[str, str]]]
    """Of a recording and a producer: status and reason, clip by clip."""
    num_canary_opened: int
    num_connections: int

    def rows(self, recording_id: str) -> list[int]:
        """The rows of a recording."""
        clips = [clip for shard in self.store.shards() for clip in self.store.read_clips(shard)]
        return [clip.row for clip in clips if clip.recording_id == recording_id]

    def read(self, recording_id: str, producer: str, output: str) -> np.ndarray:
        """An output of all rows of a recording."""
        rows = self.rows(recording_id)
        return self.store.read_rows(producer, output, rows[0], rows[-1] + 1)


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    """Extract everything at once: a teacher of pictures, and the sound."""
    folder = tmp_path_factory.mktemp("matrix") / "media" / "below"
    folder.mkdir(parents=True)
    write_all(folder)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.0)
        corpus = _write_corpus(folder, server.getsockname()[1])
        request = ExtractRequest(
            corpus=str(corpus),
            store=str(folder.parent / "store"),
            teachers=(TeacherRequest(name="bright", family="brightness", batch_size=4),),
            inputs=WaveformFormat(sample_rate=8_000),
            clip_seconds=2.0,
            step_seconds=1.0,
            rows_per_shard=16,
            num_decode_workers=2,
            decode_limits=LIMITS,
        )
        with _watch_opening(folder / "canary.mp4") as count_opened:
            report = extract_teacher(request, on_progress=_delete_when_probed(folder))
            num_canary_opened = count_opened()
        num_connections = _count_connections(server)
    store = Store.open(request.store)
    return Matrix(
        folder=folder,
        store=store,
        report=report,
        states=_read_states(store),
        num_canary_opened=num_canary_opened,
        num_connections=num_connections,
    )


def _write_corpus(folder: Path, port: int) -> Path:
    rows = [(name, name, "") for name in MAKERS]
    rows += _tricks(folder, port)
    path = folder / "corpus.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "recording_id", "duration_seconds"), *rows])
    return path


def _tricks(folder: Path, port: int) -> list[tuple[str, str, str]]:
    """Path, id and declared duration of recordings that are no files that PyAV could write."""
    whole = Movie(seconds=2)
    write_movie(folder / "canary.mp4", Movie(shade=CANARY_SHADE))
    head = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n"
    (folder / "playlist.mp4").write_text(f"{head}{folder / 'canary.mp4'}\n#EXT-X-ENDLIST\n")
    (folder / "concat.mp4").write_text(f"ffconcat version 1.0\nfile {folder / 'canary.mp4'}\n")
    (folder / "web_playlist.mp4").write_text(
        f"{head}http://127.0.0.1:{port}/x.ts\n#EXT-X-ENDLIST\n"
    )
    os.mkfifo(folder / "pipe.mp4")
    (folder / "folder.mp4").mkdir()
    (folder / "loop.mp4").symlink_to(folder / "loop_back.mp4")
    (folder / "loop_back.mp4").symlink_to(folder / "loop.mp4")
    for name in ("unreadable.mp4", "ünï côdé 日本語 🎬.mp4", f"{'l' * 200}.mp4"):
        write_movie(folder / name, whole)
    write_movie(folder / "two\nlines.mp4", Movie(seconds=2, sound_codec=None))
    write_movie(folder / "deleted.mp4", Movie())
    (folder / "unreadable.mp4").chmod(0)
    short = "short_0.2s.mp4"
    named = ("playlist.mp4", "concat.mp4", "web_playlist.mp4", "pipe.mp4", "folder.mp4")
    named += ("loop.mp4", "missing.mp4", "unreadable.mp4", "deleted.mp4", "ünï côdé 日本語 🎬.mp4")
    return [
        *((name, name, "") for name in named),
        ("/dev/zero", "device", ""),
        (f"{'l' * 200}.mp4", "long name", ""),
        (f"{'l' * 300}.mp4", "too long name", ""),
        ("two\nlines.mp4", "two\nlines", ""),
        ("good.mp4\0.mp4", "nul path", ""),
        (short, "../../../escape", ""),
        (short, "/absolute\\..\\id", ""),
        (short, "nul\0id", ""),
        ("good.mp4", "declared for years", "1e12"),
    ]


def _delete_when_probed(folder: Path):  # type: ignore[no-untyped-def]
    def on_progress(event: ProgressEvent) -> None:
        if event.phase == "probe" and event.num_done == event.num_total:
            (folder / "deleted.mp4").unlink(missing_ok=True)

    return on_progress


def _read_states(store: Store) -> Mapping[tuple[str, str], Sequence[tuple[str, str]]]:
    states: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for producer in ("bright", "waveform"):
        failures = {row: why for c in store.commits(producer) for row, why in c.failures.items()}
        for shard in store.shards():
            for clip in store.read_clips(shard):
                found = states.setdefault((clip.recording_id, producer), [])
                found.append(failures.get(clip.row, ("ok", "")))
    return states


def _count_connections(server: socket.socket) -> int:
    number = 0
    while True:
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return number
        number += 1


_IN_OPEN, _IN_NONBLOCK = 0x20, 0o4000


@contextmanager
def _watch_opening(path: Path) -> Iterator:  # type: ignore[type-arg]
    """Gives a function that tells how often anyone has opened the file since it was last asked."""
    if sys.platform != "linux":
        yield lambda: 0
        return
    library = ctypes.CDLL(None, use_errno=True)
    watch = library.inotify_init1(_IN_NONBLOCK)
    assert library.inotify_add_watch(watch, os.fsencode(path), _IN_OPEN) >= 0

    def count() -> int:
        try:
            return len(os.read(watch, 4096)) // 16
        except BlockingIOError:
            return 0

    try:
        path.read_bytes()
        assert count() == 1, "the watch sees nothing"
        yield count
    finally:
        os.close(watch)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("producer", ["bright", "waveform"])
def test_a_file_of_that_kind_ends_in_its_state(matrix: Matrix, name: str, producer: str) -> None:
    pictures, sound, why_pictures, why_sound = EXPECTED[name]
    expected, why = (pictures, why_pictures) if producer == "bright" else (sound, why_sound)
    states = matrix.states[name, producer]
    assert " ".join(status for status, _ in states) == expected, states
    for status, reason in states:
        assert bool(reason) == (status != "ok")
        assert "\n" not in reason
    reasons = [reason for status, reason in states if status != "ok"]
    assert not why or any(re.search(why, reason) for reason in reasons), reasons


def test_numbers_of_what_is_missing_add_up(matrix: Matrix) -> None:
    pattern = re.compile(
        r"sound ends at ([\d.]+) s, the file declares ([\d.]+) s: (\d+) of (\d+) samples missing"
    )
    num_found = 0
    for (name, producer), states in matrix.states.items():
        for number, (_, reason) in enumerate(states):
            found = pattern.search(reason)
            if producer == "waveform" and found:
                end, declared, missing, wanted = map(float, found.groups())
                assert (declared, wanted) == (pytest.approx(4.0, abs=0.1), 2 * SAMPLE_RATE), name
                begin, stop = max(end, 2.0 * number), min(declared, 2.0 * (number + 1))
                assert missing == pytest.approx((stop - begin) * SAMPLE_RATE, abs=200), name
                num_found += 1
    assert num_found > 4


def test_every_file_has_an_expected_state(matrix: Matrix) -> None:
    assert {name for name, _ in matrix.states} == EXPECTED.keys()
    assert len(EXPECTED) > 50
    assert matrix.report.num_recordings == len(EXPECTED)


def test_the_run_ended_well_and_its_store_verifies(matrix: Matrix) -> None:
    report = matrix.report
    assert report.num_shards_done == len(matrix.store.shards())
    for status in report.status.values():
        assert sum(status.values()) == report.num_clips
    assert verify_store(matrix.store.url) == ()
    assert len(WHOLE) >= 15


@pytest.mark.parametrize(
    "name",
    [
        *("good.mp4", "good.mkv", "variable_rate.mp4", "rotated.mp4", "odd_size.mkv"),
        *("eight_channels.mkv", "ten_bit.mkv", "two_sizes.ts", "two_sizes.mkv"),
        *("huge_pictures.mp4", "huge_duration.mp4", "late_sound.mp4"),
    ],
)
def test_pictures_of_odd_files_are_the_right_ones(matrix: Matrix, name: str) -> None:
    seen = matrix.read(name, "bright", "embedding")[..., 0].astype(float) * 255
    # Noise of 0 to 39 over a shade of 40, ten lighter each second.
    np.testing.assert_allclose(seen.ravel(), [59, 69, 79, 89], atol=2.5)


@pytest.mark.parametrize("name", ["good.mp4", "eight_channels.mkv", "stereo.mp4", "eight_khz.mp4"])
def test_sound_of_odd_files_is_the_tone_that_was_written(matrix: Matrix, name: str) -> None:
    first = matrix.read(name, "waveform", "waveform")[0, 0].astype(float)
    assert np.abs(np.fft.rfft(first)).argmax() / 2 == pytest.approx(440, abs=1)
    assert np.abs(first).max() == pytest.approx(8_000, rel=0.1)


def test_the_same_content_twice_is_stored_twice_and_alike(matrix: Matrix) -> None:
    for producer, output in (("bright", "logits"), ("waveform", "waveform")):
        one, two = (matrix.read(name, producer, output) for name in ("same_a.mp4", "same_b.mp4"))
        assert one.any()
        assert np.array_equal(one, two)


def test_rows_without_data_are_zero(matrix: Matrix) -> None:
    for name, (pictures, *_) in EXPECTED.items():
        if name != "unreadable.mp4" and not {"ok", "partial"} & set(pictures.split()):
            assert not matrix.read(name, "bright", "logits").any(), name


@pytest.mark.skipif(sys.platform != "linux", reason="inotify")
def test_bait_opened_no_other_file_and_no_connection(matrix: Matrix) -> None:
    assert (matrix.num_canary_opened, matrix.num_connections) == (0, 0)
    brightest = matrix.store.read_rows("bright", "embedding", 0, matrix.report.num_clips)[..., 0]
    assert brightest.max() * 255 < CANARY_SHADE


def test_ids_and_names_lead_no_path_out_of_the_store(matrix: Matrix) -> None:
    above = matrix.folder.parent
    assert {path.name for path in above.iterdir()} == {"below", "store"}
    written = {path.name for path in (above / "store").rglob("*")}
    assert not [name for name in written if "escape" in name or "absolute" in name]


@pytest.mark.skipif(sys.platform != "linux", reason="file systems that take any bytes")
def test_a_name_that_is_no_text_costs_its_file_and_not_the_run(tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    write_movie(media / "good.wav", Movie(seconds=2, codec=None, sound_codec="pcm_s16le"))
    (media / os.fsdecode(b"\xff\xfe.wav")).write_bytes((media / "good.wav").read_bytes())
    report = extract_teacher(
        ExtractRequest(
            corpus=str(media),
            store=str(tmp_path / "store"),
            clip_seconds=2.0,
            step_seconds=1.0,
            rows_per_shard=4,
            num_decode_workers=1,
        )
    )
    assert report.status == {"waveform": {"ok": 1, "decode_error": 1}}
    ((_, reason),) = (
        Store.open(str(tmp_path / "store")).read_commit("waveform", 0).failures.values()
    )
    assert "\\xff\\xfe.wav" in reason
