"""One contestant of the extraction benchmarks, as a process of its own.

    python benchmarks/contestant.py ours --work work.json --teacher '{...}' --out folder

``extraction.py`` starts these. The last line of output is JSON: ``work_seconds`` are those from the
call to its return, the load of the teacher in them, without imports.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from floors import (
    DECODERS,
    make_thumbnails,
    run_decode_floor,
    run_model_floor,
    run_scale_floor,
)
from teaching import import_libraries, read_request
from work import Work, read_work

from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import FrameFormat

Told = dict[str, Any]


def run_ours(
    work: Work,
    requests: Sequence[TeacherRequest],
    out: Path,
    *,
    rows_per_shard: int,
    passes: str,
) -> Told:
    """Extract with all teachers in one pass, or with one after the other into stores of their own.

    By the executor and the number of decode children that avkd takes by itself.
    """
    from avkd.pipeline.extract import extract_teacher
    from avkd.pipeline.extraction.request import ExtractRequest

    import_libraries()
    groups = [tuple(requests)] if passes == "one" else [(request,) for request in requests]
    reports = []
    began = time.perf_counter()
    for teachers in groups:
        reports.append(
            extract_teacher(
                ExtractRequest(
                    corpus=work.table,
                    store=str(store_path(out, teachers)),
                    teachers=teachers,
                    clip_seconds=work.clip_seconds,
                    step_seconds=work.step_seconds,
                    rows_per_shard=rows_per_shard,
                    inputs="none",
                )
            )
        )
    return {
        "work_seconds": time.perf_counter() - began,
        "stalls": [dict(report.stalls) for report in reports],
        "digest": " ".join(report.content_digest for report in reports),
        "num_frames": work.num_instants * len(requests),
    }


def store_path(out: Path, teachers: Sequence[TeacherRequest]) -> Path:
    """Where a pass with those teachers keeps what they said."""
    return out / "-".join(teacher.name for teacher in teachers)


def main() -> None:
    """Do what the first word says."""
    asked = _parse()
    _keep_to_cores(asked.cores)
    print(json.dumps(_ROLES[asked.role](asked)))


def _start(asked: argparse.Namespace) -> Told:
    """Nothing: what every contestant pays before its work begins."""
    return {"work_seconds": 0.0}


def _run_ours(asked: argparse.Namespace) -> Told:
    return run_ours(
        read_work(asked.work),
        [read_request(text) for text in asked.teacher],
        asked.out,
        rows_per_shard=asked.rows_per_shard,
        passes=asked.passes,
    )


def _run_vf(asked: argparse.Namespace) -> Told:
    from peers import run_vf, start_copies

    work, request = read_work(asked.work), read_request(asked.teacher[0])
    if asked.copies > 1:
        words = [word for word in sys.argv[1:] if not word.startswith("--copies")]
        told = start_copies(
            [
                [sys.executable, __file__, *words, "--copies=1", f"--seed={copy}"]
                for copy in range(asked.copies)
            ]
        )
        return max(told, key=lambda each: each["work_seconds"])
    import_libraries()
    began = time.perf_counter()
    run_vf(
        work,
        request,
        asked.out,
        batch_size=asked.batch_size,
        num_threads=asked.decode_threads,
        reencodes=asked.reencode,
        seed=asked.seed,
    )
    return {"work_seconds": time.perf_counter() - began}


def _run_cve(asked: argparse.Namespace) -> Told:
    from peers import run_cve

    work, request = read_work(asked.work), read_request(asked.teacher[0])
    import_libraries()
    began = time.perf_counter()
    run_cve(
        work,
        request,
        asked.out,
        num_readers=asked.decode_workers,
        num_loader_workers=asked.loader_workers,
        batch_size=asked.batch_size,
        videos_of_a_chunk=asked.videos_of_a_chunk,
    )
    return {"work_seconds": time.perf_counter() - began}


def _run_decode_floor(asked: argparse.Namespace) -> Told:
    work = read_work(asked.work)
    if asked.check:
        decode = DECODERS[asked.decoder]
        thumbnails: dict[str, Any] = make_thumbnails(work, decode, asked.decode_workers)
        np.savez(asked.check, **thumbnails)
        return {}
    return run_decode_floor(work, asked.decoder, asked.decode_workers)


def _run_model_floor(asked: argparse.Namespace) -> Told:
    work = read_work(asked.work)
    return run_model_floor(read_request(asked.teacher[0]), np.load(asked.frames), work.num_instants)


def _run_scale_floor(asked: argparse.Namespace) -> Told:
    frame_format = FrameFormat(**json.loads(asked.format))
    return run_scale_floor(read_work(asked.work), frame_format, asked.cores)


_ROLES: dict[str, Callable[[argparse.Namespace], Told]] = {
    "ours": _run_ours,
    "vf": _run_vf,
    "cve": _run_cve,
    "start": _start,
    "decode-floor": _run_decode_floor,
    "scale-floor": _run_scale_floor,
    "model-floor": _run_model_floor,
}


def _keep_to_cores(num_cores: int) -> None:
    """Children inherit it, so that a budget of cores is one for all that a contestant starts."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:num_cores])


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=_ROLES)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--teacher", action="append", default=[])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--cores", type=int, required=True)
    parser.add_argument("--decode-workers", type=int, default=1)
    parser.add_argument("--rows-per-shard", type=int, default=256)
    parser.add_argument("--passes", choices=("one", "apart"), default="one")
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--decode-threads", type=int, default=1)
    parser.add_argument("--reencode", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--loader-workers", type=int, default=0)
    parser.add_argument("--videos-of-a-chunk", type=int, default=100)
    parser.add_argument("--decoder", choices=DECODERS)
    parser.add_argument("--check", type=Path, help="write what was decoded, instead of timing it")
    parser.add_argument("--frames", type=Path)
    parser.add_argument("--format", help="of frames")
    return parser.parse_args()


if __name__ == "__main__":
    main()
