"""Loops that behave as published extractors do, written from what they do, not from their code.

``vf_*``: as video_features. One video after the other: OpenCV reads it, batches are filled within
it, results go to one ``.npy`` a key at their final names. A frame rate is changed by encoding the
video anew at that rate first. More processes are more copies by hand: each shuffles the list and
looks twice whether an output is there.

``cve``: as clip-video-encode. Worker processes decode and scale, the pictures of a chunk of videos
are laid into one array, a DataLoader with its own workers makes batches of it whatever video they
are of, and results go to a tar of ``.npy`` and ``.json``. (The original: 100 videos, batches of
128, 6 workers.)

All take the pictures of ``work.py``, scale as avkd does and keep float16. Where the originals waste
what is easily saved (batches of one, lists of float64, reading what nobody wants), these do not.
"""

import io
import json
import random
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from fractions import Fraction
from multiprocessing import get_context
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, TypeAlias

import av
import numpy as np
from av.video.frame import PictureType
from av.video.stream import VideoStream
from floors import SAME_SECONDS
from teaching import Frames, Outputs, load_any_batch
from work import Recording, Work

from avkd.stages.media.scaling import scale_picture
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import FrameFormat

Chunk: TypeAlias = Sequence[Recording]


def run_vf(
    work: Work,
    request: TeacherRequest,
    out: Path,
    *,
    batch_size: int,
    num_threads: int,
    reencodes: bool,
    seed: int = 0,
) -> None:
    """Be one copy of the loop: do what no other copy has done.

    Args:
        work: of all copies.
        request: of the teacher.
        out: folder that all copies write to.
        batch_size: the most pictures of one video that are shown at once.
        num_threads: of the decoder.
        reencodes: whether the frame rate is changed by encoding anew.
        seed: of the order; another for each copy.
    """
    frame_format, look = load_any_batch(request)
    out.mkdir(parents=True, exist_ok=True)
    turns = list(work.recordings)
    random.Random(seed).shuffle(turns)
    for recording in turns:
        if _is_done(out, recording):
            continue
        frames = _read_video(recording, frame_format, work.step_seconds, num_threads, reencodes)
        parts = [look(frames[i : i + batch_size]) for i in range(0, len(frames), batch_size)]
        if not _is_done(out, recording):
            _save(out, recording, _join(parts))


def start_copies(commands: Sequence[Sequence[str]]) -> list[Any]:
    """Start copies of a loop by hand, one a command, and wait for what each tells.

    Raises:
        RuntimeError: one failed.
    """
    copies = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    said = [copy.communicate()[0] for copy in copies]
    failed = [copy.returncode for copy in copies]
    if any(failed):
        raise RuntimeError(f"copies ended with {failed}")
    return [json.loads(text.splitlines()[-1]) for text in said]


def run_cve(
    work: Work,
    request: TeacherRequest,
    out: Path,
    *,
    num_readers: int,
    num_loader_workers: int,
    batch_size: int,
    videos_of_a_chunk: int,
) -> None:
    """Be the loop that concatenates videos.

    The next chunk is read while this one is looked at.
    """
    frame_format, look = load_any_batch(request)
    out.mkdir(parents=True, exist_ok=True)
    recordings = work.recordings
    chunks = [
        recordings[first : first + videos_of_a_chunk]
        for first in range(0, len(recordings), videos_of_a_chunk)
    ]
    with ProcessPoolExecutor(num_readers, mp_context=get_context("spawn")) as readers:
        coming = _Block(chunks[0], frame_format, readers)
        for number, chunk in enumerate(chunks):
            block = coming
            if number + 1 < len(chunks):
                coming = _Block(chunks[number + 1], frame_format, readers)
            with block.frames() as frames:
                parts = [look(batch) for batch in _load(frames, batch_size, num_loader_workers)]
            _write_tar(out / f"{number:05d}.tar", chunk, _join(parts))


def npy_path(out: Path, recording: Recording, output: str) -> Path:
    """Where the first loop keeps an output."""
    return out / f"{recording.recording_id}_{output}.npy"


def _is_done(out: Path, recording: Recording) -> bool:
    return npy_path(out, recording, "timestamps_ms").exists()


def _save(out: Path, recording: Recording, outputs: Outputs) -> None:
    for name, values in outputs.items():
        np.save(npy_path(out, recording, name), values.astype(np.float16))
    seconds = np.array(recording.frame_seconds)
    np.save(npy_path(out, recording, "timestamps_ms"), 1000 * seconds)


def _join(parts: Sequence[Outputs]) -> Outputs:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _read_video(
    recording: Recording,
    frame_format: FrameFormat,
    step_seconds: float,
    num_threads: int,
    reencodes: bool,
) -> Frames:
    """All wanted pictures of a video, scaled: (pictures, height, width, 3)."""
    if not reencodes:
        return _scaled(_grab_wanted(recording, num_threads), recording, frame_format)
    with tempfile.TemporaryDirectory(prefix="avkd-bench-") as folder:
        path = Path(folder, "at_rate.mp4")
        _encode_at_rate(recording, path, step_seconds, num_threads)
        pictures = [scale_picture(one, frame_format) for one in _read_all(path, num_threads)]
    return np.stack(pictures)


