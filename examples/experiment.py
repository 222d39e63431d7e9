"""What the experiments of this folder share: avkd's commands run side by side, and tables.

An experiment trains and evaluates with the `avkd` command alone, keeps one JSON a row and seed, and
goes on where it stopped.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any


def avkd(*words: object) -> dict[str, Any]:
    """Run one command on one thread and give its JSON; its error ends the experiment."""
    done = subprocess.run(
        [sys.executable, "-m", "avkd", *map(str, words), "--json"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"avkd {' '.join(map(str, words))}\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def keep(file: Path, measure: Callable[[], Any]) -> Any:
    """What a file holds, or what is measured and then kept there."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(measure(), indent=1) + "\n")
        print(file.stem, flush=True)
    return json.loads(file.read_text())


def side_by_side(jobs: Iterable[Callable[[], object]], num_jobs: int) -> None:
    """Do all jobs, so many at a time; the first error is raised."""
    with ThreadPoolExecutor(num_jobs) as pool:
        try:
            for future in as_completed([pool.submit(job) for job in jobs]):
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def mean_sd(values: Sequence[float], scale: float = 100.0, digits: int = 1) -> str:
    """Mean and sd over seeds, in percent unless scaled otherwise."""
    scaled = [scale * value for value in values]
    sd = statistics.stdev(scaled) if len(scaled) > 1 else 0.0
    return f"{statistics.fmean(scaled):.{digits}f} ({sd:.{digits}f})"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def describe_machine() -> str:
    """Cores and architecture."""
    return f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def describe_commit() -> str:
    """The commit that is checked out."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
