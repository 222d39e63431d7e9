"""Contestants in interleaved rounds.

A contestant is a command. In every round each runs once, in an order drawn anew from the seed; a
round before the first is thrown away but for its outputs, which must agree with one another before
any timing is accepted, and must be the same again in every round. The page cache is warm after it,
and stays so: rows say nothing about disks.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rows import WARM_UP, Rounds, Row

NUM_ROUNDS = 7
POLL_SECONDS = 1.0
LIMIT_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A command that does the whole job and says on its last line of output, as JSON, what."""

    name: str
    command: tuple[str, ...]
    check_arguments: tuple[str, ...] = ()
    """More arguments in the warm-up, where outputs are compared."""
    environment: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], None] = lambda: None
    """Called before every run, unmeasured: makes room for the output."""
    after: Callable[[], Mapping[str, Any]] = dict
    """Called after every run, unmeasured: tells of the output; what it tells of ``digest`` must be
    the same after every run, unless the contestant tells one itself."""


@dataclass(frozen=True, kw_only=True)
class Conduct:
    """How rounds are run."""

    num_rounds: int = NUM_ROUNDS
    minutes: float = float("inf")
    """No round is begun that would end after so many, as long as the longest before; but one."""
    seed: int = 0
    """Of the orders."""
    poll_seconds: float = POLL_SECONDS
    """Between two looks at memory."""
    limit_seconds: float = LIMIT_SECONDS
    """Of one run."""


Accept = Callable[[Contestant, Row], Mapping[str, Any]]
"""Looks at the outputs of the warm-up: what is told goes to the row; with a text under ``why_not``
the contestant may not run on."""


def order_of_round(names: Sequence[str], *, seed: int, number: int) -> tuple[str, ...]:
    """Draw who runs first, second, ... in a round."""
    drawn = np.random.default_rng([seed, number + 1]).permutation(len(names))
    return tuple(names[place] for place in drawn)


def run_rounds(
    contestants: Sequence[Contestant],
    conduct: Conduct,
    *,
    left_out: Mapping[str, str] | None = None,
    accept: Accept = lambda contestant, row: {},
    kept: Rounds | None = None,
    save: Callable[[Rounds], None] = lambda rounds: None,
    tell: Callable[[str], None] = lambda text: None,
) -> Rounds:
    """Run all contestants in a warm-up and then in every round.

    Args:
        contestants: the first is run first in the warm-up: the others are compared with it.
        conduct: how.
        left_out: who was left out before, and why.
        accept: of the warm-up.
        kept: what an earlier call saved; it goes on from there, but repeats half a warm-up.
        save: given all rows after every run.
        tell: told what comes next.
    """
    assert len({each.name for each in contestants}) == len(contestants), "two of one name"
    run = _Run(contestants, conduct, dict(left_out or {}), accept, save, tell)
    run.take_over(kept)
    run.go_through(WARM_UP)
    for number in range(conduct.num_rounds):
        if number and not run.has_time():
            tell(f"no time for round {number + 1}")
            break
        run.go_through(number)
    return run.rounds


