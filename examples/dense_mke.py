"""Dense MKE on the simulated road: a student of two streams beside the teacher of one.

    python examples/dense_mke.py dense docs/results/mke-dense

Makes the road with the class of every pixel, trains a segmenter of its RGB pictures on few labelled
ones, stores what it says of the other drives, then trains and evaluates students with the `avkd`
command, `--jobs` at a time, and goes on where it stopped. What is in the folder already, such as
the drives of hearing_in_the_dark.py, is used.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from experiment import (
    avkd,
    describe_commit,
    describe_machine,
    keep,
    mean_sd,
    side_by_side,
    table,
)
from hearing_in_the_dark import OFFICIAL_WORLD, count, official_world

from avkd.stages.simulation.worlds.road_writing import write_road_world

STREAMS = ("rgb", "depth", "thermal", "classes")
TEACHER, TRUTH = "sees", "truth"
SIZE = "160x96"
SHAPE = ("--clip-seconds=5", "--step-seconds=1", "--inputs=none")
PICTURES = (
    *(f"--frames={each}@{SIZE}" for each in ("rgb", "depth:0:6000", "thermal:26000:32000")),
    f"--class-map={TRUTH}=classes@{SIZE}",
)
LIGHTS = ("all", "light=day", "light=dusk", "light=rain", "light=night")
BY_LIGHT = "light=day,dusk,rain"
PAGE = """\
# Dense MKE, the simulated road

*Simulated* test drives that nobody learned from, by day and night. The teacher is a segmenter of
RGB pictures that learned from {num_labelled} labelled ones, {num_dark} of them by night; students
learned from what it says of {num_train} drives without labels and saw pictures of the streams
named, disturbed while they learned. The upper bound learned from the true maps instead. Mean (sd)
over seeds {seeds} of the student; all learn from one teacher (seed 0). World {world}: settings and
seed were frozen before the first student was trained on it; recipes were settled on another.

Mean IoU over classes in percent, against the true class of every pixel.

{mean_iou}

IoU of vehicles in percent.

{vehicles}

The paper's own task is NYU-Depth-v2, where its student has a mean IoU of 48.88 % [S:MKE-lb]; its
other rows are unknown [U], and the numbers are not to be compared.

Machine: {machine}, no GPU used; commit `{commit}`. The recipe of each row and the scores of each
run lie beside this page. Command:

