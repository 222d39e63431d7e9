"""SoundNet's ablations on the store of a demo, as a table beside the paper's.

    avkd demo --out avkd-demo
    python examples/soundnet_ablation.py avkd-demo/full docs/results/soundnet [--seeds 0 1 2]

Trains and evaluates with the `avkd` command, two runs at a time, and goes on where it stopped. The
small preset is ours: the variant `tiny` (a quarter of the paper's width, clips of 5 s).
"""

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from experiment import avkd, describe_commit, describe_machine, mean_sd

EPOCHS = "--set=schedule.num_epochs=10"
LAYERS = ("conv4", "conv5", "pool5", "conv6", "conv7", "conv8")
LITE0, LITE1 = "--teacher=efficientnet_lite0", "--teacher=efficientnet_lite1"
DEEP, SHALLOW = "8 layers, KL, two teachers", "5 layers, KL, two teachers"
CONTROLS = ("--control=scratch", "--control=random")
# The tiny variant trains its supervised control for a moment only; here it shall be a fair one.
FAIR = "--set=evaluation.num_updates=200"
ROWS: dict[str, list[str]] = {
    DEEP: ["--recipe=soundnet", FAIR, LITE0, LITE1],
    "8 layers, L2, two teachers": [
        "--recipe=soundnet", "--set=method.options.distance=l2", LITE0, LITE1,
    ],
    "8 layers, KL, lite0 only": ["--recipe=soundnet", LITE0],
    "8 layers, KL, lite1 only": ["--recipe=soundnet", LITE1],
    SHALLOW: ["--recipe=soundnet5", FAIR, LITE0, LITE1],
}  # fmt: skip
PAPER = {
    "8 layers, KL, two teachers": "72.9 / 92.2",
    "8 layers, L2, two teachers": "47.8 / 81.5",
    "8 layers, KL, lite0 only": "69.5 / 89.8 (ImageNet)",
    "8 layers, KL, lite1 only": "71.1 / 89.5 (Places)",
    "5 layers, KL, two teachers": "66.1 / 86.8",
    "8 layers, from scratch": "51.1 / 75.5",
    "5 layers, from scratch": "65.0 / 82.3",
}
PAPER_LAYERS = dict(zip(LAYERS, (66.0, 69.3, 72.9, 73.3, 59.8, 43.7), strict=True))
PAGE = """\
# SoundNet's ablations, simulated

Accuracy in percent of SoundNet's linear probe (pool5, or conv4 of 5 layers; windows of 1 s, SVM
with C = 0.01) on the test recordings of the demo's *simulated* world, mean (sd) over seeds
{seeds}. The preset is small and ours: `tiny`, a quarter of the paper's width, clips of 5 s, 10
epochs over 576 recordings, against the paper's two million. Compare the order of rows, not the
values.

| row | here | paper, ESC-50 / ESC-10 |
| --- | --- | --- |
{rows}

Layer by layer (8 layers, KL, two teachers; the paper's row is ESC-50 with VGG teachers):

| layer | here | paper |
| --- | --- | --- |
{layers}

Machine: {machine}; commit `{commit}`. The recipes and the scores of every seed lie beside this
page. Command:

```bash
avkd demo --out avkd-demo
python examples/soundnet_ablation.py avkd-demo/full docs/results/soundnet
```
"""


def measure(demo: Path, out: Path, row: str, seed: int) -> list[dict[str, Any]]:
    """Train and evaluate one row with one seed; what is there already is read."""
    name = row.replace(", ", "-").replace(" ", "_").lower()
    run, kept = demo / "ablation" / f"{name}-{seed}", out / f"{name}-{seed}.json"
    if not kept.exists():
        options = [*ROWS[row], "--variant=tiny", EPOCHS, f"--seed={seed}", "--split=unlabelled"]
        avkd("train-student", str(demo / "store"), str(run), *options)
        scores = evaluate(demo, run, seed, CONTROLS if row in (DEEP, SHALLOW) else ())
        if row == DEEP:
            # The recipe's own layer came first: it is the one of the table.
            scores += evaluate(demo, run, seed, [f"--layer={layer}" for layer in LAYERS])
        kept.write_text(json.dumps(scores, indent=1) + "\n")
        if seed == 0:
            (out / f"{name}.recipe.json").write_text((run / "recipe.json").read_text())
        print(row, seed, flush=True)
    found: list[dict[str, Any]] = json.loads(kept.read_text())
    return found


def evaluate(demo: Path, run: Path, seed: int, options: Sequence[str]) -> list[dict[str, Any]]:
    """Probe with the paper's C: the table has no validation rows to choose another by."""
    table = demo / "world" / "probe.csv"
    scores: list[dict[str, Any]] = avkd(
        "evaluate", str(run), str(table), f"--seed={seed}", *options
    )["scores"]
    return scores


def write_probe_table(demo: Path) -> None:
    """The labelled table without its validation rows."""
    lines = (demo / "world" / "labelled.csv").read_text().splitlines()
    kept = [line for line in lines if not line.endswith(",validation")]
    (demo / "world" / "probe.csv").write_text("\n".join(kept) + "\n")


def pick(scores: list[list[dict[str, Any]]], features: str, layer: str | None = None) -> str:
    """Mean and sd over seeds, in percent."""
    values = [
        100 * next(
            score["mean"] for score in one
            if score["features"] == features and layer in (None, score["layer"])
        )
        for one in scores
    ]  # fmt: skip
    return mean_sd(values, scale=1.0)


def write_tables(out: Path, found: dict[str, list[list[dict[str, Any]]]], seeds: list[int]) -> None:
    """Write README.md."""
    rows = {name: pick(scores, "distilled") for name, scores in found.items()}
    rows["8 layers, from scratch"] = pick(found[DEEP], "scratch")
    rows["5 layers, from scratch"] = pick(found[SHALLOW], "scratch")
    rows["8 layers, untrained"] = pick(found[DEEP], "random")
    rows["5 layers, untrained"] = pick(found[SHALLOW], "random")
    deep = found[DEEP]
    page = PAGE.format(
        seeds=", ".join(map(str, seeds)),
        rows="\n".join(f"| {name} | {rows[name]} | {PAPER.get(name, '-')} |" for name in rows),
        layers="\n".join(
            f"| {layer} | {pick(deep, 'distilled', layer)} | {PAPER_LAYERS[layer]} |"
            for layer in LAYERS
        ),
        machine=f"{describe_machine()}, no GPU used",
        commit=describe_commit(),
    )
    (out / "README.md").write_text(page)


def main() -> None:
    """Measure what is missing, two at a time, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    write_probe_table(asked.demo)
    with ThreadPoolExecutor(max_workers=2) as pool:
        jobs = {
            (row, seed): pool.submit(measure, asked.demo, asked.out, row, seed)
            for seed in asked.seeds
            for row in ROWS
        }
        found = {row: [jobs[row, seed].result() for seed in asked.seeds] for row in ROWS}
    write_tables(asked.out, found, asked.seeds)


if __name__ == "__main__":
    main()
