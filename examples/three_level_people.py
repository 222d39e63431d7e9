"""Three-level distillation on the simulated people world, and a check on real voices.

    python examples/three_level_people.py people docs/results/three-level [--fsdd FOLDER]

Makes the world, then trains and evaluates with the `avkd` command, `--jobs` runs at a time, and
goes on where it stopped. FOLDER holds spoken digits as `digit_speaker_take.flac`, such as the Free
Spoken Digit Dataset: half of its speakers are learned from, the other half are told apart.
"""

import argparse
import hashlib
import itertools
import sys
import wave
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from experiment import avkd, describe_commit, describe_machine, keep, mean_sd, side_by_side, table

from avkd.stages.simulation.worlds.people import full_people_world
from avkd.stages.simulation.worlds.people_writing import write_people_world

OFFICIAL_WORLD = 300
"""The seed of the results. Recipes were settled on the world of seed 301 alone."""
SAMPLE_RATE = 8_000
"""Of the real voices."""
CLIP_SECONDS = 3
SHAPE = ("--sample-rate=16000", f"--clip-seconds={CLIP_SECONDS}", "--step-seconds=1")
FRAMES = "--frames=64x64"
PRIORS = (0.01, 0.05)
# Two updates an epoch: as many updates as a few thousand clips make with the recipe's epochs.
REAL_EPOCHS = "--set=schedule.num_epochs=150"
PAGE = """\
# Three levels, simulated people and real voices

Trials of *simulated* people, none of whom was learned from: {trials}.
EER in percent by interpolation of the ROC, minDCF times 100 at the prior {priors} with both costs
1; scores are plain cosines. Mean (sd) over seeds {seeds} of the student; all learn from the teacher
of seed {teacher_seed}. World {world}: settings and seed were frozen before the first student was
trained on it; recipes were settled on another seed.

{rows}

What Zhang, Chen and Qian (2021) measured on VoxCeleb could not be found: their numbers are
unknown [U], as are their weights, temperature and distance between distributions.
{real}
Machine: {machine}; commit `{commit}`. The recipe of each row and the scores of each run lie beside
this page. Command:

```bash
{command}
```
"""
REAL = """
## Real voices: a check

{corpus}
Three voices to tell apart are too few for a claim: the same students, and one that learned from the
other three real voices alone.

{rows}
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one row of the table trains."""

    title: str
    variant: str
    recipe: str = "three_level"
    hears: bool = True
    """And looks at nothing, so that it can be tried on voices alone."""

    @property
    def name(self) -> str:
        """Of its files and runs."""
        return self.title.replace(", ", "-").replace(" ", "_")


TEACHER = Row(
    title="teacher, voice and face", variant="default", recipe="three_level_teacher", hears=False
)
ROWS = (
    Row(title="voice alone", variant="alone"),
    Row(title="voice, label level", variant="label"),
    Row(title="voice, embedding level", variant="embedding"),
    Row(title="voice, distribution level", variant="distribution"),
    Row(title="voice, all levels", variant="default"),
    Row(title="face alone", variant="face_alone", hears=False),
    Row(title="face, all levels", variant="face", hears=False),
)
REAL_ALONE = Row(title="voice alone, real voices", variant="alone")


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A corpus with its store and its trials."""

    folder: Path

    @property
    def corpus(self) -> str:
        """The table."""
        return str(self.folder / "corpus.csv")

    @property
    def store(self) -> str:
        """Beside the corpus."""
        return str(self.folder) + "-store"

    @property
    def trials(self) -> str:
        """The list."""
        return str(self.folder / "trials.txt")

    def extract(self, *words: str) -> None:
        """Put inputs or a teacher's word into the store; what is there stays."""
        avkd("extract-teacher", self.corpus, self.store, *words)

    def evaluate(self, run: Path) -> dict[str, Any]:
        """By prior: the report of a run on the trials."""
        asked = [str(run), self.store, "--split=test", f"--trials={self.trials}"]
        reports = {str(p): avkd("evaluate", *asked, f"--p-target={p}") for p in PRIORS}
        # The rest of a report names folders of this machine.
        return {p: {"scores": r["scores"], "notes": r["notes"]} for p, r in reports.items()}


