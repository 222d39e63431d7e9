"""Mutual learning on simulated tags: audio only, one-way transfer, each switch, mutual.

    python examples/mutual_tagging.py work/ docs/results/mutual [--seeds 0 1 2 3 4]

Every thing that is heard is a tag, in the picture or not. The student hears; the teacher also looks
at stored embeddings of EfficientNet-Lite0. Rows are those of docs/mutual.md; `rounds` is the
offline form, in which teacher and student exchange stored targets. The world is
`tagging_world(100)`; the one for development had seed 101.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from experiment import avkd, describe_commit, describe_machine, keep, mean_sd, side_by_side, table

from avkd.stages.metrics.comparison import compare_seeds
from avkd.stages.simulation.worlds.tagging import tagging_world, write_tagging_world

SIGHT = "efficientnet_lite0"
OPTION = "--set=method.options"
# A narrower student than the recipe's, so that five seeds of every row take an evening.
SMALL = '--set=encoder.options.body_options={"widths": [16, 32, 64, 128], "hop_seconds": 0.03}'
ROWS: dict[str, Sequence[str]] = {
    "audio_only": ["--variant=audio_only"],
    "one_way": ["--variant=one_way", f"{OPTION}.single_modal=off"],
    "one_way_both": ["--variant=one_way"],
    "single": [f"{OPTION}.cross_modal=off", f"{OPTION}.mutual=false"],
    "cross": [f"{OPTION}.single_modal=off", f"{OPTION}.mutual=false"],
    "both": [f"{OPTION}.mutual=false"],
    "mutual": [],
    "rounds": ["--rounds=2"],
}
NAMES = {
    "audio_only": "audio only",
    "teacher": "teacher (sees and hears)",
    "one_way": "one-way, from the finished teacher",
    "one_way_both": "one-way, from it and its audio branch",
    "single": "+ single-modal, live teacher",
    "cross": "+ cross-modal, live teacher",
    "both": "+ both, live teacher",
    "mutual": "mutual: both, each way",
    "rounds": "the offline form, two rounds",
}
PAGE = """\
# Mutual learning on simulated tags

In percent on 192 test recordings, mean (sd) over seeds {seeds}; differences are to *audio only*,
with the p of a paired t-test over seeds. The paper (Yin et al. 2021) says that one-way transfer is
unsatisfactory and mutual learning better [S]; its numbers are unknown [U].

{table}

{where}. The recipe of each row and the scores by seed lie beside this page. Command:

```bash
python examples/mutual_tagging.py work/ docs/results/mutual
```
"""


def prepare(work: Path, world_seed: int) -> tuple[Path, Path]:
    """Make the world and its store."""
    corpus = write_tagging_world(tagging_world(world_seed), work / "world", num_workers=2)
    store = work / "store"
    clips = ["--clip-seconds=5", "--step-seconds=1", "--rows-per-shard=64"]
    avkd("extract-teacher", corpus, store, f"--teacher={SIGHT}", *clips)
    return corpus, store


def prepare_teacher(work: Path, corpus: Path, store: Path, seed: int) -> None:
    """Train the teacher of a seed, and store what it and its audio branch say."""
    named = []
    for part, deploy in (("av", "teacher"), ("audio", "audio")):
        run = work / "teachers" / f"{part}-{seed}"
        words = ["train-teacher", store, run, "--recipe=mutual", "--variant=teacher", SMALL]
        avkd(*words, f"--seed={seed}", f"{OPTION}.deploy={deploy}")
        named.append(f"--teacher={part}-{seed}={run}")
    avkd("extract-teacher", corpus, store, *named)


def measure(work: Path, out: Path, store: Path, row: str, seed: int) -> dict[str, Any]:
    """Train one student and test it; the teacher is trained already."""
    if row == "teacher":
        return test(work / "teachers" / f"av-{seed}", store, out / "teacher.recipe.json")
    run = work / "runs" / f"{row}-{seed}"
    words = ["train-student", store, run, "--recipe=mutual", SMALL, f"--seed={seed}", *ROWS[row]]
    if row.startswith("one_way"):
        stored = {"teacher": f"av-{seed}", "audio_teacher": f"audio-{seed}"}
        words += [f"{OPTION}.{option}={name}" for option, name in stored.items()]
    told = avkd(*words)
    student = told["student"] if row == "rounds" else run
    return test(Path(student), store, out / f"{row}.recipe.json")


def test(run: Path, store: Path, recipe: Path) -> dict[str, Any]:
    """The scores of a run on the test rows; its recipe is copied."""
    recipe.write_text((run / "recipe.json").read_text())
    report = avkd("evaluate", run, store, "--split=test", "--label-column=labels")
    metrics: dict[str, Any] = report["scores"][0]["metrics"]
    return {"metrics": metrics, "commit": describe_commit()}


def describe_row(row: str, found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """A line of the table."""
    cells = [NAMES[row]]
    for metric in ("mAP", "micro_f1"):
        values = [one["metrics"][metric] for one in found[row]]
        base = [one["metrics"][metric] for one in found["audio_only"]]
        cells.append(mean_sd(values))
        if row == "audio_only" or len(values) < 2:
            cells.append("")
            continue
        paired = compare_seeds(base, values)
        p_value = "-" if paired.t_p_value is None else f"{paired.t_p_value:.3f}"
        cells.append(f"{100 * paired.difference.mean:+.1f} ({p_value})")
    return cells


def main() -> None:
    """Measure all rows and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--world-seed", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    asked = parser.parse_args()
    corpus, store = prepare(asked.work, asked.world_seed)
    teach = partial(prepare_teacher, asked.work, corpus, store)
    for seed in asked.seeds:
        # One after the other: each stores its targets, and planners of one store would race.
        teach(seed)

    def kept(row: str, seed: int) -> Any:
        file = asked.out / f"{row}-{seed}.json"
        return keep(file, partial(measure, asked.work, asked.out, store, row, seed))

    rows = ["teacher", *asked.rows]
    jobs = [partial(kept, row, seed) for seed in asked.seeds for row in rows if row != "rounds"]
    side_by_side(jobs, asked.jobs)
    found = {row: [kept(row, seed) for seed in asked.seeds] for row in rows}
    header = ["row", "mAP", "difference (p)", "micro-F1", "difference (p)"]
    page = PAGE.format(
        seeds=", ".join(map(str, asked.seeds)),
        table=table(header, [describe_row(row, found) for row in NAMES if row in found]),
        where=f"World of seed {asked.world_seed}. {describe_machine()}; commit "
        f"`{describe_commit()}`",
    )
    (asked.out / "README.md").write_text(page)


if __name__ == "__main__":
    main()
