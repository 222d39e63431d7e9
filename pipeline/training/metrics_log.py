"""Losses and times of a run, as JSON lines and for TensorBoard.

A line of an update has ``update`` (done so far), ``epoch``, ``loss``, ``parts``, ``learning_rate``,
``grad_norm``, ``num_clips`` and ``seconds``; a line of a validation has ``update``, ``epoch``,
``validation_loss`` and ``validation_parts``. Losses are those of the first process.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from avkd.pipeline.run_dir import RunDir, write_text

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FLUSH_EVERY = 50
"""Lines between two flushes; a checkpoint flushes as well."""


class MetricsLog:
    """Writes what happened; open it with ``open_metrics``."""

    def __init__(self, lines: IO[str], board: "SummaryWriter") -> None:
        """Both are open and closed by others."""
        self._lines = lines
        self._board = board
        self._num_unflushed = 0

    def write(self, record: Mapping[str, object]) -> None:
        """Add one line; numbers go to TensorBoard too."""
        self._lines.write(json.dumps(record) + "\n")
        self._num_unflushed += 1
        if self._num_unflushed >= FLUSH_EVERY:
            self.flush()
        update = record["update"]
        assert isinstance(update, int)
        for name, value in _scalars(record):
            self._board.add_scalar(name, value, update)

    def flush(self) -> None:
        """Bring the lines to disk."""
        self._lines.flush()
        os.fsync(self._lines.fileno())
        self._board.flush()
        self._num_unflushed = 0


@contextmanager
def open_metrics(run: RunDir, first_update: int) -> Iterator[MetricsLog]:
    """Go on after the line of that update; later lines, of a run cut short, are dropped."""
    from torch.utils.tensorboard import SummaryWriter

    cut_lines(run.metrics_file, first_update)
    board = SummaryWriter(str(run.tensorboard), purge_step=first_update + 1)
    try:
        with run.metrics_file.open("a", encoding="utf-8") as lines:
            log = MetricsLog(lines, board)
            yield log
            log.flush()
    finally:
        board.close()


def cut_lines(file: Path, last_update: int) -> None:
    """Keep the lines up to that update; a torn last line goes as well."""
    if not file.exists():
        return
    kept = []
    for line in file.read_text().splitlines():
        try:
            is_kept = json.loads(line)["update"] <= last_update
        except json.JSONDecodeError:
            break
        if is_kept:
            kept.append(line + "\n")
    write_text(file, "".join(kept))


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """All whole lines of a metrics file."""
    return [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]


def _scalars(record: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}/{key}", inner) for key, inner in value.items())
        elif isinstance(value, float | int) and name not in ("update", "num_clips"):
            yield name, value