def measure(
    row: Row, seed: int, *, learned: Bench, tried: Mapping[str, Bench], runs: Path, out: Path
) -> dict[str, Any]:
    """Train one row with one seed and try it; what is there already is read."""
    run = runs / row.name / f"seed-{seed}"

    def train_and_try() -> dict[str, Any]:
        command = "train-teacher" if row.recipe.endswith("teacher") else "train-student"
        recipe = [f"--recipe={row.recipe}", f"--variant={row.variant}", f"--seed={seed}"]
        more = [REAL_EPOCHS] if row is REAL_ALONE else []
        avkd(command, learned.store, run, *recipe, *more, "--device=cpu")
        (out / f"{row.name}.recipe.json").write_text((run / "recipe.json").read_text())
        return {name: bench.evaluate(run) for name, bench in tried.items()}

    found: dict[str, Any] = keep(out / f"{row.name}-{seed}.json", train_and_try)
    return found


def make_people(folder: Path, seed: int, jobs: int) -> Bench:
    """The world's recordings, and their inputs in a store."""
    write_people_world(full_people_world(seed), folder, num_workers=jobs)
    people = Bench(folder=folder)
    people.extract(*SHAPE, FRAMES, "--executor=processes", f"--workers={jobs}")
    return people


def make_voices(digits: Path, folder: Path) -> Bench:
    """Spoken digits joined to utterances of 3 s, each of one speaker; all pairs are trials."""
    takes: dict[str, list[Path]] = {}
    for path in sorted(digits.glob("*_*_*.flac")):
        takes.setdefault(path.stem.split("_")[1], []).append(path)
    if len(takes) < 4:
        sys.exit(f"{digits} has digits of {len(takes)} speakers; 4 are needed")
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, str, str]] = []
    for number, speaker in enumerate(sorted(takes)):
        split = "train" if number < len(takes) // 2 else "test"
        for utterance, sound in enumerate(join_takes(takes[speaker])):
            name = f"{speaker}-{utterance:02}.wav"
            write_sound(folder / name, sound)
            rows.append((name, speaker, split))
    lines = [f"{name},{name},{speaker},{split}\n" for name, speaker, split in rows]
    (folder / "corpus.csv").write_text("path,recording_id,speaker,split\n" + "".join(lines))
    tested = [(name, speaker) for name, speaker, split in rows if split == "test"]
    (folder / "trials.txt").write_text("".join(list_trials(tested)))
    voices = Bench(folder=folder)
    voices.extract(*SHAPE, "--inputs=waveform")
    return voices


def join_takes(paths: Iterable[Path]) -> list[npt.NDArray[np.int16]]:
    """Takes in an order of chance, one after the other, cut every 3 s; the rest is left."""
    # The digest of a name is an order that is the same everywhere and mixes digits.
    ordered = sorted(paths, key=lambda path: hashlib.sha256(path.name.encode()).digest())
    utterances, pieces, num_samples = [], [], 0
    for path in ordered:
        pieces.append(read_sound(path))
        num_samples += len(pieces[-1])
        if num_samples >= CLIP_SECONDS * SAMPLE_RATE:
            utterances.append(np.concatenate(pieces)[: CLIP_SECONDS * SAMPLE_RATE])
            pieces, num_samples = [], 0
    return utterances


def read_sound(path: Path) -> npt.NDArray[np.int16]:
    """The samples of a file of one channel at 8 kHz."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        if stream.rate != SAMPLE_RATE or stream.channels != 1:
            sys.exit(f"{path} is not of one channel at {SAMPLE_RATE} Hz")
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        frames = [new for frame in container.decode(stream) for new in resampler.resample(frame)]
    samples: npt.NDArray[np.int16] = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    return samples


def write_sound(path: Path, samples: npt.NDArray[np.int16]) -> None:
    """Write a wav file, unless it is there."""
    if path.exists():
        return
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())


def list_trials(tested: Sequence[tuple[str, str]]) -> list[str]:
    """Lines in VoxCeleb's format: every pair of utterances, 1 if one speaker said both."""
    return [
        f"{int(one[1] == other[1])} {one[0]} {other[0]}\n"
        for one, other in itertools.combinations(tested, 2)
    ]


