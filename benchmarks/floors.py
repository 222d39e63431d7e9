"""The bare costs: decoding what is needed, scaling it, and the model on ready pictures.

Each uses all cores for itself alone and keeps nothing. A decoder counts only if the pictures that
it gives are the right ones, which the warm-up checks against PyAV read from front to back.
"""

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import Any, TypeAlias

import av
import numpy as np
import numpy.typing as npt
from teaching import Frames, import_libraries, load_any_batch
from work import Recording, Work

from avkd.stages.media.scaling import scale_picture
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import FrameFormat

Decode: TypeAlias = Callable[[Recording], Iterator[Frames]]
"""The wanted pictures of a file, native, RGB, each once, one after the other."""
Thumbnails: TypeAlias = dict[str, npt.NDArray[np.float32]]
"""By recording id, pictures as means of cells: (pictures, 16, 16, 3)."""

THUMBNAIL = 16
SAME_SECONDS = 5e-4
NUM_NATIVE = 16
"""Pictures that are scaled in turn."""


def decode_scanning(recording: Recording) -> Iterator[Frames]:
    """PyAV from front to back: what the others are checked against."""
    with av.open(recording.path) as container:
        frames = _timed(container, _one_thread(container))
        for wanted in dict.fromkeys(recording.frame_seconds):
            yield _find(frames, wanted)[1]


def decode_jumping(recording: Recording) -> Iterator[Frames]:
    """PyAV that jumps over groups of pictures in which nothing is wanted."""
    with av.open(recording.path) as container:
        stream = _one_thread(container)
        at, frames = -1.0, _timed(container, stream)
        for wanted in dict.fromkeys(recording.frame_seconds):
            place = bisect_right(recording.key_seconds, wanted + SAME_SECONDS) - 1
            key = recording.key_seconds[max(0, place)]
            if key > at:
                container.seek(round(key / float(stream.time_base)), stream=stream)
                frames = _timed(container, stream)
            at, picture = _find(frames, wanted)
            yield picture


def decode_decord(recording: Recording) -> Iterator[Frames]:
    """Decord by numbers of pictures, which it finds by jumps of its own."""
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    reader = decord.VideoReader(recording.path, num_threads=1)
    for index in dict.fromkeys(recording.frame_indices):
        yield reader[index].asnumpy()


DECODERS: dict[str, Decode] = {"pyav": decode_jumping, "decord": decode_decord}
REFERENCE = decode_scanning


def run_decode_floor(work: Work, decoder: str, num_processes: int) -> dict[str, Any]:
    """Decode and drop, in that many processes; tells the seconds from the first file to the last.

    Long files come first, so that no process works on alone.
    """
    turns = sorted(work.recordings, key=lambda each: -each.num_frames)
    with ProcessPoolExecutor(
        num_processes,
        mp_context=get_context("spawn"),
        initializer=_import_decoder,
        initargs=(decoder,),
    ) as pool:
        told = pool.map(partial(_drop_all, decoder), turns)
        counts, begun, ended = zip(*told, strict=True)
    return {"work_seconds": max(ended) - min(begun), "num_frames": sum(counts)}


def make_thumbnails(work: Work, decode: Decode, num_processes: int = 1) -> Thumbnails:
    """Show small what a decoder gives."""
    with ProcessPoolExecutor(num_processes, mp_context=get_context("spawn")) as pool:
        shown = pool.map(partial(_show_small, decode), work.recordings)
        return dict(zip((each.recording_id for each in work.recordings), shown, strict=True))


def run_scale_floor(work: Work, frame_format: FrameFormat, num_threads: int) -> dict[str, Any]:
    """Scale as many pictures as are decoded, a few of them in turn, in that many threads."""
    natives = [
        picture
        for recording in work.recordings[:NUM_NATIVE]
        for picture in islice(decode_scanning(recording), 1)
    ]
    turns = range(sum(len(set(each.frame_seconds)) for each in work.recordings))
    with ThreadPoolExecutor(num_threads) as pool:
        began = time.perf_counter()
        for _ in pool.map(lambda n: scale_picture(natives[n % len(natives)], frame_format), turns):
            pass
        seconds = time.perf_counter() - began
    return {"work_seconds": seconds, "num_frames": len(turns)}


def run_model_floor(request: TeacherRequest, frames: Frames, num_frames: int) -> dict[str, Any]:
    """Load the teacher, and show it that many frames, from one array in turn.

    In avkd's batches and a last smaller one.
    """
    import_libraries()
    began = time.perf_counter()
    _, look = load_any_batch(request)
    for first in range(0, num_frames, request.batch_size):
        places = np.arange(first, min(first + request.batch_size, num_frames)) % len(frames)
        look(frames[places])
    return {"work_seconds": time.perf_counter() - began, "num_frames": num_frames}


def _import_decoder(decoder: str) -> None:
    if decoder == "decord":
        import decord

        assert decord


def _drop_all(decoder: str, recording: Recording) -> tuple[int, float, float]:
    """Count the pictures, and tell on the clock of all processes when it began and ended."""
    began = time.perf_counter()
    count = sum(1 for _ in DECODERS[decoder](recording))
    return count, began, time.perf_counter()


def _show_small(decode: Decode, recording: Recording) -> npt.NDArray[np.float32]:
    return np.stack([_shrink(picture) for picture in decode(recording)])


def _one_thread(container: av.container.InputContainer) -> Any:
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1
    return stream


def _timed(
    container: av.container.InputContainer, stream: Any
) -> Iterator[tuple[float, av.VideoFrame]]:
    for frame in container.decode(stream):
        if frame.time is not None:
            yield frame.time, frame


def _find(
    frames: Iterator[tuple[float, av.VideoFrame]], wanted_seconds: float
) -> tuple[float, Frames]:
    """The first picture that is not before its time; only that one is converted."""
    for seconds, frame in frames:
        if seconds >= wanted_seconds - SAME_SECONDS:
            return seconds, np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    raise ValueError(f"no picture at {wanted_seconds} s")


def _shrink(picture: Frames) -> npt.NDArray[np.float32]:
    height, width = (THUMBNAIL * (side // THUMBNAIL) for side in picture.shape[:2])
    cells = picture[:height, :width].reshape(
        THUMBNAIL, height // THUMBNAIL, THUMBNAIL, width // THUMBNAIL, 3
    )
    return np.asarray(cells.mean(axis=(1, 3)), np.float32)
