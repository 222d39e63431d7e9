"""Kill extractions at random moments, at least fifty times, and tell what it cost.

    python benchmarks/crash_campaign.py [--kills 60] [--recordings 20] [--seed 1] [--out kills.md]

Whole process trees are killed by SIGKILL, serial ones and ones with two workers, and the same
command goes on until done. After every kill the store must open, every committed shard must verify
and no clip may be there twice; in the end files and digest must equal those of a run that nobody
disturbed. Anything else ends the campaign with an AssertionError.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from crash_processes import Starter
from crash_runs import (
    SHARDS_OF_A_WORKER,
    Campaign,
    kill_at_random,
    sounds_command,
    write_sounds,
)
from rows import describe_machine

NUM_WORKERS = {"serial": 1, "processes": 2}
MIN_KILLS = 50
RECORDING_SECONDS = 8.0
PAGE = """\
# Extractions that are killed

Process trees that store the sound of {recordings} recordings, four shards of two clips each, are
killed by SIGKILL at random moments (seed {seed}), and the same command goes on until done. After
every kill the store opened, every committed shard verified and no clip was there twice; in the end
files and digest were those of a run that nobody disturbed. What is done again is at most the shards
in flight, two a worker.

Machine: {num_cores} cores, {system}, Python {python}, commit `{commit}`. Command:

```bash
python benchmarks/crash_campaign.py --kills {kills} --recordings {recordings} --seed {seed}
```

## Sums

{sums}

## Each kill

{each}
"""


def main() -> None:
    """Run the campaign and print its tables."""
    options = _read_options()
    if sys.platform != "linux":
        raise SystemExit("processes are found in /proc: this campaign needs Linux")
    campaigns = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sounds = write_sounds(folder / "sounds", options.recordings, seconds=RECORDING_SECONDS)
        (folder / "runs").mkdir()
        with Starter(folder / "runs") as starter:
            for executor, num_kills in _share_kills(options.kills):
                (folder / executor).mkdir()
                workers = ("--executor", executor, "--workers", str(NUM_WORKERS[executor]))
                campaigns[executor] = kill_at_random(
                    starter,
                    partial(_command, sounds, workers),
                    folder / executor,
                    num_kills=num_kills,
                    max_in_flight=NUM_WORKERS[executor] * SHARDS_OF_A_WORKER,
                    seed=options.seed,
                )
    page = write_page(campaigns, options)
    sys.stdout.write(page)
    if options.out:
        Path(options.out).write_text(page)


def write_page(campaigns: dict[str, Campaign], options: argparse.Namespace) -> str:
    """Say what was done, where, and what it cost."""
    return PAGE.format(
        **vars(options),
        **describe_machine(),
        sums="\n".join(tabulate(campaigns)),
        each="\n".join(tabulate_kills(campaigns)),
    )


def tabulate(campaigns: dict[str, Campaign]) -> Iterator[str]:
    """Yield a line for each executor, as a table of Markdown."""
    yield from _header(
        *("executor", "workers", "kills", "stores", "undisturbed, s", "clips", "clips computed"),
        *("redone", "shards in flight, sum over kills", "temporary files left", "digest equal"),
    )
    for executor, campaign in campaigns.items():
        kills = campaign.kills
        yield _row(
            *(executor, NUM_WORKERS[executor], len(kills), campaign.num_stores),
            f"{campaign.whole_seconds:.2f}",
            *(campaign.num_clips, campaign.num_clips_computed),
            campaign.num_clips_computed - campaign.num_clips,
            *(sum(kill.num_shards_lost for kill in kills), sum(k.num_temporary for k in kills)),
            "all",
        )


def tabulate_kills(campaigns: dict[str, Campaign]) -> Iterator[str]:
    """Yield a line for each kill."""
    yield from _header(
        *("executor", "kill", "after, s", "commits in the store", "shards in flight"),
        *("clips to do again", "temporary files in the store"),
    )
    for executor, campaign in campaigns.items():
        for number, kill in enumerate(campaign.kills, start=1):
            yield _row(
                *(executor, number, f"{kill.seconds:.2f}", kill.num_commits),
                *(kill.num_shards_lost, kill.num_clips_lost, kill.num_temporary),
            )


def _command(sounds: Path, workers: Sequence[str], store: Path) -> list[str]:
    return sounds_command(sounds, store, *workers)


def _share_kills(num_kills: int) -> Iterator[tuple[str, int]]:
    """Give most of them to the serial executor, whose runs begin faster."""
    num_processes = num_kills // 3
    yield "serial", num_kills - num_processes
    yield "processes", num_processes


def _header(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield _row(*["---"] * len(names))


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _read_options(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=60, help=f"{MIN_KILLS} or more")
    parser.add_argument(
        "--recordings", type=int, default=20, help="of eight seconds: four shards each"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--out", help="where to write the page as well")
    options = parser.parse_args(words)
    if options.kills < MIN_KILLS:
        parser.error(f"--kills {options.kills} must be {MIN_KILLS} or more")
    return options


if __name__ == "__main__":
    main()
