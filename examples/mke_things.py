"""Multimodal Knowledge Expansion on simulated videos of things: does a student beat its teacher?

    python examples/mke_things.py work/ docs/results/mke [--seeds 0 1 2 3 4] [--world-seed 202]

A teacher of one modality has 4 labels a class (48 recordings); its students never see a label but
what the teacher said of 480 other recordings. Rows: the teacher; a student of the same modality,
without noise; the same on the surer half of what its teacher said; a student of both without noise;
a student of both (MKE: noise, modality dropout, the surer half); and one of both with the true
labels of the 480, the bound. Twice: with a teacher that sees, and with one that hears. The world's
settings stand here; recipes were settled on its seed 201.
"""

import argparse
import csv
import json
from functools import partial
from pathlib import Path
from typing import Any

from experiment import avkd, describe_commit, describe_machine, keep, mean_sd, side_by_side, table

from avkd.stages.metrics.comparison import compare_seeds
from avkd.stages.simulation.worlds.things import ThingsWorld
from avkd.stages.simulation.worlds.writing import write_world

SIGHT, SOUND = "efficientnet_lite0", "waveform"
Options = dict[str, dict[str, Any]]
BODY = {"widths": [16, 32, 64, 128], "hop_seconds": 0.03}
QUIET: Options = {
    SIGHT: {"input_noise": 0.0, "dropout": 0.0},
    SOUND: {"body_options": BODY, "num_masks": 0, "dropout": 0.0},
}
NOISY: Options = {
    SIGHT: {"input_noise": 1.0, "dropout": 0.5},
    SOUND: {"body_options": BODY, "num_masks": 2, "dropout": 0.2},
}
DROP_STREAM = 0.4
OPTION = "--set=method.options"
ENCODERS = {SIGHT: "stored", SOUND: "sound"}
TEACHERS = {"sees": SIGHT, "hears": SOUND}
ROWS = {
    "student of the same modality": "uni",
    "the same, surer half": "uni_half",
    "student of both, no noise": "quiet",
    "student of both (MKE)": "mke",
    "student of both, true labels": "bound",
}
PAGE = """\
# MKE on simulated videos of things

Accuracy in percent on 192 test recordings, mean (sd) over seeds of teacher and student alike.
The teachers had 48 labelled recordings, the students 480 others without a label. The paper gives no
numbers for such a task [U]; its claim is that MKE's student is better than its teacher.

{table}

{tests}

{note}. Scores by seed lie beside this page. Command:

```bash
python examples/mke_things.py work/ docs/results/mke
```
"""


def world(seed: int) -> ThingsWorld:
    """Frozen before the first student."""
    return ThingsWorld(
        seed=seed,
        num_unlabelled=480,
        num_train_per_kind=4,
        num_validation_per_kind=0,
        num_test_per_kind=16,
        frame_rate=2,
    )


def write_corpus(folder: Path, seed: int) -> Path:
    """The recordings with a label where the teacher and the test have one, and the truth apart."""
    files = write_world(world(seed), folder, num_workers=2)
    truth = {row["recording_id"]: row["label"] for row in read(files.truth)}
    truth |= {row["recording_id"]: row["label"] for row in read(files.labelled)}
    rows = []
    for row in read(files.corpus):
        split = {"train": "labelled"}.get(row["split"], row["split"])
        kind = truth[row["recording_id"]]
        label = kind if split != "unlabelled" else ""
        rows.append({**row, "split": split, "label": label, "truth": kind})
    path = folder / "mke.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(path: Path) -> list[dict[str, str]]:
    """A table's rows."""
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def encoder(streams: list[str], options: Options, drop_stream: float = 0.0) -> str:
    """The option of a command that names the encoder of one stream, or of two."""
    if len(streams) == 1:
        (stream,) = streams
        chosen = {"name": ENCODERS[stream], "options": {"stream": stream, **options[stream]}}
        return f"--set=encoder={json.dumps(chosen)}"
    flat = {f"{each}.{name}": options[each][name] for each in streams for name in options[each]}
    body = {f"{SOUND}.body_options.{name}": value for name, value in BODY.items()}
    flat.pop(f"{SOUND}.body_options")
    fused = {
        "streams": {each: ENCODERS[each] for each in streams},
        "kind": "early",
        "options": {**flat, **body},
        "drop_stream": drop_stream,
    }
    return f"--set=encoder={json.dumps({'name': 'fusion', 'options': fused})}"


