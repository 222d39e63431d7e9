"""Extraction against its floors, against loops of others, against itself, and in memory.

    python benchmarks/extraction.py speed --setting decode-heavy --folder /tmp/bench

Raw rows go to ``--results`` as they are measured; the same command again goes on from there.
``tables.py`` makes the page of them.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from agreement import (
    LOSSY_TOLERANCE,
    TOLERANCE,
    Answers,
    compare_answers,
    compare_thumbnails,
    read_npy_answers,
    read_store_answers,
    read_tar_answers,
)
from contestant import store_path
from floors import DECODERS, REFERENCE, Thumbnails, make_thumbnails
from media import describe_corpus, list_encoders, plan_corpus, write_corpus
from protocol import (
    NUM_ROUNDS,
    POLL_SECONDS,
    Accept,
    Conduct,
    Contestant,
    describe_output,
    run_rounds,
)
from rows import Rounds, Row, describe_bench, read_kept, write_rounds
from teaching import find_format, read_request, write_request
from work import SETTINGS, WORK_NAME, Setting, Work, plan_work

from avkd.stages.media.frames import read_frames
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import FrameFormat

SCRIPT = Path(__file__).with_name("contestant.py")
MAX_FLOOR_FRAMES = 512
"""Pictures in the array that the bare model is fed from; taken in turn when there are more."""
RESULTS = Path(__file__).parents[1] / "docs" / "results" / "extraction"
MEMORY_POLL_SECONDS = 0.25
_FACTORS = (1, 4, 16)


@dataclass(frozen=True, kw_only=True)
class Job:
    """Files and the pictures that are wanted of them."""

    work: Work
    path: Path
    """Of the list of the work."""
    described: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where a measurement happens, and with how much."""

    folder: Path
    results: Path
    setting: Setting
    num_cores: int
    scale: float
    conduct: Conduct = field(default_factory=Conduct)

    def prepare(self, name: str = "work", *, num_copies: int = 1) -> Job:
        """Make the setting's files, unless they are there, and list the work."""
        setting, seed = self.setting, self.conduct.seed
        specs = plan_corpus(
            sizes=setting.sizes,
            gops=setting.gops,
            codecs=list_encoders(setting.codecs),
            seconds=setting.seconds,
            scale=self.scale,
            seed=seed,
        )
        paths = write_corpus(specs, self.folder / "media", num_workers=self.num_cores)
        place = self.folder / f"{setting.name}-{name}"
        work = plan_work(
            paths,
            place,
            clip_seconds=setting.clip_seconds,
            step_seconds=setting.step_seconds,
            num_copies=num_copies,
        )
        described = {**work.describe(), "corpus": describe_corpus(paths)}
        return Job(work=work, path=place / WORK_NAME, described=described)

    def out(self, name: str) -> Path:
        """Where a contestant writes; emptied before every run."""
        return self.folder / "out" / name

    def contestant(
        self, name: str, role: str, job: Job, *words: object, num_threads: int = 0
    ) -> Contestant:
        """A contestant with an output folder of its own."""
        place = self.out(name)
        fixed = (sys.executable, str(SCRIPT), role, f"--work={job.path}", f"--out={place}")
        return Contestant(
            name=name,
            command=(*fixed, f"--cores={self.num_cores}", *map(str, words)),
            environment={"OMP_NUM_THREADS": str(num_threads or self.num_cores)},
            before=partial(_empty, place),
            after=partial(describe_output, place),
        )

    def ours(
        self, name: str, job: Job, requests: Sequence[TeacherRequest], *words: object
    ) -> Contestant:
        """An extraction by avkd as it goes by itself."""
        teachers = [f"--teacher={write_request(request)}" for request in requests]
        rows = f"--rows-per-shard={self.setting.rows_per_shard}"
        return self.contestant(name, "ours", job, rows, *teachers, *words)

    def run(
        self,
        kind: str,
        contestants: Sequence[Contestant],
        jobs: Mapping[str, Job],
        accept: Accept = lambda contestant, row: {},
    ) -> Rounds:
        """Run all in rounds, and write what is measured as it comes."""
        setting = {
            **self.setting.describe(),
            "works": {name: job.described for name, job in jobs.items()},
            "num_cores": self.num_cores,
            "scale": self.scale,
            "poll_seconds": self.conduct.poll_seconds,
        }
        path = self.results / f"{kind}-{self.setting.name}.json"
        kept, described = read_kept(path, describe_bench(kind, setting), self.conduct.seed)
        return run_rounds(
            contestants,
            self.conduct,
            accept=accept,
            kept=kept,
            save=lambda rounds: write_rounds(path, rounds, described),
            tell=lambda text: print(text, file=sys.stderr, flush=True),
        )


