"""Pictures by decord, where it can be believed.

decord errs without a word: in MPEG streams a jump lands one group of pictures off while all
timestamps look right, with an edit list its indices count pictures that are never shown. So it
serves only MP4 and Matroska files of ordinary 8-bit pictures, and only when its timestamps equal
those that PyAV reads from the packets and its first picture equals PyAV's (it turns pictures for
the camera's rotation too, but gives four channels for some sizes).
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from av.packet import Packet

from avkd.stages.media.container import (
    open_container,
    readable_packets,
    video_stream,
    zero_seconds,
)
from avkd.stages.media.pyav_reader import PyavReader
from avkd.stages.media.sampling import END_TOLERANCE_SECONDS, pick_frames

_TRUSTED_FORMATS = ("mov", "matroska")
# Beyond 8-bit 4:2:0 the two readers round differently.
_TRUSTED_PIXELS = ("yuv420p", "yuvj420p")
# decord reads the whole file before the first picture; PyAV jumps.
_LARGEST_BYTES = 256 * 2**20
# decord keeps times as 32-bit floats.
_FLOAT_STEP = 2.0**-22


class DecordFailedError(Exception):
    """decord gave up on a file that it had opened."""


class DecordReader:
    """Pictures of a file whose timestamps were checked; see ``frames.FrameReader``."""

    def __init__(self, decoder: Any, timestamps_seconds: npt.NDArray[np.float64], end: float):
        """Read by ``decoder``, whose picture i appears at ``timestamps_seconds[i]``."""
        self._decoder = decoder
        self._timestamps = timestamps_seconds
        self._end = end

    @classmethod
    def open_if_sound(cls, path: str) -> "DecordReader | None":
        """Open a file with decord, or give None where decord is missing or not to be believed.

        Raises:
            MediaError: ``decode_error`` when the file is no media file at all.
        """
        timeline = _packet_timeline(path)
        if timeline is None:
            return None
        timestamps, end = timeline
        decoder = _open_decoder(path)
        if decoder is None or not _agrees(decoder, timestamps):
            return None
        reader = cls(decoder, timestamps, end)
        return reader if _starts_alike(reader, path, timestamps[0]) else None

    def read(self, instants: Sequence[float]) -> Iterator[npt.NDArray[np.uint8] | None]:
        """The picture at each instant, None after the end."""
        last_index, picture = -1, None
        for instant, index in zip(instants, pick_frames(self._timestamps, instants), strict=True):
            if instant > self._end + END_TOLERANCE_SECONDS:
                yield None
                continue
            if index != last_index:
                picture, last_index = self._decode(int(index)), index
            yield picture

    def _decode(self, index: int) -> npt.NDArray[np.uint8]:
        try:
            picture: npt.NDArray[np.uint8] = self._decoder[index].asnumpy()
        # decord raises its own error, IndexError or RuntimeError for one and the same trouble.
        except Exception as error:
            raise DecordFailedError(str(error)) from error
        return picture

    def end_seconds(self) -> float | None:
        """When the last picture leaves the screen."""
        return self._end

    def num_damaged(self) -> int:
        """Always 0: decord is told to fail instead."""
        return 0

    def close(self) -> None:
        """Let go of the file."""
        self._decoder = None


def _packet_timeline(path: str) -> tuple[npt.NDArray[np.float64], float] | None:
    if Path(path).is_file() and Path(path).stat().st_size > _LARGEST_BYTES:
        return None
    with open_container(path) as container:
        stream = video_stream(container)
        if stream is None or not container.format.name.startswith(_TRUSTED_FORMATS):
            return None
        if stream.codec_context.pix_fmt not in _TRUSTED_PIXELS or stream.time_base is None:
            return None
        shown = _presented(readable_packets(container, [stream]))
        if not shown or any(one[0] == next_one[0] for one, next_one in pairwise(shown)):
            return None
        unit, zero = float(stream.time_base), zero_seconds(container)
        times = np.array([pts for pts, _ in shown], dtype=np.float64) * unit - zero
        return times, float(times[-1]) + _last_interval(shown) * unit


def _presented(packets: Iterable["Packet[Any]"]) -> list[tuple[int, int]]:
    """Time stamp and duration of each packet, sorted; none at all if one is not plainly shown."""
    shown = []
    for packet in packets:
        if not packet.size:
            continue
        if packet.pts is None or packet.pts < 0 or packet.is_discard or packet.is_corrupt:
            return []
        shown.append((packet.pts, packet.duration or 0))
    return sorted(shown)


def _starts_alike(reader: "DecordReader", path: str, first_seconds: float) -> bool:
    other = PyavReader(path)
    try:
        (ours,), (theirs,) = reader.read([first_seconds]), other.read([first_seconds])
    except DecordFailedError:
        return False
    finally:
        other.close()
    return ours is not None and theirs is not None and np.array_equal(ours, theirs)


def _last_interval(shown: Sequence[tuple[int, int]]) -> int:
    before_last = shown[-1][0] - shown[-2][0] if len(shown) > 1 else 0
    return max(shown[-1][1], before_last)


def _open_decoder(path: str) -> Any | None:
    try:
        import decord
    except ImportError:
        return None
    decord.logging.set_level(decord.logging.QUIET)
    try:
        # The smallest tolerance there is: one picture that decord had to make up is an error.
        return decord.VideoReader(str(Path(path).absolute()), num_threads=1, fault_tol=1e-9)
    except Exception:
        return None


def _agrees(decoder: Any, timestamps_seconds: npt.NDArray[np.float64]) -> bool:
    if len(decoder) != len(timestamps_seconds):
        return False
    theirs = np.asarray(decoder.get_frame_timestamp(range(len(decoder))), dtype=np.float64)[:, 0]
    # decord counts from the first picture, whatever the container says.
    ours = timestamps_seconds - timestamps_seconds[0]
    tolerance = 1e-4 + _FLOAT_STEP * ours[-1]
    return bool(
        np.isfinite(theirs).all()
        and (np.diff(theirs) >= 0).all()
        and np.abs(theirs - theirs[0] - ours).max() < tolerance
    )
