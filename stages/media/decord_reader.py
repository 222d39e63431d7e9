"""Pictures by decord where its index can be believed, by PyAV for each clip that it fails at.

decord errs without a word (docs/adr/0007 says in what). So it serves only MP4 and Matroska files
of ordinary 8-bit pictures, and only when its timestamps and key pictures equal those of the
packets, its first picture equals PyAV's, no group of pictures is open and none is never shown.
Damage is not seen by any of these: of damaged files it may give made-up pictures as whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from avkd.stages.media.file_identity import KnownFiles, identify
from avkd.stages.media.picture_end import PictureEnd
from avkd.stages.media.progress import note_progress
from avkd.stages.media.pyav_reader import PyavReader
from avkd.stages.media.sampling import END_TOLERANCE_SECONDS, pick_frames
from avkd.stages.media.timeline import Timeline, plain_timeline

# decord says nothing while it decodes its way to a picture: so many are asked for in between.
_LONGEST_WAY = 500
# decord keeps times as 32-bit floats.
_FLOAT_STEP = 2.0**-22
# The smallest tolerance there is: one picture that decord knows it had to make up is an error.
_FAULT_TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True)
class _Verdict:
    timeline: Timeline | None
    """None where decord is not to be believed."""


_verdicts: KnownFiles[_Verdict] = KnownFiles()


class _DecordFailedError(Exception):
    """decord gave up on a file that it had opened."""


class DecordReader:
    """Pictures of a file whose timestamps were checked; see ``frames.FrameReader``."""

    def __init__(self, path: str, decoder: Any, timeline: Timeline) -> None:
        """Read ``path`` by ``decoder``, whose pictures appear when ``timeline`` says."""
        self._path = path
        self._decoder = decoder
        self._timeline = timeline
        self._picture_end = PictureEnd(path, timeline.declared, known_end_seconds=timeline.end)
        self._index = 0
        self._pyav: PyavReader | None = None
        self._is_by_pyav = False

    def read(
        self, instants: Sequence[float], *, anew: bool = False
    ) -> Iterator[npt.NDArray[np.uint8] | None]:
        """The picture at each instant, None after the end; ``anew``: by PyAV.

        After a clip that decord failed at it is opened anew: whether it fails then depends on the
        next clip alone.
        """
        self._decoder = self._decoder or _open_decoder(self._path)
        self._is_by_pyav = anew or self._decoder is None
        num_read = 0
        if not self._is_by_pyav:
            try:
                for picture in self._read_by_decord(instants):
                    yield picture
                    num_read += 1
            except _DecordFailedError:
                self._decoder = None
                self._is_by_pyav = True
        if self._is_by_pyav:
            self._pyav = self._pyav or PyavReader(self._path)
            yield from islice(self._pyav.read(instants, anew=True), num_read, None)

    def starts_alike(self) -> bool:
        """Whether the first picture is PyAV's: decord turns some sizes of pictures wrongly."""
        first = self._timeline.seconds[:1].tolist()
        other = PyavReader(self._path)
        try:
            (ours,), (theirs,) = self._read_by_decord(first), other.read(first)
        except _DecordFailedError:
            return False
        finally:
            other.close()
        return ours is not None and theirs is not None and np.array_equal(ours, theirs)

    def _read_by_decord(self, instants: Sequence[float]) -> Iterator[npt.NDArray[np.uint8] | None]:
        last_index, picture = -1, None
        places = pick_frames(self._timeline.seconds, instants)
        for instant, index in zip(instants, places, strict=True):
            if instant > self._timeline.end + END_TOLERANCE_SECONDS:
                yield None
                continue
            if index != last_index:
                picture, last_index = self._decode(int(index)), index
            yield picture

    def _decode(self, index: int) -> npt.NDArray[np.uint8]:
        note_progress()
        try:
            for stop in self._stops_before(index):
                self._decoder[stop]
                note_progress()
            picture: npt.NDArray[np.uint8] = self._decoder[index].asnumpy()
        # decord raises its own error, IndexError or RuntimeError for one and the same trouble.
        except Exception as error:
            raise _DecordFailedError(str(error)) from error
        self._index = index
        return picture

    def _stops_before(self, index: int) -> range:
        """Where to stop on the way from the last picture, or the last key picture before this."""
        keys = self._timeline.key_places
        keys = keys[: np.searchsorted(keys, index, side="right")]
        begin = max(self._index if index > self._index else 0, int(keys.max(initial=0)))
        return range(begin + _LONGEST_WAY, index, _LONGEST_WAY)

    def end_seconds(self) -> float | None:
        """When the last picture leaves the screen."""
        if self._is_by_pyav and self._pyav is not None:
            return self._pyav.end_seconds()
        return self._timeline.end

    def num_damaged(self, first_seconds: float, last_seconds: float) -> int:
        """As PyAV counts for what it read; 0 of what decord did, which does not tell."""
        if self._is_by_pyav and self._pyav is not None:
            return self._pyav.num_damaged(first_seconds, last_seconds)
        return 0

    def shortfall(self, until_seconds: float) -> str:
        """What of the pictures until then the file declares and lacks, in words."""
        return self._picture_end.shortfall(until_seconds)

    def close(self) -> None:
        """Let go of the file."""
        self._decoder = None
        self._picture_end.close()
        if self._pyav is not None:
            self._pyav.close()


def open_if_believed(path: str) -> DecordReader | None:
    """Open a file with decord; None where that is not installed, or not to be believed.

    Raises:
        MediaError: ``decode_error`` when the file is no media file at all.
    """
    identity = identify(path)
    verdict = _verdicts.get(identity)
    timeline = plain_timeline(path) if verdict is None else verdict.timeline
    decoder = None if timeline is None else _open_decoder(path)
    if timeline is None or decoder is None:
        _verdicts.note(identity, _Verdict(timeline=None))
        return None
    reader = DecordReader(path, decoder, timeline)
    if verdict is None:
        is_believed = _agrees(decoder, timeline) and reader.starts_alike()
        verdict = _Verdict(timeline=timeline if is_believed else None)
        _verdicts.note(identity, verdict)
    if verdict.timeline is None:
        reader.close()
        return None
    return reader


def _open_decoder(path: str) -> Any | None:
    try:
        import decord
    except ImportError:
        return None
    decord.logging.set_level(decord.logging.QUIET)
    try:
        return decord.VideoReader(
            str(Path(path).absolute()), num_threads=1, fault_tol=_FAULT_TOLERANCE
        )
    # As in ``_decode``.
    except Exception:
        return None


def _agrees(decoder: Any, timeline: Timeline) -> bool:
    """Whether decord's index is that of the packets."""
    if len(decoder) != len(timeline.seconds):
        return False
    # It takes the container's word for where it may begin.
    if not np.array_equal(np.asarray(decoder.get_key_indices()), timeline.key_places):
        return False
    theirs = np.asarray(decoder.get_frame_timestamp(range(len(decoder))), dtype=np.float64)[:, 0]
    # decord counts from the first picture, whatever the container says.
    ours = timeline.seconds - timeline.seconds[0]
    tolerance = 1e-4 + _FLOAT_STEP * ours[-1]
    return bool(
        np.isfinite(theirs).all()
        and (np.diff(theirs) >= 0).all()
        and np.abs(theirs - theirs[0] - ours).max() < tolerance
    )