def _grab_wanted(recording: Recording, num_threads: int) -> Iterator[Frames]:
    """Grab picture after picture and retrieve the wanted ones, each once."""
    import cv2

    capture = _capture(recording.path, num_threads)
    try:
        for wanted in dict.fromkeys(recording.frame_seconds):
            while capture.grab():
                if capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 >= wanted - SAME_SECONDS:
                    yield _to_rgb(capture.retrieve()[1])
                    break
    finally:
        capture.release()


def _read_all(path: Path, num_threads: int) -> Iterator[Frames]:
    capture = _capture(str(path), num_threads)
    try:
        while True:
            is_there, picture = capture.read()
            if not is_there:
                return
            yield _to_rgb(picture)
    finally:
        capture.release()


def _capture(path: str, num_threads: int) -> Any:
    import cv2

    return cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, num_threads])


def _to_rgb(picture: Any) -> Frames:
    import cv2

    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def _scaled(pictures: Iterator[Frames], recording: Recording, frame_format: FrameFormat) -> Frames:
    """A picture that stays on screen for several instants comes once and stands for all."""
    shown = [scale_picture(picture, frame_format) for picture in pictures]
    _, places = np.unique(recording.frame_seconds, return_inverse=True)
    return np.stack(shown)[places]


def _encode_at_rate(
    recording: Recording, path: Path, step_seconds: float, num_threads: int
) -> None:
    """A video of the wanted pictures alone, by the encoder's own defaults, lossy as those are."""
    rate = 1 / Fraction(step_seconds).limit_denominator(1000)
    with av.open(recording.path) as source, av.open(str(path), "w") as target:
        shown = source.streams.video[0]
        shown.codec_context.thread_count = num_threads
        stream = target.add_stream("libx264", rate=rate)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = shown.width, shown.height, "yuv420p"
        stream.codec_context.thread_count = num_threads
        wanted = list(recording.frame_seconds)
        number = 0
        for frame in source.decode(shown):
            seconds = frame.time or 0.0
            frame.pict_type = PictureType.NONE  # or the encoder would repeat the choices of another
            while number < len(wanted) and seconds >= wanted[number] - SAME_SECONDS:
                frame.pts, frame.time_base = number, 1 / rate
                target.mux(stream.encode(frame))
                number += 1
                if number < len(wanted) and wanted[number] != wanted[number - 1]:
                    break
        target.mux(stream.encode(None))


class _Block:
    """Pictures of a chunk's videos in one array that reader processes fill."""

    def __init__(
        self, chunk: Chunk, frame_format: FrameFormat, readers: ProcessPoolExecutor
    ) -> None:
        """Make room for all, and set the readers to work."""
        counts = [len(recording.instants) for recording in chunk]
        self._shape = (sum(counts), *frame_format.picture_shape)
        self._memory = SharedMemory(create=True, size=int(np.prod(self._shape)))
        starts = np.cumsum([0, *counts[:-1]]).tolist()
        self._reads: list[Future[None]] = [
            readers.submit(
                _read_into, self._memory.name, self._shape, start, recording, frame_format
            )
            for start, recording in zip(starts, chunk, strict=True)
        ]

    @contextmanager
    def frames(self) -> Iterator[Frames]:
        """The array when it is full; it is gone after the ``with``."""
        for read in self._reads:
            read.result()
        try:
            yield np.ndarray(self._shape, np.uint8, self._memory.buf)
        finally:
            self._memory.close()
            self._memory.unlink()


def _read_into(
    memory_name: str,
    shape: tuple[int, ...],
    start: int,
    recording: Recording,
    frame_format: FrameFormat,
) -> None:
    memory = SharedMemory(name=memory_name)
    try:
        frames = _scaled(_grab_wanted(recording, 1), recording, frame_format)
        whole: Frames = np.ndarray(shape, np.uint8, memory.buf)
        whole[start : start + len(frames)] = frames
        del whole
    finally:
        memory.close()


def _load(frames: Frames, batch_size: int, num_workers: int) -> Iterator[Frames]:
    """Batches by torch's DataLoader: its workers copy them over, one picture an item."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    dataset = TensorDataset(torch.from_numpy(frames))
    for (batch,) in DataLoader(dataset, batch_size=batch_size, num_workers=num_workers):
        yield batch.numpy()
    del dataset


def _write_tar(path: Path, chunk: Chunk, outputs: Outputs) -> None:
    first = 0
    with tarfile.open(path, "w") as tar:
        for recording in chunk:
            stop = first + len(recording.instants)
            for name, values in outputs.items():
                buffer = io.BytesIO()
                np.save(buffer, values[first:stop].astype(np.float16))
                _add(tar, f"{recording.recording_id}.{name}.npy", buffer.getvalue())
            told = json.dumps({"path": recording.path, "num_frames": stop - first})
            _add(tar, f"{recording.recording_id}.json", told.encode())
            first = stop


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
