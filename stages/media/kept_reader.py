"""The pictures of the file that was read last, kept open for the next job of the same file.

A long recording comes as many jobs, and opening it costs a pass over all its packets. What a reader
gives does not depend on what it gave before (``pyav_reader``), so neither do clips.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from avkd.stages.media.file_identity import FileIdentity, identify
from avkd.stages.media.frames import FrameReader, open_reader, refuse_gray16
from avkd.stages.types import DecoderName, Pixels

# Starts are products and ends are sums of the same numbers.
_SAME_PLACE_SECONDS = 1e-6


@dataclass(frozen=True, kw_only=True)
class _Kept:
    identity: FileIdentity
    pixels: Pixels
    decoder: DecoderName
    end_seconds: float
    reader: FrameReader


class _Shelf:
    """Has room for one reader."""

    def __init__(self) -> None:
        self._kept: _Kept | None = None
        self._lock = threading.Lock()

    def swap(self, kept: _Kept | None) -> _Kept | None:
        """Put a reader there and take what was there."""
        with self._lock:
            before, self._kept = self._kept, kept
            return before


_shelf = _Shelf()


@contextmanager
def lend_frames(
    path: str,
    pixels: Pixels,
    decoder: DecoderName,
    start_seconds: float,
    end_seconds: float,
    *,
    may_keep: bool = True,
) -> Iterator[FrameReader]:
    """Lend a reader for the pictures of a span, to be kept afterwards if that is wanted.

    A file that was written since, an earlier span, other pixels or another decoder get a new
    reader.

    Raises:
        MediaError: ``no_video`` or ``decode_error``.
    """
    identity = identify(path) if may_keep else None
    kept = _take(identity, pixels, decoder, start_seconds)
    reader = _open(path, pixels, decoder) if kept is None else kept
    try:
        yield reader
    except BaseException:
        reader.close()
        raise
    if identity is None:
        reader.close()
        return
    _close(
        _shelf.swap(
            _Kept(
                identity=identity,
                pixels=pixels,
                decoder=decoder,
                end_seconds=end_seconds,
                reader=reader,
            )
        )
    )


def _take(
    identity: FileIdentity | None, pixels: Pixels, decoder: DecoderName, start_seconds: float
) -> FrameReader | None:
    kept = _shelf.swap(None)
    if kept is None:
        return None
    is_same = (kept.identity, kept.pixels, kept.decoder) == (identity, pixels, decoder)
    # A reader is asked in the order of time.
    if is_same and kept.end_seconds <= start_seconds + _SAME_PLACE_SECONDS:
        return kept.reader
    _close(kept)
    return None


def _open(path: str, pixels: Pixels, decoder: DecoderName) -> FrameReader:
    if pixels == "rgb24":
        refuse_gray16(path)
    return open_reader(path, pixels, decoder)


def _close(kept: _Kept | None) -> None:
    if kept is not None:
        kept.reader.close()
