"""The commands and options there are: a new one is a decision, and is made here as well."""

import typer

from avkd.cli.app import app

COMMANDS = {
    "make-corpus": {
        "layout",
        "folder",
        "out",
        "--labelled-share",
        "--test-share",
        "--validation-share",
        "--seed",
        "--json",
    },
    "extract-teacher": {
        "corpus",
        "store",
        "--teacher",
        "--weights",
        "--classes",
        "--stream",
        "--picture-size",
        "--maps",
        "--map-channels",
        "--clip-seconds",
        "--step-seconds",
        "--frames-per-step",
        "--tail",
        "--rows-per-shard",
        "--inputs",
        "--sample-rate",
        "--channels",
        "--num-channels",
        "--frames",
        "--class-map",
        "--vector",
        "--sparse-top-k",
        "--path-column",
        "--id-column",
        "--runtime",
        "--device",
        "--precision",
        "--batch-size",
        "--executor",
        "--workers",
        "--scheduler",
        "--max-failure-rate",
        "--dry-run",
        "--json",
    },
    "train-teacher": {
        "source",
        "run",
        "--task",
        "--recipe",
        "--variant",
        "--split",
        "--where",
        "--label-column",
        "--group-column",
        "--truth",
        "--stream",
        "--picture-size",
        "--classes",
        "--min-visible",
        "--seed",
        "--set",
        "--device",
        "--json",
    },
    "train-student": {
        "store",
        "run",
        "--recipe",
        "--rounds",
        "--variant",
        "--label-column",
        "--teacher",
        "--init-from",
        "--split",
        "--where",
        "--seed",
        "--set",
        "--device",
        "--json",
    },
    "evaluate": {
        "run",
        "dataset",
        "--path",
        "--label",
        "--fold",
        "--split",
        "--layer",
        "--control",
        "--labels-per-class",
        "--seed",
        "--label-column",
        "--trials",
        "--p-target",
        "--as-norm",
        "--teacher-targets",
        "--truth",
        "--against",
        "--class-maps",
        "--by",
        "--min-visible",
        "--min-score",
        "--tracking",
        "--json",
    },
    "predict": {
        "run",
        "sound",
        "--video",
        "--metadata",
        "--min-score",
        "--out",
        "--overlay",
        "--json",
    },
    "compare": {"run", "--metric", "--split", "--paper", "--out", "--json"},
    "inspect": {"store", "--json"},
    "verify": {"store", "--json"},
    "report": {
        "store",
        "--run",
        "--out",
        "--frames",
        "--truth",
        "--stills",
        "--videos",
        "--simulated",
        "--json",
    },
    "list": {"kind", "--json"},
    "demo": {"--out", "--world", "--fast", "--recipe", "--version", "--ablations", "--json"},
}


def test_commands_and_options_are_those_written_here():
    group = typer.main.get_command(app)
    found = {
        name: {_spell(parameter) for parameter in command.params} - {"--help"}
        for name, command in group.commands.items()
    }
    assert found == COMMANDS


def test_every_command_that_gives_results_gives_them_to_machines():
    assert all("--json" in options for options in COMMANDS.values())


def _spell(parameter):
    """An option by its long name, an argument by its own."""
    return parameter.name if parameter.param_type_name == "argument" else parameter.opts[0]