def prepare(work: Path, world_seed: int, seeds: list[int]) -> None:
    """Make the world, its store, a teacher for each seed and what they say of every row."""
    corpus = write_corpus(work / "world", world_seed)
    store = work / "store"
    clips = ["--clip-seconds=5", "--step-seconds=1", "--rows-per-shard=64"]
    avkd("extract-teacher", corpus, store, f"--teacher={SIGHT}", *clips)
    named = []
    for teacher, stream in TEACHERS.items():
        run = work / f"teacher-{teacher}"
        words = ["train-teacher", store, run, "--recipe=mke_teacher", "--variant=things"]
        words += [f"--seed={seed}" for seed in seeds]
        avkd(*words, encoder([stream], QUIET))
        runs = [run / f"seed-{seed}" if len(seeds) > 1 else run for seed in seeds]
        named += [f"--teacher={teacher}-{s}={r}" for s, r in zip(seeds, runs, strict=True)]
    avkd("extract-teacher", corpus, store, *named)


def measure(work: Path, teacher: str, row: str, seed: int) -> dict[str, Any]:
    """Train one student and test it, its teacher beside it."""
    store, run = work / "store", work / "runs" / f"{teacher}-{row}-{seed}"
    streams = [TEACHERS[teacher]] if row.startswith("uni") else [SIGHT, SOUND]
    options = NOISY if row in ("mke", "bound") else QUIET
    words = ["train-student", store, run, "--recipe=mke", "--variant=things", f"--seed={seed}"]
    if row == "bound":
        words += ["--label-column=truth", '--set=method={"name": "supervised"}']
    else:
        words += [f"--teacher={teacher}-{seed}"]
        if row not in ("mke", "uni_half"):
            words += [f"{OPTION}.threshold=none", f"{OPTION}.threshold_value=none"]
    avkd(*words, encoder(streams, options, DROP_STREAM if row in ("mke", "bound") else 0.0))
    told = ["--split=test", "--label-column=truth", f"--teacher-targets={teacher}-{seed}"]
    return avkd("evaluate", run, store, *told)


def accuracies(found: list[dict[str, Any]], who: int) -> list[float]:
    """Of the student (0) or its teacher (1), by seed."""
    return [one["scores"][who]["metrics"]["accuracy"] for one in found]


def write_table(out: Path, found: dict[tuple[str, str], list[dict[str, Any]]], note: str) -> None:
    """Write README.md."""
    header = ["row", *(f"teacher {teacher}" for teacher in TEACHERS)]
    rows = [["teacher", *(mean_sd(accuracies(found[t, "mke"], 1)) for t in TEACHERS)]]
    for label, row in ROWS.items():
        rows.append([label, *(mean_sd(accuracies(found[t, row], 0)) for t in TEACHERS)])
    tests = [
        f"MKE over its teacher that {t}: {compare(found[t, 'mke'], 0, found[t, 'mke'], 1)}; "
        f"over the student without noise: {compare(found[t, 'mke'], 0, found[t, 'quiet'], 0)}."
        for t in TEACHERS
    ]
    text = PAGE.format(table=table(header, rows), tests="\n".join(tests), note=note)
    (out / "README.md").write_text(text)


def compare(ours: list[dict[str, Any]], who: int, others: list[dict[str, Any]], whom: int) -> str:
    """The mean difference over seeds, and a paired test."""
    test = compare_seeds(accuracies(others, whom), accuracies(ours, who))
    p_value = "-" if test.t_p_value is None else f"{test.t_p_value:.3f}"
    return f"{100 * test.difference.mean:+.1f} points (paired t-test over seeds: p = {p_value})"


def main() -> None:
    """Measure all rows and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--world-seed", type=int, default=202)
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    prepare(asked.work, asked.world_seed, asked.seeds)
    jobs = {
        (teacher, row, seed): partial(
            keep,
            asked.out / f"{teacher}-{row}-{seed}.json",
            partial(measure, asked.work, teacher, row, seed),
        )
        for seed in asked.seeds
        for teacher in TEACHERS
        for row in ROWS.values()
    }
    side_by_side(jobs.values(), asked.jobs)
    found = {
        (teacher, row): [jobs[teacher, row, seed]() for seed in asked.seeds]
        for teacher in TEACHERS
        for row in ROWS.values()
    }
    seeds = ", ".join(map(str, asked.seeds))
    where = f"{describe_machine()}; commit `{describe_commit()}`"
    write_table(asked.out, found, f"World of seed {asked.world_seed}, students of {seeds}. {where}")


if __name__ == "__main__":
    main()
