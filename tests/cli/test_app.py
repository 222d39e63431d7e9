import subprocess
import sys

import pytest

from avkd import __version__, errors
from avkd.cli import app
from avkd.errors import AvkdError


def test_version_is_told(avkd):
    outcome = avkd("--version")
    assert (outcome.exit_code, outcome.out) == (0, f"avkd {__version__}\n")


def test_help_names_every_command_and_every_exit_code(avkd):
    text = " ".join(avkd("--help").out.split())
    for command in ("extract-teacher", "train-student", "evaluate", "inspect", "verify", "demo"):
        assert command in text
    codes = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, AvkdError)
    }
    told = text.partition("Exit codes:")[2]
    assert all(f"{code} " in told for code in codes)


def test_help_imports_nothing_heavy():
    script = "import sys, avkd.cli.app; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"torch", "pyarrow", "zarr", "fsspec", "dask", "matplotlib", "jinja2", "pydantic", "av"}
    assert not heavy & set(loaded)


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 7, 75])
def test_an_error_is_one_line_with_its_exit_code(avkd, monkeypatch, code):
    error = AvkdError("the value\nbreaks the rule; do this")
    error.exit_code = code
    monkeypatch.setattr(app, "app", _raising(error))
    outcome = avkd("inspect", "anywhere")
    outcome.assert_refused(code, "the value breaks the rule; do this")
    assert not outcome.out


def test_an_unexpected_error_is_one_line_that_says_how_to_see_more(avkd, monkeypatch):
    monkeypatch.delenv("AVKD_TRACEBACK", raising=False)
    monkeypatch.setattr(app, "app", _raising(ZeroDivisionError("by\nzero")))
    avkd("demo").assert_refused(1, "internal error", "ZeroDivisionError: by zero", "AVKD_TRACEBACK")


def test_a_traceback_is_shown_when_asked_for(avkd, monkeypatch):
    monkeypatch.setenv("AVKD_TRACEBACK", "1")
    monkeypatch.setattr(app, "app", _raising(ZeroDivisionError("by zero")))
    with pytest.raises(ZeroDivisionError):
        avkd("demo")


def test_ctrl_c_is_one_line(avkd, monkeypatch):
    monkeypatch.setattr("avkd.storage.store.Store.open", _raising(KeyboardInterrupt()))
    avkd("inspect", "anywhere").assert_refused(75, "goes on")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("extract-techer", "videos", "store"), "extract-teacher"),
        (("verify",), "store"),
        (("verify", "store", "--deeply"), "--deeply"),
        (("extract-teacher", "videos", "store"), "--teacher"),
        (("extract-teacher", "a", "b", "--teacher=c", "--workers=many"), "--workers"),
        (("extract-teacher", "a", "b", "--teacher=c", "--executor=slurm"), "processes"),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(avkd, arguments, word):
    avkd(*arguments).assert_refused(2, word)


def test_no_command_shows_the_help(avkd):
    outcome = avkd()
    assert outcome.exit_code in (0, 2)
    assert "extract-teacher" in outcome.out + outcome.err
    assert "error" not in outcome.err


def test_avkd_runs_as_a_module():
    command = [sys.executable, "-m", "avkd", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"avkd {__version__}\n"


def _raising(error):
    def run(*arguments, **options):
        raise error

    return run