def measure_speed(bench: Bench) -> Rounds:
    """(a) Ours beside the bare costs, and (b) beside loops that behave as others do."""
    job, request = bench.prepare(), bench.setting.requests[0]
    ours = bench.ours("ours", job, [request])
    floors = _list_floors(bench, job, request)
    peers = _list_peers(bench, job, request) if bench.setting.has_peers else []
    judge = _Judge(bench, job.work, request)
    return bench.run("speed", [ours, *floors, *peers], {"corpus": job}, judge.accept)


def measure_teachers(bench: Bench) -> Rounds:
    """(c) Several teachers in one pass beside a pass for each."""
    job, requests = bench.prepare(), bench.setting.requests
    contestants = [
        bench.ours(f"{passes}-pass", job, requests, f"--passes={passes}")
        for passes in ("one", "apart")
    ]
    reference: dict[str, Answers] = {}

    def accept(contestant: Contestant, row: Row) -> Mapping[str, Any]:
        found = {}
        for request in requests:
            together = requests if contestant.name == "one-pass" else [request]
            place = store_path(bench.out(contestant.name), together)
            found[request.name] = read_store_answers(place, request.name, job.work)
        first = reference or found
        reference.update(first)
        told = [compare_answers(found[name], first[name], 0.0).why_not for name in found]
        return {"why_not": "; ".join(filter(None, told))}

    return bench.run("teachers", contestants, {"corpus": job}, accept)


def measure_memory(bench: Bench) -> Rounds:
    """(d) Ours on 1, 4 and 16 times the corpus, and on files 1, 4 and 16 times as long."""
    jobs = {}
    for times in _FACTORS:
        jobs[f"corpus x{times}"] = bench.prepare(f"copies-{times}", num_copies=times)
        shortest, longest = (times * each for each in bench.setting.seconds)
        longer = replace(bench, setting=replace(bench.setting, seconds=(shortest, longest)))
        jobs[f"length x{times}"] = longer.prepare(f"length-{times}")
    requests = bench.setting.requests[:1]
    contestants = [bench.ours(name, job, requests) for name, job in sorted(jobs.items(), key=_size)]
    return bench.run("memory", contestants, jobs)


MEASUREMENTS: dict[str, Callable[[Bench], Rounds]] = {
    "speed": measure_speed,
    "teachers": measure_teachers,
    "memory": measure_memory,
}


class _Judge:
    """Says of every contestant of the warm-up whether it gave the right pictures or answers."""

    def __init__(self, bench: Bench, work: Work, request: TeacherRequest) -> None:
        self._bench = bench
        self._work = work
        self._request = request
        self._reference: Answers = {}
        self._thumbnails: Thumbnails = {}

    def accept(self, contestant: Contestant, row: Row) -> Mapping[str, Any]:
        name = contestant.name
        out = self._bench.out(name)
        kind = name.partition(":")[0]
        if kind == "decode":
            if not self._thumbnails:
                cores = self._bench.num_cores
                self._thumbnails = make_thumbnails(self._work, REFERENCE, cores)
            with np.load(out / "thumbnails.npz", allow_pickle=False) as found:
                return {"why_not": compare_thumbnails(dict(found), self._thumbnails)}
        if name == "ours":
            place = store_path(out, [self._request])
            self._reference = read_store_answers(place, self._request.name, self._work)
            lacking = len(self._work.recordings) - len(self._reference)
            return {"why_not": f"{lacking} recordings are not whole" if lacking else ""}
        if not name.startswith(("vf", "cve")):
            return {}
        is_vf = name.startswith("vf")
        answers = read_npy_answers(out, self._work) if is_vf else read_tar_answers(out)
        tolerance = LOSSY_TOLERANCE if "reencode" in name else TOLERANCE
        agreement = compare_answers(answers, self._reference, tolerance)
        return {"why_not": agreement.why_not, "agreement": agreement.describe()}


