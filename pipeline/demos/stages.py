"""The stages of a demo: how far the one that runs is, and how long each took."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from avkd.pipeline.commands import count_lines, watch_count


@dataclass(frozen=True, kw_only=True)
class DemoEvent:
    """How far a stage is."""

    stage: str
    num_done: int
    num_total: int
    """0 where it is not known."""


OnDemoProgress: TypeAlias = Callable[[DemoEvent], None]


@dataclass(frozen=True, kw_only=True)
class DemoStages:
    """Tells of each stage while it runs, and keeps its time."""

    on_progress: OnDemoProgress
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time by stage, of those that ended."""

    @property
    def rounded_seconds(self) -> dict[str, float]:
        """The same, to a tenth."""
        return {name: round(value, 1) for name, value in self.seconds.items()}

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Take the time of a stage."""
        began = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - began

    @contextmanager
    def watched(self, stage: str, count: Callable[[], int], total: int = 0) -> Iterator[None]:
        """Tell a count that grows on disk, while other processes work."""
        with watch_count(count, lambda done: self.tell(stage, done, total)):
            yield

    def tell(self, stage: str, num_done: int, num_total: int) -> None:
        """Tell once."""
        self.on_progress(DemoEvent(stage=stage, num_done=num_done, num_total=num_total))


def count_updates(runs: Iterable[Path]) -> int:
    """Count what runs have written into their logs, a line an update."""
    return sum(count_lines(run / "metrics.jsonl") for run in runs)


def count_commits(store: Path) -> int:
    """Count the shards that all producers of a store have finished."""
    return sum(1 for _ in (store / "commits").glob("*/*.json"))


def expect_commits(num_clips: int, rows_per_shard: int, num_producers: int) -> int:
    """Give how many there will be."""
    return -(-num_clips // rows_per_shard) * num_producers
