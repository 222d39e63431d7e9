import json
from pathlib import Path

import pytest

from avkd.pipeline.recipe import Recipe, with_overrides
from avkd.pipeline.recipes.registry import get_recipe
from avkd.pipeline.run_dir import RunDir
from avkd.pipeline.train import TrainReport, train_seeds, train_student
from avkd.pipeline.training.notes import keep_notes, read_notes

LEFT_OUT = "1 of 20 clips of split 'train' left out: 1 without rgb; avkd inspect tells the reasons"


def brief(*overrides: str) -> Recipe:
    short = ("schedule.num_epochs=1", 'method.options.classes=["vehicle"]')
    return with_overrides(get_recipe("stereosoundnet", "tiny"), [*short, *overrides])


def learn(street, run: Path, told: list[str]) -> TrainReport:
    return train_student(street.store.url, str(run), brief(), device="cpu", on_note=told.append)


def test_a_place_is_not_to_be_heard_with_one_microphone_and_training_says_so(
    mono_street, tmp_path: Path
) -> None:
    told: list[str] = []
    report = learn(mono_street, tmp_path, told)
    assert report.num_updates > 0, "it is no error"
    left_out, microphones = told
    assert left_out == LEFT_OUT
    assert "one microphone is heard" in microphones
    assert "--num-channels 2" in microphones
    assert report.notes == tuple(told)


def test_notes_stay_with_the_run_and_are_told_again_when_it_is_finished(
    mono_street, tmp_path: Path
) -> None:
    told: list[str] = []
    learn(mono_street, tmp_path, told)
    assert (tmp_path / "notes.txt").read_text() == "".join(f"{note}\n" for note in told)
    again: list[str] = []
    report = learn(mono_street, tmp_path, again)
    assert (report.was_finished, report.notes, again) == (True, tuple(told), told)
    assert "notes" not in json.loads(RunDir(path=tmp_path).student_file.read_text())


def test_a_dead_microphone_is_told_before_it_is_learned_from(
    half_deaf_street, tmp_path: Path
) -> None:
    told: list[str] = []
    learn(half_deaf_street, tmp_path, told)
    assert "channel 2 of waveform hears nothing in 12 of 12 recordings" in told[1]


def test_two_microphones_give_no_note_but_of_what_is_left_out(street, tmp_path: Path) -> None:
    told: list[str] = []
    learn(street, tmp_path, told)
    assert told == [LEFT_OUT]


def test_every_seed_tells_its_notes(mono_street, tmp_path: Path) -> None:
    told: list[str] = []
    url = mono_street.store.url
    train_seeds(url, str(tmp_path), brief(), (0, 1), device="cpu", on_note=told.append)
    assert len(told) == 4
    assert told[:2] == told[2:]


def test_a_student_of_words_needs_no_second_microphone(
    store, recipe: Recipe, tmp_path: Path
) -> None:
    told: list[str] = []
    short = with_overrides(recipe, ["schedule.num_epochs=none", "schedule.num_updates=1"])
    train_student(store.url, str(tmp_path), short, device="cpu", on_note=told.append)
    assert not any("microphone" in note for note in told)


@pytest.mark.parametrize("notes", [(), ("one", "two")])
def test_notes_come_back_from_a_folder_and_none_leave_no_file(
    notes: tuple[str, ...], tmp_path: Path
) -> None:
    run = RunDir(path=tmp_path / "run")
    keep_notes(run, notes)
    assert read_notes(run) == notes
    assert run.path.exists() == bool(notes)