class _Run:
    """Rounds that are on their way."""

    def __init__(
        self,
        contestants: Sequence[Contestant],
        conduct: Conduct,
        left_out: dict[str, str],
        accept: Accept,
        save: Callable[[Rounds], None],
        tell: Callable[[str], None],
    ) -> None:
        self._contestants = {each.name: each for each in contestants}
        self._conduct = conduct
        self._left_out = left_out
        self._accept = accept
        self._save = save
        self._tell = tell
        self._rows: list[Row] = []
        self._began = time.monotonic()

    @property
    def rounds(self) -> Rounds:
        return Rounds(
            rows=tuple(self._rows), left_out=dict(self._left_out), seed=self._conduct.seed
        )

    def take_over(self, kept: Rounds | None) -> None:
        """Go on from what was measured, unless it is not even all of a warm-up."""
        warmed = {row.name for row in kept.rows if row.round == WARM_UP} if kept else set()
        if kept is not None and warmed >= self._contestants.keys() - self._left_out.keys():
            self._rows, self._left_out = list(kept.rows), dict(kept.left_out)
            self._began -= sum(row.measured["wall_seconds"] for row in kept.rows)

    def has_time(self) -> bool:
        """Whether another round would end in time, so far as the rounds before tell."""
        taken: dict[int, float] = {}
        for row in self._rows:
            if row.round != WARM_UP:
                taken[row.round] = taken.get(row.round, 0.0) + row.measured["wall_seconds"]
        longest = max(taken.values(), default=0.0)
        return time.monotonic() - self._began + longest <= 60 * self._conduct.minutes

    def go_through(self, number: int) -> None:
        """Run everybody who has not run in this round yet."""
        done = {row.name for row in self._rows if row.round == number}
        # Who ran in it before being left out had a place in its order as well.
        names = [name for name in self._contestants if name not in self._left_out or name in done]
        if number != WARM_UP:
            names = list(order_of_round(names, seed=self._conduct.seed, number=number))
        for place, name in enumerate(names):
            if name not in done and name not in self._left_out:
                self._tell(f"round {number + 1}: {name}")
                self._run_one(self._contestants[name], number, place)

    def _run_one(self, contestant: Contestant, number: int, place: int) -> None:
        more = contestant.check_arguments if number == WARM_UP else ()
        row = _run(contestant, more, number, place, self._conduct)
        why = _find_failure(row) or self._find_change(row)
        if not why and number == WARM_UP:
            check = dict(self._accept(contestant, row))
            why = check.pop("why_not", "")
            row = Row(**{**vars(row), "told": {**row.told, **check}})
        self._rows.append(row)
        if why:
            self._left_out[contestant.name] = why
            self._tell(f"{contestant.name} is left out: {why}")
        self._save(self.rounds)

    def _find_change(self, row: Row) -> str:
        """Outputs are compared in the warm-up alone, so those of a round must be the same again."""
        before = {
            each.told["digest"]
            for each in self._rows
            if each.name == row.name and "digest" in each.told
        }
        if "digest" not in row.told or before <= {row.told["digest"]}:
            return ""
        return f"its outputs are others in round {row.round + 1} than before"


def measure_command(
    command: Sequence[str],
    conduct: Conduct,
    environment: Mapping[str, str] | None = None,
) -> tuple[Mapping[str, Any], str, str]:
    """Run one command under a supervisor of its own: what was measured, its stdout, its stderr."""
    script = Path(__file__).with_name("supervising.py")
    with tempfile.TemporaryDirectory(prefix="avkd-bench-") as folder:
        request, answer, output = (Path(folder, name) for name in ("ask.json", "told.json", "out"))
        request.write_text(
            json.dumps(
                {
                    "command": list(command),
                    "environment": {**os.environ, **(environment or {})},
                    "poll_seconds": conduct.poll_seconds,
                    "limit_seconds": conduct.limit_seconds,
                    "output": str(output),
                }
            )
        )
        subprocess.run([sys.executable, str(script), str(request), str(answer)], check=True)
        complaints = output.with_suffix(".err")
        return (
            json.loads(answer.read_text()),
            output.read_text(errors="replace"),
            complaints.read_text(errors="replace"),
        )


def describe_output(folder: Path) -> Mapping[str, Any]:
    """Count and hash what a contestant wrote: names and bytes of all files, in name order."""
    digest, num_bytes = hashlib.sha256(), 0
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        digest.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
        num_bytes += path.stat().st_size
    return {"digest": digest.hexdigest(), "output_bytes": num_bytes, "output_files": len(files)}


def _run(
    contestant: Contestant, more: Sequence[str], number: int, place: int, conduct: Conduct
) -> Row:
    contestant.before()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    measured, said, complaints = measure_command(
        (*contestant.command, *more), conduct, contestant.environment
    )
    told = dict(_read_last_line(said))
    if not measured["returncode"]:
        told = {**contestant.after(), **told}
    return Row(
        round=number,
        place=place,
        name=contestant.name,
        load_before=load,
        measured=measured,
        told=told,
        complaints=complaints[-2000:] if measured["returncode"] else "",
    )


def _read_last_line(said: str) -> Mapping[str, Any]:
    lines = said.strip().splitlines()
    try:
        told = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _find_failure(row: Row) -> str:
    if row.measured["is_timed_out"]:
        return f"took over the limit in round {row.round + 1}"
    if row.measured["returncode"]:
        last = row.complaints.strip().splitlines()[-1:] or ["it said nothing"]
        return f"failed in round {row.round + 1}: {last[0]}"
    return ""
