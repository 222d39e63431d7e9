"""Eight microphones and three teachers on the simulated road: whose boxes, and which transfer.

    python examples/hearing_in_the_dark.py ring docs/results/mm-distillnet

Makes the road, trains detectors of its RGB, depth and thermal pictures on its labelled drives,
stores what they see on the others in one pass, then trains and evaluates students with the `avkd`
command, `--jobs` at a time, and goes on where it stopped. Tracks need `pip install '.[tracking]'`.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from experiment import avkd, describe_commit, describe_machine, keep, side_by_side
from road_tables import (
    Road,
    as_released,
    by_light,
    by_place,
    by_track,
    evaluate,
    evaluate_teacher,
    gather,
)

from avkd.pipeline.recipes.stereosoundnet import CAMERA
from avkd.stages.simulation.road.settings import LIGHTS as LIGHT_NAMES
from avkd.stages.simulation.worlds.road import NumDrives, RoadWorld, full_road_world
from avkd.stages.simulation.worlds.road_writing import write_road_world

OFFICIAL_WORLD = 500
"""The seed of the results. Recipes were settled on other seeds alone."""
TEACHERS = {"rgb": "rgb", "depth": "depth:0:6000", "thermal": "thermal:26000:32000"}
"""By name: the stream that a detector looks at."""
SHAPE = ("--clip-seconds=5", "--step-seconds=0.25", "--sample-rate=16000", "--num-channels=8")
PAPERS = (
    (
        *("StereoSoundNet made again, RGB teacher [S]", "44.1", "62.4", "41.5"),
        *("3.00", "2.24", "16.9", "1327"),
    ),
    (
        *("MM-DistillNet, three teachers [S]", "61.6", "84.3", "59.7"),
        *("1.27", "0.69", "27.0", "1078"),
    ),
)
PAPER_ABLATIONS = """\
Of the paper's ablations, mAP@avg [S:MM-note]: one RGB teacher with ranking 44.05, with MTA 44.58;
three teachers averaged with ranking 56.16, with MTA 59.46; three teachers multiplied 61.62, without
the pretext task 61.10; RGB and thermal 55.81."""
PAGE = """\
# Eight microphones and three teachers, the simulated road

*Simulated* drives of the split `test` that nobody learned from, by day and night, from places of
training and from unseen ones. Students heard a ring of eight microphones and learned from what
detectors saw in the RGB, depth and thermal pictures of {num_train} drives without labels, {dark} of
them by night; the detectors had learned from the true boxes of {num_teacher} other drives, {few} of
them by night. Mean (sd) over seeds {seeds} of the student; all learn from the same three detectors
(seed 0), whose own rows are what they see in the pictures of the test drives. World {world}:
settings and seed were frozen before the first student was trained on it; recipes were settled on
other seeds. Rows differ in whose boxes are labels and in the term beside them: those of the RGB
detector alone, all of the three detectors after non-maximum suppression, as in the paper, or those
of them on which two detectors agree, which is ours. `stereosoundnet` keeps its own recipe, of 816
updates where the others have 544.

## What is found, by light

AP@0.5 in percent, against true boxes, places of training and unseen ones together.

{lights}

## What is found, by place

AP in percent, against true boxes.

{places}

## Where it is, and tracks

CDx and CDy in percent of the picture, over matched boxes; the match rate beside them. Tracks at
IoU 0.5, switches summed over the {num_test} drives. Boxes count here from a score of 0.3 on, those
of detectors from 0.5 on.

{tracks}

By night alone ({num_night} drives):

{night_tracks}

## Beside the paper

| | mAP@avg | mAP@0.5 | mAP@0.75 | CDx | CDy | MOTA | ID switches |
| --- | --- | --- | --- | --- | --- | --- | --- |
{papers}

{ablations}

Those are of real streets and of agreement with the fused boxes of the teachers, where ours are held
to the truth: they show the order of such numbers, and are not to be compared. Ours here are by the
rules of the released code [S]: AP averaged over IoU 0.50 to 0.90, no empty pictures, and as center
distance one of widths and heights.

Machine: {machine}; commit `{commit}`. The recipe of each row and the scores of each run lie beside
this page. Command:

```bash
{command}
```
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one row of the tables trains."""

    title: str
    variant: str
    recipe: str = "mm-distillnet"
    counts_first: bool = False
    """Whether its encoder has learned to count."""
    changes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of its files and runs."""
        return self.title.replace(", ", "-").replace(" ", "_")


RGB_ALONE = ("--set=method.options.teacher=rgb",)
ROWS = (
    Row(title="RGB boxes", variant="rgb_boxes"),
    Row(title="RGB boxes, ranking", variant="rgb_ranking"),
    Row(title="RGB boxes, attention", variant="rgb"),
    Row(title="all boxes", variant="union_boxes"),
    Row(title="all boxes, product attention", variant="union"),
    Row(title="agreed boxes", variant="boxes"),
    Row(title="agreed boxes, ranking", variant="ranking"),
    Row(title="agreed boxes, average attention", variant="average"),
    Row(title="agreed boxes, product attention", variant="ring"),
    Row(
        title="agreed boxes, product attention, counting first",
        variant="ring",
        counts_first=True,
    ),
    Row(title="stereosoundnet", recipe="stereosoundnet", variant="phase", changes=RGB_ALONE),
)


