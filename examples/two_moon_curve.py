"""How good students of TwoMoon become by how often their teacher is right, as a table.

    avkd demo --world two-moon --out avkd-demo
    python examples/two_moon_curve.py avkd-demo/two-moon-logits [--seeds 81 14 3]

Teachers of one and the same recipe are trained for less or longer; each is stored under a name of
its own in the demo's store and teaches students of its own, with the `avkd` command. What is there
already is used again.
"""

import argparse
import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from experiment import avkd

LENGTHS = (100, 500, 1000, 2000, 3000, 5000, 10_000, 20_000)
"""Epochs of the teacher; 1000 is the published one."""


def store_teacher(demo: Path, length: int) -> tuple[str, str]:
    """Train a teacher and store what it says; return its name and percent right of the 270."""
    store, run, name = str(demo / "store"), str(demo / "curve" / f"teacher-{length}"), f"t{length}"
    recipe = ("--recipe=mke_teacher", "--variant=two_moon", f"--set=schedule.num_epochs={length}")
    avkd("train-teacher", store, run, *recipe, "--device=cpu")
    rows = ("--inputs=none", "--batch-size=500")
    avkd("extract-teacher", str(demo / "points.parquet"), store, f"--teacher={name}={run}", *rows)
    on = (run, store, "--label-column=truth")
    right = [
        avkd("evaluate", *on, f"--split={split}")["scores"][0]["metrics"]["accuracy"]
        for split in ("test", "unlabelled")
    ]
    return name, f"{100 * right[0]:.1f} | {100 * right[1]:.1f}"


def measure_students(demo: Path, teacher: str, seeds: list[int]) -> str:
    """Train a teacher's students and return their mean and sd on the test points."""
    store, run = str(demo / "store"), str(demo / "curve" / f"students-of-{teacher}")
    recipe = ("--recipe=mke", "--variant=two_moon", f"--teacher={teacher}", "--device=cpu")
    avkd("train-student", store, run, *recipe, *(f"--seed={seed}" for seed in seeds))
    told = avkd("evaluate", run, store, "--split=test", "--label-column=truth")
    right = [100 * each["scores"][0]["metrics"]["accuracy"] for each in told.get("runs", [told])]
    sd = statistics.stdev(right) if len(right) > 1 else 0.0
    return f"{statistics.fmean(right):.1f} ({sd:.1f})"


def main() -> None:
    """Store every teacher, then train students, two kinds at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[81, 14, 3])
    asked = parser.parse_args()
    teachers = [store_teacher(asked.demo, length) for length in LENGTHS]
    with ThreadPoolExecutor(max_workers=2) as pool:
        names = [name for name, _ in teachers]
        students = list(
            pool.map(lambda name: measure_students(asked.demo, name, asked.seeds), names)
        )
    print("| epochs of the teacher | right, 200 test | right, the 270 | its students, 200 test |")
    print("| --- | --- | --- | --- |")
    for length, (_, right), student in zip(LENGTHS, teachers, students, strict=True):
        print(f"| {length} | {right} | {student} |")


if __name__ == "__main__":
    main()
