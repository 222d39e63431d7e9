"""`avkd retry`: failed clips tried once more."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from avkd.cli import extract_options as options
from avkd.cli.console import print_json, print_result, show_progress
from avkd.cli.extract_teacher import (
    limit_decoding,
    print_forecast,
    print_report,
    run_extraction,
)
from avkd.errors import InvalidValueError
from avkd.pipeline.executor import STOP_SECONDS
from avkd.pipeline.report.numbers import counted


def retry(
    store: Annotated[str, typer.Argument(help="The store.")],
    failed: Annotated[
        bool,
        typer.Option("--failed", help="Every clip that a producer has neither whole nor in part."),
    ] = False,
    status: Annotated[
        list[str] | None,
        typer.Option(help="Clips of this status, such as timeout or partial.", metavar="STATUS"),
    ] = None,
    plan_only: Annotated[
        bool,
        typer.Option(
            "--plan-only",
            help="Compute nothing: the extract-teacher command that made the store goes on.",
        ),
    ] = False,
    trust: options.TrustedTeachers = None,
    executor: options.ShardExecutor = options.Executor.serial,
    workers: options.Workers = 1,
    scheduler: options.Scheduler = "",
    max_failure_rate: options.MaxFailureRate = 1.0,
    on_partial: options.OnPartial = options.Partial.keep,
    decode_workers: options.DecodeWorkers = None,
    decode_seconds: options.DecodeSeconds = None,
    decode_memory_mb: options.DecodeMemory = None,
    stop_seconds: options.StopSeconds = STOP_SECONDS,
    no_space_check: options.NoSpaceCheck = False,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Give failed clips new rows and compute what failed; what went well stays as it is."""
    from avkd.pipeline.retry import FAILED_STATUSES, ask_again

    statuses = tuple(dict.fromkeys([*(FAILED_STATUSES if failed else ()), *(status or ())]))
    if not statuses:
        raise InvalidValueError(
            "say which clips to retry: --failed, or --status timeout, --status partial, ..."
        )
    if plan_only:
        _plan_alone(store, statuses, dry_run=dry_run, as_json=as_json)
        return
    request = ask_again(
        store,
        statuses,
        trusted=trust or (),
        executor=executor.value,
        num_workers=workers,
        scheduler=scheduler,
        max_failure_rate=max_failure_rate,
        on_partial=on_partial.value,
        num_decode_workers=decode_workers,
        decode_limits=limit_decoding(decode_seconds, decode_memory_mb),
        stop_seconds=stop_seconds,
        check_space=not no_space_check,
        dry_run=dry_run,
    )
    report = run_extraction(request)
    if as_json:
        print_json(asdict(report))
    elif report.is_dry_run:
        print_forecast(report)
    else:
        print_result(f"{counted(report.forecast.num_new_clips, 'clip')} planned again")
        print_report(report, store)


def _plan_alone(store: str, statuses: Sequence[str], *, dry_run: bool, as_json: bool) -> None:
    from avkd.pipeline.retry import plan_retry

    with show_progress() as show:
        forecast = plan_retry(
            store,
            statuses,
            dry_run=dry_run,
            on_recording=lambda done, total: show("probe", done, total, ""),
        )
    if as_json:
        print_json(asdict(forecast))
        return
    planned = "to plan" if dry_run else "planned"
    print_result(
        f"{counted(forecast.num_new_clips, 'clip')} {planned} again in {store}; the avkd "
        "extract-teacher command that made it computes them"
    )