def _list_floors(bench: Bench, job: Job, request: TeacherRequest) -> list[Contestant]:
    teacher = f"--teacher={write_request(request)}"
    frame_format = find_format(read_request(write_request(request)))
    frames = _write_floor_frames(job, frame_format)
    how = f"--format={json.dumps(asdict(frame_format))}"
    found = [
        bench.contestant("start", "start", job),
        bench.contestant("scale", "scale-floor", job, how),
        bench.contestant("model", "model-floor", job, teacher, f"--frames={frames}"),
    ]
    for decoder in DECODERS:
        name = f"decode:{decoder}"
        words = (f"--decoder={decoder}", f"--decode-workers={bench.num_cores}")
        floor = bench.contestant(name, "decode-floor", job, *words)
        check = f"--check={bench.out(name) / 'thumbnails.npz'}"
        found.append(replace(floor, check_arguments=(check,), after=dict))
    return found


def _write_floor_frames(job: Job, frame_format: FrameFormat) -> Path:
    """Pictures that ours looks at, in one array."""
    found: list[Any] = []
    for recording in job.work.recordings:
        found.append(read_frames(recording.path, recording.instants, [frame_format])[frame_format])
        if sum(map(len, found)) >= MAX_FLOOR_FRAMES:
            break
    path = job.path.with_name("floor-frames.npy")
    np.save(path, np.concatenate(found)[:MAX_FLOOR_FRAMES])
    return path


def _list_peers(bench: Bench, job: Job, request: TeacherRequest) -> list[Contestant]:
    """At the budget of cores that ours has: as the originals are laid out, and better."""
    teacher = f"--teacher={write_request(request)}"
    cores, found = bench.num_cores, []
    for name, how in (("vf", []), ("vf-reencode", ["--reencode"])):
        words = (teacher, *how)
        found.append(bench.contestant(name, "vf", job, *words, f"--decode-threads={cores}"))
    copies = (teacher, f"--copies={cores}")
    found.append(bench.contestant("vf-copies", "vf", job, *copies, num_threads=1))
    readers = f"--decode-workers={cores}"
    as_is = (readers, "--batch-size=128", "--loader-workers=6", "--videos-of-a-chunk=100")
    # Videos of one chunk are read while those before are looked at, with nobody in between.
    better = (readers, "--batch-size=32", "--loader-workers=0", f"--videos-of-a-chunk={2 * cores}")
    found.append(bench.contestant("cve", "cve", job, teacher, *as_is))
    found.append(bench.contestant("cve-better", "cve", job, teacher, *better))
    return found


def _size(item: tuple[str, Job]) -> tuple[str, int]:
    kind, _, times = item[0].partition(" x")
    return kind, int(times)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _read_options() -> tuple[str, Bench]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measurement", choices=MEASUREMENTS)
    parser.add_argument("--setting", choices=SETTINGS, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="for media and outputs")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=NUM_ROUNDS)
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="to begin no round that would end later"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="of pictures and lengths")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    asked = parser.parse_args()
    is_memory = asked.measurement == "memory"
    return asked.measurement, Bench(
        folder=asked.folder.absolute(),
        results=asked.results.absolute(),
        setting=SETTINGS[asked.setting].on_device(asked.device),
        num_cores=asked.cores,
        scale=asked.scale,
        conduct=Conduct(
            num_rounds=asked.rounds,
            minutes=asked.minutes,
            seed=asked.seed,
            poll_seconds=MEMORY_POLL_SECONDS if is_memory else POLL_SECONDS,
        ),
    )


def main() -> None:
    """Measure one thing in one setting."""
    measurement, bench = _read_options()
    rounds = MEASUREMENTS[measurement](bench)
    for name in rounds.names():
        print(name, *(f"{value:.2f}" for value in rounds.values(name, "wall_seconds")))


if __name__ == "__main__":
    main()
