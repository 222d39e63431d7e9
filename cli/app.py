"""The command line: joins the commands and turns errors into one line and an exit code."""

import os
import sys
from typing import Annotated, Protocol, runtime_checkable

import typer

from avkd import __version__
from avkd.cli import (
    catalog,
    compare,
    demo,
    evaluate,
    extract_teacher,
    gc,
    inspect,
    make_corpus,
    predict,
    remove,
    report,
    retry,
    train_student,
    train_teacher,
    verify,
)
from avkd.cli.console import print_error, print_result
from avkd.errors import AvkdError, InterruptedRunError

EXIT_CODES = """
Exit codes: 0 done; 1 failed; 2 a wrong option, corpus or recipe; 3 no store or run there, or of a
newer schema; 4 another teacher under a stored name; 5 stored bytes are damaged; 6 a place cannot be
written; 7 too many clips failed; 75 stopped by a signal, the same command goes on.
"""

INTERRUPTED = 130
"""What typer makes of Ctrl-C where nobody else took it."""

app = typer.Typer(
    name="avkd",
    help="Teachers look at videos once; students learn to hear from what was stored.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("make-corpus")(make_corpus.make_corpus)
app.command("extract-teacher")(extract_teacher.extract_teacher)
app.command("retry")(retry.retry)
app.command("train-teacher")(train_teacher.train_teacher)
app.command("train-student")(train_student.train_student)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("compare")(compare.compare)
app.command("inspect")(inspect.inspect)
app.command("verify")(verify.verify)
app.command("remove")(remove.remove)
app.command("gc")(gc.gc)
app.command("report")(report.report)
app.command("list")(catalog.list_names)
app.command("demo")(demo.demo)


def _show_version(wanted: bool) -> None:
    if wanted:
        print_result(f"avkd {__version__}")
        raise typer.Exit


@runtime_checkable
class UsageProblem(Protocol):
    """What the parser raises of a wrong command line; which package it is from varies."""

    exit_code: int

    def format_message(self) -> str:
        """Say what is wrong."""
        ...


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Teachers look at videos once; students learn to hear from what was stored."""


def main() -> None:
    """Run the command line; what goes wrong is one line on stderr and an exit code."""
    try:
        code = app(standalone_mode=False) or 0
    except Exception as error:
        if os.environ.get("AVKD_TRACEBACK"):
            raise
        code = _tell(error)
    if code == INTERRUPTED:
        print_error("stopped; the same command goes on from what is committed")
        code = InterruptedRunError.exit_code
    sys.exit(code)


def _tell(error: Exception) -> int:
    """Print an error as one line and return its exit code."""
    if isinstance(error, AvkdError):
        print_error(str(error))
        return error.exit_code
    if isinstance(error, UsageProblem):
        # A bare `avkd` has shown its help, and there is nothing to add.
        if message := error.format_message():
            print_error(f"{message} (--help tells more)")
        return error.exit_code
    print_error(
        f"internal error: {type(error).__name__}: {error}; AVKD_TRACEBACK=1 shows where, please "
        "report it"
    )
    return 1
