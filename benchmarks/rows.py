"""What was measured, row by row, and the file that keeps it while more is measured.

Every run of a contestant is written as soon as it has ended: an official run that is broken off
goes on from there, unless anything that decides its numbers is another than it was.
"""

import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from intervals import Interval, bootstrap_median, median, median_deviation, pair_ratios

ROWS_VERSION = 2
WARM_UP = -1
"""The number of the round that is thrown away."""
_DIRTY = "-dirty"
_PACKAGES = (
    *("av", "decord", "numpy", "onnxruntime", "opencv-python", "pillow", "pyarrow", "torch"),
    *("timm", "webdataset", "zarr"),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One run of one contestant."""

    round: int
    place: int
    """In the order of its round."""
    name: str
    load_before: float
    """Processes that wanted a core in the minute before."""
    measured: Mapping[str, Any]
    """What ``supervising.watch`` tells."""
    told: Mapping[str, Any]
    """What the contestant tells, and whoever looks at its output."""
    complaints: str = ""
    """The end of its stderr, where it failed."""

    def value(self, measure: str) -> float:
        """A number by name: measured, told, or ``cpu_seconds``."""
        if measure == "cpu_seconds":
            return float(self.measured["user_seconds"] + self.measured["system_seconds"])
        return float(self.measured[measure] if measure in self.measured else self.told[measure])


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """All rows, and who is in none of them."""

    rows: tuple[Row, ...]
    left_out: Mapping[str, str]
    """By name, why: a package is missing, it failed, or its outputs do not agree."""
    seed: int

    @property
    def num_rounds(self) -> int:
        """Rounds in which everybody ran who was not left out; the warm-up is none."""
        runs = [{row.round for row in self.rows if row.name == name} for name in self.names()]
        return len(set.intersection(*runs) - {WARM_UP}) if runs else 0

    def values(self, name: str, measure: str) -> list[float]:
        """A contestant's numbers, whole round by whole round, without the warm-up."""
        of_round = {row.round: row for row in self.rows if row.name == name}
        return [of_round[number].value(measure) for number in range(self.num_rounds)]

    def names(self) -> list[str]:
        """Who is not left out, in the order of the first rows."""
        return [
            name for name in dict.fromkeys(r.name for r in self.rows) if name not in self.left_out
        ]


def compare_rounds(rounds: Rounds, name: str, other: str, measure: str) -> Interval:
    """How many times as much ``name`` takes as ``other``, from the pairs of every round."""
    ratios = pair_ratios(rounds.values(name, measure), rounds.values(other, measure))
    return bootstrap_median(ratios, seed=rounds.seed)


def summarise(rounds: Rounds, name: str, measure: str) -> tuple[float, float]:
    """The median and the median deviation of a contestant."""
    values = rounds.values(name, measure)
    return median(values), median_deviation(values)


def describe_bench(bench: str, setting: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reader must know beside the rows, as JSON gives it back."""
    machine = describe_machine()
    described = {
        "rows_version": ROWS_VERSION,
        "bench": bench,
        "command": _command(),
        "setting": setting,
        "machine": machine,
        "began_at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }
    return dict(json.loads(json.dumps(described)))


def write_rounds(path: Path, rounds: Rounds, described: Mapping[str, Any]) -> None:
    """Write all rows, one a line, so that a kill leaves the old file or the new one."""
    head = {**described, "left_out": rounds.left_out, "seed": rounds.seed}
    lines = [json.dumps(asdict(row)) for row in rounds.rows]
    body = ",\n  ".join(lines)
    text = json.dumps(head, indent=1).removesuffix("\n}") + f',\n "rows": [\n  {body}\n ]\n}}\n'
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)


def read_rounds(path: Path) -> tuple[Rounds, Mapping[str, Any]]:
    """Read what ``write_rounds`` wrote: the rounds, and all the rest by name.

    Raises:
        ValueError: another version, or no such file.
    """
    document = json.loads(path.read_text())
    if not isinstance(document, dict) or document.get("rows_version") != ROWS_VERSION:
        raise ValueError(f"{path} holds no raw rows of version {ROWS_VERSION}; measure again")
    rounds = Rounds(
        rows=tuple(Row(**row) for row in document.pop("rows")),
        **{name: document.pop(name) for name in ("left_out", "seed")},
    )
    return rounds, document


def read_kept(
    path: Path, described: Mapping[str, Any], seed: int
) -> tuple[Rounds | None, Mapping[str, Any]]:
    """What was measured before under the same conditions, and the description to go on with.

    Raises:
        ValueError: what is there was measured with another setting, commit, machine or package.
    """
    if not path.exists():
        return None, described
    kept, before = read_rounds(path)
    now = {**_conditions(described), "seed": seed}
    for name, value in {**_conditions(before), "seed": kept.seed}.items():
        if value != now[name]:
            raise ValueError(
                f"{path} was measured with {name} {value!r}, now it is {now[name]!r}; "
                "delete it or give other --results"
            )
    return kept, before


def describe_machine() -> Mapping[str, Any]:
    """What a reader of the rows must know of where they come from."""
    can_tell = hasattr(os, "sched_getaffinity")
    return {
        "processor": _processor(),
        "num_cores": len(os.sched_getaffinity(0)) if can_tell else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _find_version(name))},
        "commit": _commit(),
    }


def _command() -> str:
    """What was typed, without the places of one machine."""
    words = (re.sub(r"(?<![\w.])/\S+", "PATH", word) for word in sys.argv[1:])
    return " ".join(("python", f"benchmarks/{Path(sys.argv[0]).name}", *words))


def _conditions(described: Mapping[str, Any]) -> Mapping[str, Any]:
    """What may not change within one table; results that were written make a tree dirty."""
    machine = dict(described["machine"])
    machine["commit"] = machine["commit"].removesuffix(_DIRTY)
    return {"bench": described["bench"], "setting": described["setting"], **machine}


def _processor() -> str:
    with_model = Path("/proc/cpuinfo")
    if with_model.exists():
        for line in with_model.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _find_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _commit() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", f"--dirty={_DIRTY}", "--abbrev=12"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or "unknown"
