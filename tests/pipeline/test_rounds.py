"""Rounds on vectors: what is heard is alpha, what is seen is the stored vector beta."""

import csv
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avkd.cli.app import main
from avkd.errors import CommandFailedError, InvalidValueError
from avkd.pipeline.commands import Command, run_command
from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.request import ExtractRequest
from avkd.pipeline.recipe import Recipe, with_overrides
from avkd.pipeline.recipe_options import recipe_options
from avkd.pipeline.recipes.registry import get_recipe
from avkd.pipeline.rounds import RoundEvent, RoundsPlan, RoundsReport, train_rounds
from avkd.pipeline.run_dir import RunDir
from avkd.pipeline.training.students import load_clip_student
from avkd.pipeline.training.tensor_files import read_tensors
from avkd.storage.store import Store

NUM_ROWS = 40
OVERRIDES = (
    "encoder.name=vectors",
    'encoder.options={"streams": ["alpha"], "hidden_size": 4}',
    "method.options.visual=beta",
    "schedule.num_epochs=2",
)


def write_points(path: Path) -> None:
    """Two tags: what beta tells, alpha tells with noise; every tenth row has none at all."""
    generator = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["recording_id", "split", "labels", "alpha", "beta"])
        for number in range(NUM_ROWS):
            seen = generator.normal()
            tags = ["up" if seen > 0 else "down", *(["far"] if abs(seen) > 1 else [])]
            split = "train" if number % 4 else "test"
            heard = seen + 0.5 * generator.normal()
            table.writerow([f"p{number}", split, ";".join(tags), heard, seen])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    corpus = tmp_path / "points.csv"
    write_points(corpus)
    url = str(tmp_path / "store")
    extract_teacher(
        ExtractRequest(corpus=str(corpus), store=url, vectors=("alpha", "beta"), rows_per_shard=16)
    )
    return Store.open(url)


@pytest.fixture
def recipe() -> Recipe:
    return with_overrides(get_recipe("mutual", "tiny"), OVERRIDES)


