"""Our store against a floor of mapped npy files, webdataset, mosaicml-streaming and Parquet.

    python benchmarks/stores.py epoch --folder /tmp/bench --python mosaicml=/tmp/mds/bin/python
    python benchmarks/stores.py bytes --folder /tmp/bench --corpus recordings/

``write``, ``scan`` and ``epoch`` are rounds of all stores over the same rows. ``bytes`` counts what
a clip takes dense and sparse, and what KL the sparse form loses on a teacher's real answers.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from extraction import RESULTS
from protocol import NUM_ROUNDS, Conduct, Contestant, describe_output, run_rounds
from rows import Rounds, Row, describe_bench, read_kept, write_rounds
from store_contestant import ACTIONS, WARM
from store_kinds import STEP_SECONDS
from store_rows import DONE_NAME, NUM_CLASSES, NUM_FEATURES, NUM_STEPS, write_source
from work import LITE0, LITE1

from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.request import ExtractRequest
from avkd.stages.teachers.registry import settle_teacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.storage.sparse import measure_kl_gap
from avkd.storage.store import Store

SCRIPT = Path(__file__).with_name("store_contestant.py")
NUM_ROWS = 8192
BATCH_SIZE = 64
"""Of the shuffled epoch."""
KEPT = (16, 32, 64)
TEMPERATURES = (1.0, 2.0, 4.0)
BYTES_NAME = "bytes.json"


def measure_stores(
    action: str,
    folder: Path,
    results: Path,
    conduct: Conduct,
    *,
    names: Sequence[str] = tuple(WARM),
    pythons: Mapping[str, str] | None = None,
    num_rows: int = NUM_ROWS,
) -> Rounds:
    """Let every store do one thing with the same rows, round by round.

    Args:
        action: of ``store_contestant.ACTIONS``.
        folder: for the rows and the stores.
        results: for the raw rows.
        conduct: of the rounds; its seed is that of the rows and of the epoch's order as well.
        names: of the stores.
        pythons: by store, a Python that has its package where this one has not.
        num_rows: that count.
    """
    source = folder / f"rows-{num_rows}-{conduct.seed}"
    if not (source / DONE_NAME).exists():
        write_source(source, num_rows, conduct.seed)
    pythons = {name: (pythons or {}).get(name, sys.executable) for name in names}
    lacking = {name: _find_package(pythons[name], name) for name in names}
    left_out = {name: why for name, (_, why) in lacking.items() if why}
    there = [name for name in names if name not in left_out]
    places = {name: folder / "stores" / name for name in there}
    contestants = [
        _contestant(name, action, pythons[name], source, places[name], conduct.seed)
        for name in there
    ]
    setting = {
        "name": action,
        "num_rows": num_rows,
        "row_bytes": 2 * NUM_STEPS * (NUM_CLASSES + NUM_FEATURES),
        "batch_size": BATCH_SIZE,
        "packages": {name: package for name, (package, _) in lacking.items()},
    }
    path = results / f"stores-{action}.json"
    kept, described = read_kept(path, describe_bench("stores", setting), conduct.seed)
    if action != "write":
        for name in there:
            _write_once(name, pythons[name], source, places[name])
    digests: dict[str, str] = {}

    def accept(contestant: Contestant, row: Row) -> Mapping[str, Any]:
        if action == "write":
            return {}
        told = row.told
        digest = digests.setdefault("first", told["digest"])
        is_whole = told["digest"] == digest and told["num_distinct"] == num_rows
        came = f"{told['num_rows']} rows of {num_rows} came"
        return {} if is_whole else {"why_not": f"{came}, {told['num_strangers']} of them others"}

    return run_rounds(
        contestants,
        conduct,
        left_out=left_out,
        accept=accept,
        kept=kept,
        save=lambda rounds: write_rounds(path, rounds, described),
        tell=lambda text: print(text, file=sys.stderr, flush=True),
    )


def measure_bytes(
    corpus: str,
    folder: Path,
    *,
    teacher: TeacherRequest = LITE0,
    student: TeacherRequest = LITE1,
    kept: Sequence[int] = KEPT,
    step_seconds: float = STEP_SECONDS,
) -> Mapping[str, Any]:
    """Count the bytes of a clip dense and sparse, and the KL that a student sees of each.

    The stand-ins of students are one that knows nothing and another network, which agrees in much.

    Args:
        corpus: anything that avkd extracts from.
        folder: for the stores.
        teacher: whose logits are stored.
        student: that other network.
        kept: how many logits the sparse forms keep.
        step_seconds: of the clips, which have four steps each.
    """
    stores = {top_k: folder / "bytes" / f"top-{top_k}" for top_k in (0, *kept)}
    for top_k, place in stores.items():
        shutil.rmtree(place, ignore_errors=True)
        _extract(corpus, [teacher] if top_k else [teacher, student], place, top_k, step_seconds)
    dense = Store.open(str(stores[0]))
    logits, of_student = _read_logits(dense, [teacher.name, student.name])
    students = {"uniform": None, student.family: of_student}
    return {
        "teacher": teacher.family,
        "num_steps": NUM_STEPS,
        "num_pictures": len(logits),
        "num_classes": logits.shape[-1],
        "bytes_of_a_clip": {top_k: _count_bytes(at, teacher) for top_k, at in stores.items()},
        "kl": [
            {
                "top_k": top_k,
                "temperature": temperature,
                "student": name,
                "dense": (gap := measure_kl_gap(logits, top_k, temperature, other)).dense,
                "sparse": gap.sparse,
            }
            for top_k in kept
            for temperature in TEMPERATURES
            for name, other in students.items()
        ],
    }


def write_bytes(corpus: str, folder: Path, results: Path) -> None:
    """Measure, and write it beside the raw rows of others; what is there stays."""
    path = results / BYTES_NAME
    if path.exists():
        print(f"{path} is there already", file=sys.stderr)
        return
    told = describe_bench("bytes", {"name": "bytes"})
    told = {**told, **measure_bytes(corpus, folder)}
    results.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=1) + "\n")


def _contestant(
    name: str, action: str, python: str, source: Path, place: Path, seed: int
) -> Contestant:
    words = (f"--source={source}", f"--place={place}", f"--batch-size={BATCH_SIZE}")
    command = (python, str(SCRIPT), name, action, *words, f"--seed={seed}")
    if action != "write":
        return Contestant(name=name, command=command, check_arguments=("--check",))
    return Contestant(
        name=name,
        command=command,
        before=partial(shutil.rmtree, place, ignore_errors=True),
        after=partial(_measure_output, place),
    )


def _measure_output(place: Path) -> Mapping[str, Any]:
    """Sizes alone: files carry the time at which they were written."""
    return {name: told for name, told in describe_output(place).items() if name != "digest"}


def _write_once(name: str, python: str, source: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    words = ("write", f"--source={source}", f"--place={place}")
    subprocess.run([python, str(SCRIPT), name, *words], check=True, stdout=subprocess.DEVNULL)


def _find_package(python: str, name: str) -> tuple[str, str]:
    """The package that a store is of, in the Python that it would run in, or why it is lacking."""
    module = WARM[name][0]
    ask = (
        f"import {module}, importlib.metadata as m; name = {module!r}.split('.')[0];"
        "told = m.packages_distributions().get(name, [name])[0]; print(told, m.version(told))"
    )
    asked = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
    return asked.stdout.strip(), "" if asked.returncode == 0 else f"no module {module}"


def _extract(
    corpus: str, teachers: Sequence[TeacherRequest], place: Path, top_k: int, step_seconds: float
) -> None:
    extract_teacher(
        ExtractRequest(
            corpus=corpus,
            store=str(place),
            teachers=tuple(map(settle_teacher, teachers)),
            clip_seconds=NUM_STEPS * step_seconds,
            step_seconds=step_seconds,
            inputs="none",
            sparse_top_k=top_k,
        )
    )


def _read_logits(store: Store, teachers: Sequence[str]) -> list[Any]:
    """Of each teacher (pictures, classes), of all clips that every one of them saw whole."""
    whole = set.intersection(*(set(store.ok_rows(name).tolist()) for name in teachers))
    found: list[list[Any]] = [[] for _ in teachers]
    for shard in store.shards():
        clips = store.read_clips(shard)
        first = clips[0].row
        for name, parts in zip(teachers, found, strict=True):
            rows = store.read_rows(name, "logits", first, first + len(clips))
            parts += [rows[c.row - first][: c.num_steps] for c in clips if c.row in whole]
    return [np.concatenate(parts).astype(np.float32) for parts in found]


def _count_bytes(place: Path, teacher: TeacherRequest) -> float:
    """Of the logits alone, as they lie on the disk: embeddings are the same in both forms."""
    store = Store.open(str(place))
    commits = list(store.commits(teacher.name))
    files = [file for commit in commits for file in commit.files if "/logits" in file.path]
    return sum(file.size for file in files) / sum(commit.num_rows for commit in commits)


def main() -> None:
    """Measure one thing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measurement", choices=(*ACTIONS, "bytes"))
    parser.add_argument("--folder", type=Path, required=True, help="for rows and stores")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--stores", nargs="+", choices=WARM, default=tuple(WARM))
    parser.add_argument("--python", action="append", default=[], metavar="STORE=PYTHON")
    parser.add_argument("--rows", type=int, default=NUM_ROWS)
    parser.add_argument("--rounds", type=int, default=NUM_ROUNDS)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--corpus", default="", help="for bytes: a folder or table of recordings")
    asked = parser.parse_args()
    folder, results = asked.folder.absolute(), asked.results.absolute()
    if asked.measurement == "bytes":
        if not asked.corpus:
            parser.error("bytes needs --corpus")
        write_bytes(asked.corpus, folder, results)
        return
    rounds = measure_stores(
        asked.measurement,
        folder,
        results,
        Conduct(num_rounds=asked.rounds, minutes=asked.minutes, seed=asked.seed),
        names=asked.stores,
        pythons=dict(each.split("=", 1) for each in asked.python),
        num_rows=asked.rows,
    )
    for name in rounds.names():
        print(name, *(f"{value:.3f}" for value in rounds.values(name, "work_seconds")))


if __name__ == "__main__":
    main()