```bash
{command}
```
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one row of the tables trains."""

    title: str
    variant: str
    where: tuple[str, ...] = ()
    """Which drives are learned from; none: all."""

    @property
    def name(self) -> str:
        """Of its files and runs."""
        return self.title.replace(", ", "-").replace(" ", "_")


ROWS = (
    Row(title="RGB", variant="rgb"),
    Row(title="RGB and depth", variant="rgb_depth"),
    Row(title="RGB and thermal", variant="rgb_thermal"),
    Row(title="RGB and depth, not disturbed", variant="quiet"),
    Row(title="RGB and depth, no night", variant="rgb_depth", where=(f"--where={BY_LIGHT}",)),
    Row(title="RGB and thermal, no night", variant="rgb_thermal", where=(f"--where={BY_LIGHT}",)),
    Row(
        title="RGB and depth, no night, not disturbed",
        variant="quiet",
        where=(f"--where={BY_LIGHT}",),
    ),
    Row(title="upper bound, RGB and depth", variant="bound"),
)


def make_store(work: Path, asked: argparse.Namespace) -> Path:
    """Drives, segmenter and store; what is there stays."""
    files = write_road_world(
        official_world(asked.world), work / "world", streams=STREAMS, num_workers=asked.jobs
    )
    teacher, store = work / TEACHER, work / "class-maps"
    avkd(
        *("train-teacher", files.corpus, teacher, "--task=segmentation", "--split=teacher"),
        *(f"--truth={files.classes}", "--stream=rgb", "--seed=0"),
        f"--set=data.frames_per_recording={asked.labelled_frames}",
    )
    avkd(
        *("extract-teacher", files.classes, store, f"--teacher={TEACHER}={teacher}"),
        *(*PICTURES, *SHAPE, "--executor=processes", f"--workers={asked.jobs}"),
    )
    return store


def measure(row: Row, seed: int, *, store: Path, runs: Path, out: Path) -> dict[str, Any]:
    """Train one row with one seed and evaluate it; what is there already is read."""
    run = runs / row.name / f"seed-{seed}"

    def train_and_evaluate() -> dict[str, Any]:
        recipe = ("--recipe=mke-dense", f"--variant={row.variant}", f"--seed={seed}")
        trained = avkd("train-student", store, run, *recipe, *row.where, "--device=cpu")
        (out / f"{row.name}.recipe.json").write_text((run / "recipe.json").read_text())
        return {"seconds": trained["seconds"], **evaluate(run, store)}

    found: dict[str, Any] = keep(out / f"{row.name}-{seed}.json", train_and_evaluate)
    return found


def evaluate(run: Path, store: Path, *words: str) -> dict[str, Any]:
    """Hold a run to the true maps; what names folders of this machine is left."""
    held = (f"--class-maps={TRUTH}", "--split=test", "--by=light", "--by=view_split")
    report = avkd("evaluate", run, store, *held, *words)
    return {name: report[name] for name in ("scores", "notes")}


def measure_teacher(run: Path, *, store: Path, out: Path) -> dict[str, Any]:
    """Hold the stored segmenter to the truth, beside any run."""

    def look() -> dict[str, Any]:
        report = evaluate(run, store, f"--teacher-targets={TEACHER}")
        return {"scores": report["scores"][1:], "notes": report["notes"]}

    found: dict[str, Any] = keep(out / "teacher.json", look)
    return found


def by_light(found: Mapping[str, Sequence[Mapping[str, Any]]], metric: str) -> str:
    """One metric of each row, by light."""
    header = ["row", *(group.split("=")[-1] for group in LIGHTS)]
    rows = [
        [title, *(say(reports, group, metric) for group in LIGHTS)]
        for title, reports in found.items()
    ]
    return table(header, rows)


def say(reports: Sequence[Mapping[str, Any]], group: str, metric: str) -> str:
    """Mean (sd) over seeds, in percent."""
    values = [
        each["metrics"].get(metric)
        for report in reports
        for each in report["scores"][0]["groups"]
        if each["group"] == group
    ]
    known = [value for value in values if value is not None]
    if len(known) < len(reports):
        return "-"
    return mean_sd(known) if len(known) > 1 else f"{100 * known[0]:.1f}"


def write_page(
    out: Path,
    asked: argparse.Namespace,
    found: Mapping[str, list[dict[str, Any]]],
    teacher: Mapping[str, Any],
) -> None:
    """Write README.md."""
    world = official_world(asked.world)
    everyone: dict[str, Sequence[Mapping[str, Any]]] = {**found, "the teacher, RGB": [teacher]}
    page = PAGE.format(
        num_labelled=count(world.teacher) * asked.labelled_frames,
        num_dark=world.teacher.night * asked.labelled_frames,
        num_train=count(world.train),
        seeds=", ".join(map(str, asked.seeds)),
        world=asked.world,
        mean_iou=by_light(everyone, "mIoU"),
        vehicles=by_light(everyone, "IoU_vehicle"),
        machine=describe_machine(),
        commit=describe_commit(),
        command=say_command(asked),
    )
    (out / "README.md").write_text(page)


def say_command(asked: argparse.Namespace) -> str:
    """The command again, without folders of this machine."""
    words = ["python examples/dense_mke.py dense docs/results/mke-dense"]
    words += [f"--world {asked.world}"] if asked.world != OFFICIAL_WORLD else []
    words += [f"--seeds {' '.join(map(str, asked.seeds))}"] if asked.seeds != [0, 1, 2] else []
    return " ".join(words)


def main() -> None:
    """Measure what is missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--world", type=int, default=OFFICIAL_WORLD)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--labelled-frames", type=int, default=1, help="of each drive")
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    store = make_store(asked.work, asked)
    train = partial(measure, store=store, runs=asked.work / "dense-runs", out=asked.out)
    jobs = {(row, seed): partial(train, row, seed) for seed in asked.seeds for row in ROWS}
    side_by_side(jobs.values(), asked.jobs)
    first = asked.work / "dense-runs" / ROWS[0].name / f"seed-{asked.seeds[0]}"
    write_page(
        asked.out,
        asked,
        {row.title: [jobs[row, seed]() for seed in asked.seeds] for row in ROWS},
        measure_teacher(first, store=store, out=asked.out),
    )


if __name__ == "__main__":
    main()