class Here:
    """Runs commands in this process, as they are typed, and remembers them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys
        self.names: list[str] = []

    def __call__(self, command: Command) -> Mapping[str, Any]:
        self.names.append(command.name)
        self.capsys.readouterr()
        words = ["avkd", command.name, *command.arguments, "--json"]
        self.monkeypatch.setattr(sys, "argv", words)
        try:
            main()
        except SystemExit as end:
            said = self.capsys.readouterr()
            if end.code:
                raise CommandFailedError(said.err, int(end.code)) from None
        else:
            said = self.capsys.readouterr()
        result: dict[str, Any] = json.loads(said.out)
        return result


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


def make_plan(recipe: Recipe, run: str = "runs/m") -> RoundsPlan:
    return RoundsPlan(store="s", run=Path(run), recipe=recipe, name="m", device="cpu")


def options_of(stage_recipe: Recipe) -> tuple[object, ...]:
    options = stage_recipe.method.options
    return tuple(options[name] for name in ("form", "learner", "teacher", "audio_teacher"))


def test_a_round_is_a_teacher_its_targets_a_student_and_its_targets(recipe: Recipe) -> None:
    stages = make_plan(recipe).stages(2)
    assert [stage.command.name for stage in stages] == 2 * [
        "train-teacher",
        "extract-teacher",
        "train-student",
        "extract-teacher",
    ]
    assert [stage.round for stage in stages] == [0] * 4 + [1] * 4
    assert [stage.run for stage in stages[:4]] == [
        "runs/m/round-0/teacher",
        "",
        "runs/m/round-0/student",
        "",
    ]
    assert stages[1].command.arguments == (
        "runs/m/corpus.jsonl",
        "s",
        "--teacher=m-teacher-0=runs/m/round-0/teacher",
        "--teacher=m-teacher-0-audio=runs/m/round-0/teacher-audio",
    )
    assert stages[7].command.arguments[2:] == ("--teacher=m-student-1=runs/m/round-1/student",)
    assert "--device=cpu" in stages[0].command.arguments


def test_each_network_learns_from_what_the_other_stored_last(recipe: Recipe) -> None:
    plan = make_plan(recipe)
    assert options_of(plan.teacher_recipe(0)) == ("one_way", "teacher", "", "")
    for number in (0, 1):
        said = f"m-teacher-{number}"
        expected = ("one_way", "student", said, f"{said}-audio")
        assert options_of(plan.student_recipe(number)) == expected
    before = "m-student-0"
    assert options_of(plan.teacher_recipe(1)) == ("one_way", "teacher", before, before)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ([], ["audio"]),
        (["single_modal=off"], []),
        (["single_modal=to_teacher"], []),
        (["cross_pair=visual"], ["audio", "visual"]),
        (["cross_pair=visual", "cross_modal=to_teacher"], ["audio"]),
    ],
)
def test_only_branches_that_the_student_learns_from_are_stored(
    recipe: Recipe, options: list[str], parts: list[str]
) -> None:
    switched = with_overrides(recipe, [f"method.options.{each}" for each in options])
    plan = make_plan(switched)
    assert plan.stages(1)[0].parts == tuple(parts)
    assert plan.round(3).teacher_targets == ("m-teacher-3", *(f"m-teacher-3-{p}" for p in parts))
    paired = "m-teacher-0-visual" if "cross_pair=visual" in options else "m-teacher-0"
    assert plan.student_recipe(0).method.options["teacher"] == paired


@pytest.mark.parametrize(
    ("overrides", "num_rounds", "message"),
    [
        ([], 0, "rounds 0 must be 1 or more"),
        (["data.label_column=none"], 1, "rounds need labels"),
        (["method.options.form=one_way"], 1, "not of the method mutual in its joint form"),
        (["method.name=supervised", "method.options={}"], 1, "take --recipe mutual"),
    ],
)
def test_what_cannot_be_trained_in_rounds_is_refused_before_anything_is_written(
    store: Store, recipe: Recipe, run: str, overrides: list[str], num_rounds: int, message: str
) -> None:
    with pytest.raises(InvalidValueError, match=message):
        train_rounds(store.url, run, with_overrides(recipe, overrides), num_rounds)
    assert not Path(run).exists()


def test_two_rounds_leave_runs_and_targets_and_are_not_done_again(
    store: Store, recipe: Recipe, run: str, here: Here
) -> None:
    def train(num_rounds: int) -> tuple[RoundsReport, list[str]]:
        here.names = []
        report = train_rounds(store.url, run, recipe, num_rounds, device="cpu", start=here)
        return report, here.names

    report, names = train(1)
    assert report.num_trained == 2
    first = read_tensors(RunDir(path=Path(report.student)).weights_file)
    report, names = train(2)
    assert names.count("train-student") == names.count("train-teacher") == 1
    assert report.num_trained == 2
    assert report.student == f"{run}/round-1/student"
    _, names = train(2)
    assert set(names) == {"extract-teacher"}

    producers = Store.open(store.url).producers()
    for number, each in enumerate(report.rounds):
        assert {*each.teacher_targets, each.student_targets} <= producers.keys()
        origin = RunDir(path=Path(each.student)).read_origin()
        assert origin["teachers"].keys() == set(each.teacher_targets)
        before = {report.rounds[number - 1].student_targets} if number else set()
        assert RunDir(path=Path(each.teacher)).read_origin()["teachers"].keys() == before
    assert load_clip_student(report.student).student.streams == ("alpha",)
    assert load_clip_student(report.rounds[1].teacher).student.streams == ("alpha", "beta")
    second = read_tensors(RunDir(path=Path(report.student)).weights_file)
    assert first.keys() == second.keys()
    assert any(not bool((first[name] == second[name]).all()) for name in first)


def test_the_stored_targets_of_a_branch_are_what_the_branch_says(
    store: Store, recipe: Recipe, run: str, here: Here
) -> None:
    visual = with_overrides(recipe, ["method.options.cross_pair=visual"])
    report = train_rounds(store.url, run, visual, 1, device="cpu", start=here)
    names = report.rounds[0].teacher_targets
    opened = Store.open(store.url)
    fused, audio, seen = (opened.read_rows(name, "logits", 0, 16) for name in names)
    assert fused.shape == audio.shape == seen.shape == (16, 3)
    assert not np.allclose(audio, seen)
    teacher = load_clip_student(report.rounds[0].teacher)
    for name, logits in zip(("alpha", "beta"), (audio, seen), strict=True):
        vectors = opened.read_rows(name, name, 0, 16)
        part = "audio" if name == "alpha" else "visual"
        branch = load_clip_student(f"{report.rounds[0].teacher}-{part}")
        assert branch.student.streams == (name,)
        assert branch.class_names == teacher.class_names == ("down", "far", "up")
        import torch

        inputs = {name: torch.from_numpy(np.array(vectors))}
        said = branch.student(inputs, torch.ones(16, dtype=torch.int64))
        np.testing.assert_allclose(said.logits.detach().numpy(), logits, atol=1e-5)


def test_a_stage_that_fails_ends_the_rounds_and_the_next_call_goes_on(
    store: Store, recipe: Recipe, run: str, here: Here
) -> None:
    def stumble(command: Command) -> Mapping[str, Any]:
        if command.name == "train-student":
            raise CommandFailedError("avkd train-student: stopped by a signal", 75)
        return here(command)

    with pytest.raises(CommandFailedError, match="stopped by a signal"):
        train_rounds(store.url, run, recipe, 1, device="cpu", start=stumble)
    events: list[RoundEvent] = []
    report = train_rounds(
        store.url, run, recipe, 1, device="cpu", start=here, on_progress=events.append
    )
    assert report.num_trained == 1
    assert [event.what for event in events] == [
        "teacher",
        "targets of the teacher",
        "student",
        "targets of the student",
    ]
    assert {event.num_stages for event in events} == {4}


def test_another_recipe_in_the_same_folder_is_refused(
    store: Store, recipe: Recipe, run: str, here: Here
) -> None:
    train_rounds(store.url, run, recipe, 1, device="cpu", start=here)
    with pytest.raises(CommandFailedError, match="run of another recipe"):
        train_rounds(store.url, run, replace(recipe, seed=1), 1, device="cpu", start=here)


def test_another_run_of_the_same_name_does_not_pass_for_this_one(
    store: Store, recipe: Recipe, tmp_path: Path, here: Here
) -> None:
    one, other = (str(tmp_path / place / "m") for place in ("a", "b"))
    train_rounds(store.url, one, recipe, 1, device="cpu", start=here)
    with pytest.raises(CommandFailedError, match="m-teacher-0"):
        train_rounds(store.url, other, replace(recipe, seed=1), 1, device="cpu", start=here)
    report = train_rounds(
        store.url, other, replace(recipe, seed=1), 1, name="again", device="cpu", start=here
    )
    assert report.rounds[0].student_targets == "again-student-0"


def test_finished_rounds_are_seen_as_such_by_commands_in_processes_of_their_own(
    store: Store, recipe: Recipe, run: str, here: Here
) -> None:
    report = train_rounds(store.url, run, recipe, 1, device="cpu", start=here)
    said: list[Mapping[str, Any]] = []

    def start(command: Command) -> Mapping[str, Any]:
        said.append(run_command(command))
        return said[-1]

    again = train_rounds(store.url, run, recipe, 1, device="cpu", start=start)
    assert again.rounds == report.rounds
    assert again.num_trained == 0
    assert [each["num_shards_done"] for each in said] == [0, 0]


def test_the_command_goes_on_with_rounds_and_tells_the_student_to_use(
    store: Store, recipe: Recipe, run: str, here: Here
) -> None:
    report = train_rounds(store.url, run, recipe, 1, device="cpu", start=here)
    options = (*recipe_options(recipe), "--rounds=1", "--device=cpu")
    told = here(Command("train-student", (store.url, run, *options)))
    assert told["student"] == report.student
    assert told["num_trained"] == 0
    assert [each["student"] for each in told["rounds"]] == [report.student]
