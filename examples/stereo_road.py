"""Stereo vehicle tracking on the simulated road: a table of students, and of what they lack.

    python examples/stereo_road.py road docs/results/stereosoundnet

Makes the road, trains a detector on its labelled drives, stores what it sees on the others, then
trains and evaluates students with the `avkd` command, `--jobs` at a time, and goes on where it
stopped. Tracks need `pip install '.[tracking]'`.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
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
from avkd.stages.simulation.worlds.road import full_road_world
from avkd.stages.simulation.worlds.road_writing import write_road_world

OFFICIAL_WORLD = 400
"""The seed of the results. Recipes were settled on other seeds alone."""
TEACHER = "rgb"
SHAPE = ("--clip-seconds=5", "--step-seconds=0.25", "--sample-rate=16000", "--num-channels=2")
MAPS = (f"--maps={TEACHER}=features_1", "--map-channels=32")
PAPERS = (
    (
        *("Gan 2019, made again for Valverde 2021 [S]", "44.1", "62.4", "41.5"),
        *("3.00", "2.24", "16.9", "1327"),
    ),
)
PAGE = """\
# Stereo vehicle tracking, the simulated road

*Simulated* drives of the split `test` that nobody learned from, by day and night, from places of
training and from unseen ones. Students heard two microphones and learned from what a detector saw
in the pictures of {num_train} drives without labels, none of them by night unless the row says so;
the detector had learned from the true boxes of {num_teacher} other drives, {num_dark} of them by
night. Mean (sd) over seeds {seeds} of the student; all learn from one detector (seed 0), whose own
row is what it sees in the pictures of the test drives. World {world}: settings and seed were frozen
before the first student was trained on it; recipes were settled on other seeds. "Boxes alone" has
another grid as well: 13 x 13 cells, not the 12 x 20 of the detector's map.

## What is found, by place

AP in percent, against true boxes.

{places}

## What is found, by light

AP@0.5 in percent, against true boxes, places of training and unseen ones together.

{lights}

## Where it is, and tracks

CDx and CDy in percent of the picture, over matched boxes; the match rate beside them. Tracks at
IoU 0.5, switches summed over the {num_test} drives. Boxes count here from a score of 0.3 on, the
detector's from 0.5 on.

{tracks}

## Beside the papers

| | mAP@avg | mAP@0.5 | mAP@0.75 | CDx | CDy | MOTA | ID switches |
| --- | --- | --- | --- | --- | --- | --- | --- |
{papers}

Gan et al. (2019) published no table that could be read [U]. Valverde et al. (2021) trained another
network as StereoSoundNet on real streets, with eight microphones, and held it to a teacher's boxes,
not to the truth: their row shows the order of such numbers, and is not to be compared. Ours are by
the rules of their code [S]: AP averaged over IoU 0.50 to 0.90, no empty pictures, and as center
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
    changes: tuple[str, ...] = ()
    where: str = "light=day,dusk,rain"
    """What is learned from: the detector is not to be trusted by night."""

    @property
    def name(self) -> str:
        """Of its files and runs."""
        return self.title.replace(", ", "-").replace(" ", "_")


ROWS = (
    Row(title="stereo, our ear", variant="phase"),
    Row(title="one microphone twice", variant="mono"),
    Row(title="microphones shuffled", variant="shuffled"),
    Row(title="nothing told of the camera", variant="no_metadata"),
    Row(title="boxes alone, no ranking", variant="no_ranking"),
    Row(title="night drives as well", variant="phase", where="light=day,dusk,rain,night"),
)
PAPERS_EAR = (
    Row(title="stereo, ear of the paper", variant="small"),
    Row(
        title="one microphone twice, ear of the paper",
        variant="small",
        changes=("--set=encoder.options.channels=doubled",),
    ),
)