def format_rows(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """By title of a row, the reports of its seeds by prior: the table."""
    header = ["row", "EER, %", *(f"minDCF, prior {p}" for p in PRIORS)]
    rows = []
    for title, reports in found.items():
        eers = [metrics_of(report, PRIORS[0])["eer"] for report in reports]
        costs = [[metrics_of(report, p)["min_dcf"] for report in reports] for p in PRIORS]
        rows.append([title, mean_sd(eers), *map(mean_sd, costs)])
    return table(header, rows)


def metrics_of(report: Mapping[str, Any], prior: float) -> Mapping[str, float]:
    """EER and minDCF of the run itself."""
    metrics: Mapping[str, float] = report[str(prior)]["scores"][0]["metrics"]
    return metrics


def say_trials(report: Mapping[str, Any]) -> str:
    """How many there are."""
    details = report[str(PRIORS[0])]["scores"][0]["details"]
    return f"{details['num_target']} of one person, {details['num_nontarget']} of two"


def write_page(
    out: Path,
    asked: argparse.Namespace,
    people: Mapping[str, list[Any]],
    voices: Mapping[str, list[Any]],
) -> None:
    """Write README.md."""
    real = ""
    if voices:
        first = next(iter(voices.values()))[0]
        corpus = f"Spoken digits at 8 kHz, joined to utterances of 3 s: {say_trials(first)}."
        real = REAL.format(corpus=corpus, rows=format_rows(voices))
    page = PAGE.format(
        trials=say_trials(people[TEACHER.title][0]),
        priors=" and ".join(map(str, PRIORS)),
        seeds=", ".join(map(str, asked.seeds)),
        teacher_seed=asked.seeds[0],
        world=asked.world,
        rows=format_rows(people),
        real=real,
        machine=f"{describe_machine()}, no GPU used",
        commit=describe_commit(),
        command=say_command(asked),
    )
    (out / "README.md").write_text(page)


def say_command(asked: argparse.Namespace) -> str:
    """The command again, without folders of this machine."""
    words = ["python examples/three_level_people.py people docs/results/three-level"]
    words += [f"--world {asked.world}"] if asked.world != OFFICIAL_WORLD else []
    words += [f"--seeds {' '.join(map(str, asked.seeds))}"] if asked.seeds != [0, 1, 2] else []
    words += ["--fsdd FOLDER"] if asked.fsdd else []
    return " ".join(words)


def main() -> None:
    """Measure what is missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--world", type=int, default=OFFICIAL_WORLD)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--fsdd", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    people = make_people(asked.work / "world", asked.world, asked.jobs)
    voices = make_voices(asked.fsdd, asked.work / "voices") if asked.fsdd else None
    train = partial(measure, runs=asked.work / "runs", out=asked.out)

    def train_seeds(plan: Sequence[tuple[Row, Bench, Mapping[str, Bench]]]) -> dict[str, list[Any]]:
        jobs = [
            partial(train, row, seed, learned=learned, tried=tried)
            for row, learned, tried in plan
            for seed in asked.seeds
        ]
        side_by_side(jobs, asked.jobs)
        kept = iter([job() for job in jobs])
        return {row.title: [next(kept) for _ in asked.seeds] for row, _, _ in plan}

    found = train_seeds([(TEACHER, people, {"people": people})])
    people.extract(f"--teacher=av={asked.work / 'runs' / TEACHER.name}/seed-{asked.seeds[0]}")
    both = {"people": people} | ({"voices": voices} if voices else {})
    plan = [(row, people, both if row.hears else {"people": people}) for row in ROWS]
    plan += [(REAL_ALONE, voices, {"voices": voices})] if voices else []
    found |= train_seeds(plan)
    write_page(asked.out, asked, *(_tried_on(name, found) for name in ("people", "voices")))


def _tried_on(name: str, found: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    return {
        title: [report[name] for report in reports]
        for title, reports in found.items()
        if name in reports[0]
    }


if __name__ == "__main__":
    main()
