"""`avkd inspect`: what a store holds."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from avkd.cli.console import print_facts, print_json, print_result, print_table
from avkd.pipeline.report.numbers import size

if TYPE_CHECKING:
    from avkd.pipeline.microphones import MicrophoneCheck
    from avkd.pipeline.report.facts import FailedClip
    from avkd.storage.summary import StoreSummary

MAX_FAILURES = 50
"""Told to people; machines get all."""


def inspect(
    store: Annotated[str, typer.Argument(help="The store.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
) -> None:
    """Tell what a store holds: recordings, clips, teachers, states, digest, and what failed.

    Where sound of several microphones is stored, some of it is looked at for dead, doubled and
    swapped ones.
    """
    from avkd.pipeline.microphones import check_microphones
    from avkd.pipeline.report.facts import list_failures
    from avkd.storage.store import Store

    opened = Store.open(store)
    summary = opened.summary()
    failures = list_failures(opened)
    checks = check_microphones(opened)
    if as_json:
        told = {
            "failures": [asdict(clip) for clip in failures],
            "microphones": [asdict(check) for check in checks],
        }
        print_json({**summary.to_json(), **told})
        return
    _print_summary(summary)
    if checks:
        _print_microphones(checks)
    if failures:
        _print_failures(failures)


def _print_microphones(checks: "Sequence[MicrophoneCheck]") -> None:
    print_result("")
    for check in checks:
        levels = ", ".join(f"{level:.0f}" for level in check.levels_decibels)
        print_result(f"{check.input_name}: channels at {levels} dB of full scale")
        for warning in check.warnings:
            print_result(f"warning: {warning}")


def _print_failures(failures: "Sequence[FailedClip]") -> None:
    print_result("")
    num_all = len(failures)
    first = f", the first {MAX_FAILURES} of {num_all} (--json has all)"
    print_result(f"not ok{first if num_all > MAX_FAILURES else ''}:")
    print_table(
        ("recording", "start", "producer", "status", "reason"),
        [
            (
                clip.recording_id,
                f"{clip.start_seconds:g} s",
                clip.producer,
                clip.status,
                clip.reason,
            )
            for clip in failures[:MAX_FAILURES]
        ],
    )


def _print_summary(summary: "StoreSummary") -> None:
    counts = (f"{number} {status}" for status, number in summary.status.items() if number)
    policy = (f"{name} {value}" for name, value in summary.clip_policy.items())
    print_facts(
        {
            "store": summary.url,
            "recordings": summary.num_recordings,
            "clips": f"{summary.num_clips}: {', '.join(counts)}",
            "shards": f"{summary.num_shards} of {summary.rows_per_shard} rows",
            "policy": ", ".join(policy) or "none: recordings without files, one row each",
            "size": size(summary.num_bytes),
            "content digest": summary.content_digest,
        }
    )
    print_result("")
    print_table(
        ("producer", "output", "shape", "dtype", "size", "shards", "fingerprint"),
        [
            (
                producer.name,
                output.name,
                "x".join(map(str, output.shape)),
                output.dtype if output.layout == "dense" else f"{output.dtype}, {output.layout}",
                size(output.num_bytes),
                producer.num_committed_shards,
                producer.fingerprint[:12],
            )
            for producer in (*summary.teachers, *summary.inputs)
            for output in producer.outputs
        ],
    )
