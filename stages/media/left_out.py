"""Which packets may be kept from a decoder: of pictures that nobody leans on and nobody wants."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from fractions import Fraction

from avkd.stages.media.decoded_frames import TimedFrame
from avkd.stages.media.h264_pictures import PictureOrder
from avkd.stages.media.sampling import SAME_INSTANT_SECONDS

# How long the last picture is shown follows from the one before it.
_KEPT_AT_END = 2
_KEPT_AT_END_SECONDS = 1.0
# Rather one picture too many than a last bit of a float.
_MARGIN_SECONDS = 10 * SAME_INSTANT_SECONDS


class LeftOut:
    """Knows when each picture of a file appears, and which instants are asked for."""

    def __init__(self, order: PictureOrder, unit: Fraction, zero_seconds: float) -> None:
        """Begin with no instants: then nothing is left out.

        Args:
            order: of the pictures.
            unit: of their times, in seconds.
            zero_seconds: when the recording's clock starts.
        """
        # All at once, and rounded as by ``Fraction``: once.
        seconds = order.pts * unit.numerator / unit.denominator - zero_seconds
        self._seconds: list[float] = seconds.tolist()
        self._pts: list[int] = order.pts.tolist()
        self._is_needed = order.is_needed
        self._instants: list[float] = []
        end = self._seconds[-1] - _KEPT_AT_END_SECONDS
        self._num_free = min(len(self._pts) - _KEPT_AT_END, bisect_left(self._seconds, end))

    def ask(self, instants: Sequence[float]) -> None:
        """Note what is asked for next, ascending, and after all that was asked for before."""
        self._instants = list(instants)

    def may_lack(self, pts: int | None) -> bool:
        """Whether a picture is neither leaned on nor wanted.

        What is asked for later is not known: so a picture is not wanted only if the next is on
        screen before the last instant.
        """
        if not self._instants or pts is None:
            return False
        place = bisect_left(self._pts, pts)
        if place >= self._num_free or self._pts[place] != pts or self._is_needed[place]:
            return False
        begin, end = self._seconds[place : place + 2]
        next_wanted = bisect_left(self._instants, begin - _MARGIN_SECONDS)
        return (
            next_wanted < len(self._instants)
            and self._instants[next_wanted] > end + _MARGIN_SECONDS
        )

    def seconds_after(self, pts: int | None) -> float | None:
        """When the next picture after one appears; None after the last."""
        place = len(self._pts) if pts is None else bisect_right(self._pts, pts)
        return self._seconds[place] if place < len(self._pts) else None

    def is_at(self, instant: float, picture: TimedFrame | None) -> bool:
        """Whether a picture is the one that is on screen at an instant."""
        place = bisect_right(self._seconds, instant + SAME_INSTANT_SECONDS)
        return picture is not None and picture[1].pts == self._pts[max(place - 1, 0)]