def make_road(work: Path, seed: int, num_updates: int, jobs: int) -> Road:
    """Drives, detector and store; what is there stays."""
    road = Road(folder=work / "world", store=work / "store")
    files = write_road_world(
        full_road_world(seed), road.folder, streams=("rgb", "audio"), num_workers=jobs
    )
    detector = work / "detector"
    avkd(
        *("train-teacher", files.corpus, detector, "--task=detection", f"--truth={files.truth}"),
        *("--split=teacher", "--seed=0", f"--set=schedule.num_updates={num_updates}"),
    )
    avkd(
        *("extract-teacher", files.corpus, road.store, f"--teacher={TEACHER}={detector}"),
        *(*SHAPE, *MAPS, *(f"--vector={name}" for name in CAMERA)),
        *("--executor=processes", f"--workers={jobs}"),
    )
    return road


def measure(row: Row, seed: int, *, road: Road, runs: Path, out: Path) -> dict[str, Any]:
    """Train one row with one seed and evaluate it; what is there already is read."""
    run = runs / row.name / f"seed-{seed}"

    def train_and_evaluate() -> dict[str, Any]:
        recipe = ["--recipe=stereosoundnet", f"--variant={row.variant}", f"--seed={seed}"]
        asked = [*recipe, "--split=train", f"--where={row.where}"]
        trained = avkd("train-student", road.store, run, *asked, "--device=cpu", *row.changes)
        (out / f"{row.name}.recipe.json").write_text((run / "recipe.json").read_text())
        return {"seconds": trained["seconds"], **evaluate(run, road)}

    found: dict[str, Any] = keep(out / f"{row.name}-{seed}.json", train_and_evaluate)
    return found


def measure_detector(run: Path, *, road: Road, out: Path) -> dict[str, Any]:
    """Hold the stored detector to the truth, beside any run."""
    found: dict[str, Any] = keep(
        out / "detector.json", lambda: evaluate_teacher(TEACHER, run, road)
    )
    return found


def write_page(
    out: Path,
    asked: argparse.Namespace,
    found: Mapping[str, list[dict[str, Any]]],
    detector: Mapping[str, Any],
) -> None:
    """Write README.md."""
    world = full_road_world(asked.world)
    num_teacher, num_seen, num_unseen = (
        sum(drives.of(light) for light in LIGHT_NAMES)
        for drives in (world.teacher, world.test, world.unseen_test)
    )
    students = {title: gather(reports) for title, reports in found.items()}
    scores = {**students, "the detector, which sees": gather([detector])}
    page = PAGE.format(
        num_train=sum(world.train.of(light) for light in LIGHT_NAMES if light != "night"),
        num_teacher=num_teacher,
        num_dark=world.teacher.night,
        num_test=num_seen + num_unseen,
        seeds=", ".join(map(str, asked.seeds)),
        world=asked.world,
        places=by_place(scores),
        lights=by_light(scores),
        tracks=by_track(scores),
        papers=as_released(scores, PAPERS),
        machine=f"{describe_machine()}, no GPU used",
        commit=describe_commit(),
        command=say_command(asked),
    )
    (out / "README.md").write_text(page)


def say_command(asked: argparse.Namespace) -> str:
    """The command again, without folders of this machine."""
    words = ["python examples/stereo_road.py road docs/results/stereosoundnet"]
    words += [f"--world {asked.world}"] if asked.world != OFFICIAL_WORLD else []
    words += [f"--seeds {' '.join(map(str, asked.seeds))}"] if asked.seeds != [0, 1, 2] else []
    words += ["--papers-ear"] if asked.papers_ear else []
    return " ".join(words)


def main() -> None:
    """Measure what is missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--world", type=int, default=OFFICIAL_WORLD)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--detector-updates", type=int, default=1000)
    parser.add_argument("--papers-ear", action="store_true", help="its rows as well")
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    road = make_road(asked.work, asked.world, asked.detector_updates, asked.jobs)
    train = partial(measure, road=road, runs=asked.work / "runs", out=asked.out)
    rows = (*ROWS, *(PAPERS_EAR if asked.papers_ear else ()))
    jobs = {(row, seed): partial(train, row, seed) for row in rows for seed in asked.seeds}
    side_by_side(jobs.values(), asked.jobs)
    first = asked.work / "runs" / ROWS[0].name / f"seed-{asked.seeds[0]}"
    write_page(
        asked.out,
        asked,
        {row.title: [jobs[row, seed]() for seed in asked.seeds] for row in rows},
        measure_detector(first, road=road, out=asked.out),
    )


if __name__ == "__main__":
    main()