def official_world(seed: int) -> RoadWorld:
    """The drives of stereosoundnet's results, with another seed and a ring of eight microphones."""
    world = full_road_world(seed)
    return replace(world, recorder=replace(world.recorder, array="ring"))


def make_road(work: Path, seed: int, num_updates: int, jobs: int) -> Road:
    """Drives, detectors and store; what is there stays."""
    road = Road(folder=work / "world", store=work / "store")
    files = write_road_world(official_world(seed), road.folder, num_workers=jobs)
    learn = (
        *("--task=detection", f"--truth={files.truth}", "--split=teacher", "--seed=0"),
        f"--set=schedule.num_updates={num_updates}",
    )
    side_by_side(
        [
            partial(avkd, "train-teacher", files.corpus, work / name, f"--stream={stream}", *learn)
            for name, stream in TEACHERS.items()
        ],
        jobs,
    )
    teachers = [f"--teacher={name}={work / name}" for name in TEACHERS]
    maps = [f"--maps={name}=attention,features_1" for name in TEACHERS]
    avkd(
        *("extract-teacher", files.corpus, road.store, *teachers, *maps, "--map-channels=32"),
        *(*SHAPE, *(f"--vector={name}" for name in CAMERA)),
        *("--executor=processes", f"--workers={jobs}"),
    )
    return road


def measure(row: Row, seed: int, *, road: Road, runs: Path, out: Path) -> dict[str, Any]:
    """Train one row with one seed and evaluate it; what is there already is read."""
    run = runs / row.name / f"seed-{seed}"

    def train(folder: Path, recipe: str, variant: str, *words: object) -> dict[str, Any]:
        asked = (f"--recipe={recipe}", f"--variant={variant}", f"--seed={seed}", "--split=train")
        return avkd("train-student", road.store, folder, *asked, "--device=cpu", *words)

    def train_and_evaluate() -> dict[str, Any]:
        counted = runs / "counting" / f"seed-{seed}"
        first: tuple[str, ...] = ()
        seconds = 0.0
        if row.counts_first:
            seconds = train(counted, "counting", row.variant)["seconds"]
            first = (f"--init-from={counted}",)
        seconds += train(run, row.recipe, row.variant, *first, *row.changes)["seconds"]
        (out / f"{row.name}.recipe.json").write_text((run / "recipe.json").read_text())
        return {"seconds": seconds, **evaluate(run, road)}

    found: dict[str, Any] = keep(out / f"{row.name}-{seed}.json", train_and_evaluate)
    return found


def write_page(
    out: Path,
    asked: argparse.Namespace,
    found: Mapping[str, list[dict[str, Any]]],
    teachers: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write README.md."""
    world = official_world(asked.world)
    students = {title: gather(reports) for title, reports in found.items()}
    seen = {f"the {name} detector, which sees": gather([each]) for name, each in teachers.items()}
    scores = {**students, **seen}
    page = PAGE.format(
        num_train=count(world.train),
        dark=world.train.night,
        num_teacher=count(world.teacher),
        few=world.teacher.night,
        num_test=count(world.test) + count(world.unseen_test),
        num_night=world.test.night + world.unseen_test.night,
        seeds=", ".join(map(str, asked.seeds)),
        world=asked.world,
        places=by_place(scores),
        lights=by_light(scores),
        tracks=by_track(scores),
        night_tracks=by_track(scores, "light=night"),
        papers=as_released(scores, PAPERS),
        ablations=PAPER_ABLATIONS,
        machine=f"{describe_machine()}, no GPU used",
        commit=describe_commit(),
        command=say_command(asked),
    )
    (out / "README.md").write_text(page)


def count(drives: NumDrives) -> int:
    """Drives by any light."""
    return sum(drives.of(light) for light in LIGHT_NAMES)


def say_command(asked: argparse.Namespace) -> str:
    """The command again, without folders of this machine."""
    words = ["python examples/hearing_in_the_dark.py ring docs/results/mm-distillnet"]
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
    parser.add_argument("--detector-updates", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    road = make_road(asked.work, asked.world, asked.detector_updates, asked.jobs)
    train = partial(measure, road=road, runs=asked.work / "runs", out=asked.out)
    jobs = {(row, seed): partial(train, row, seed) for seed in asked.seeds for row in ROWS}
    side_by_side(jobs.values(), asked.jobs)
    first = asked.work / "runs" / ROWS[0].name / f"seed-{asked.seeds[0]}"
    write_page(
        asked.out,
        asked,
        {row.title: [jobs[row, seed]() for seed in asked.seeds] for row in ROWS},
        {
            name: keep(
                asked.out / f"detector-{name}.json", partial(evaluate_teacher, name, first, road)
            )
            for name in TEACHERS
        },
    )


if __name__ == "__main__":
    main()
