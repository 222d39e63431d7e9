"""Losses of held-out batches to their means.

A part is a mean over clips of its batch, not always over all: what is learned of labels is over the
labelled ones, and a batch may go without a part. So each part is averaged over the clips that it
was computed of, whatever batch they lay in.
"""

from collections.abc import Mapping

from avkd.stages.methods.batch import LossParts


class LossMeans:
    """The means over all clips that were added."""

    def __init__(self) -> None:
        """Nothing is added yet."""
        self.num_clips = 0
        self._total = 0.0
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._weights: dict[str, float] = {}

    def add(self, loss: LossParts, num_clips: int) -> None:
        """Take in the losses of a batch of so many clips."""
        self.num_clips += num_clips
        self._total += float(loss.total) * num_clips
        self._weights.update(loss.weights)
        for name, value in loss.parts.items():
            count = loss.num_clips.get(name, num_clips)
            self._sums[name] = self._sums.get(name, 0.0) + float(value) * count
            self._counts[name] = self._counts.get(name, 0) + count

    @property
    def parts(self) -> Mapping[str, float]:
        """By name; none of a part that no clip had."""
        return {name: value / n for name, value in self._sums.items() if (n := self._counts[name])}

    @property
    def total(self) -> float:
        """The weighted sum of the parts, or, of a method that tells no weights, the mean total."""
        parts = self.parts
        if self._weights:
            return sum(parts.get(name, 0.0) * weight for name, weight in self._weights.items())
        return self._total / self.num_clips
