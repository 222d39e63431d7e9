"""How far an extraction is, told while it runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from avkd.errors import InterruptedRunError
from avkd.pipeline.signals import StopRequest


@dataclass(frozen=True, kw_only=True)
class ProgressEvent:
    """One step of progress."""

    phase: Literal["probe", "extract"]
    num_done: int
    """Recordings probed, or clips extracted, by this run."""
    num_total: int
    num_failed: int = 0
    """Of the clips done: those that at least one producer does not have."""
    is_stopping: bool = False
    """A signal came: the shards in hand are the last."""
    note: str = ""
    """What a user should know before the work begins; of an event of its own."""


OnProgress: TypeAlias = Callable[[ProgressEvent], None]


class Tally:
    """Counts what is done and tells it on."""

    def __init__(self, stop: StopRequest, on_progress: OnProgress) -> None:
        """Begin at nothing."""
        self._stop = stop
        self._on_progress = on_progress
        self._num_done = self._num_failed = 0

    def count_probed(self, num_done: int, num_total: int) -> None:
        """Tell how many durations are known.

        Raises:
            InterruptedRunError: if a signal came: a plan is made whole or not at all.
        """
        if self._stop.received:
            raise InterruptedRunError(
                f"stopped by a signal when {num_done} of {num_total} durations were probed; "
                "nothing new is planned yet, the same command begins again"
            )
        self._on_progress(ProgressEvent(phase="probe", num_done=num_done, num_total=num_total))

    def tell(self, note: str) -> None:
        """Tell what a user should know now, if there is anything."""
        if note:
            self._on_progress(ProgressEvent(phase="extract", num_done=0, num_total=0, note=note))

    def count(self, num_clips: int, num_failed: int, num_total: int) -> None:
        """Add clips to those done."""
        self._num_done += num_clips
        self._num_failed += num_failed
        self._on_progress(
            ProgressEvent(
                phase="extract",
                num_done=self._num_done,
                num_total=num_total,
                num_failed=self._num_failed,
                is_stopping=self._stop.received,
            )
        )
