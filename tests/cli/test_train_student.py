import json

import pytest

OPTIONS = (
    "--recipe=soundnet_logmel",
    "--variant=tiny",
    "--set=schedule.num_epochs=none",
    "--set=schedule.num_updates=2",
    "--set=data.batch_size=4",
)


def test_a_run_holds_its_recipe_its_losses_and_the_student(run):
    recipe = json.loads((run / "recipe.json").read_text())
    assert recipe["schedule"]["num_updates"] == 2
    assert recipe["variant"] == "tiny"
    assert len((run / "metrics.jsonl").read_text().splitlines()) >= 2
    assert (run / "student.safetensors").stat().st_size > 1000


def test_a_finished_run_is_left_alone_and_says_so(avkd, store, run):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    outcome = avkd("train-student", store, run, *OPTIONS)
    assert outcome.exit_code == 0, outcome.err
    assert "nothing to do" in outcome.out
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_results_for_machines_tell_loss_and_clips(avkd, store, tmp_path):
    told = avkd("train-student", store, tmp_path / "run", *OPTIONS, "--seed=3", "--json").json
    assert told["num_updates"] == 2
    assert told["teachers"] == ["seer"]
    assert 0 < told["num_clips"] <= 8
    assert told["loss"] > 0
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["seed"] == 3


def test_results_for_people_tell_the_loss(avkd, store, tmp_path):
    outcome = avkd("train-student", store, tmp_path / "run", *OPTIONS, "--teacher=seer")
    assert outcome.exit_code == 0, outcome.err
    assert "loss" in outcome.out
    assert "seer" in outcome.out


def test_what_is_left_out_is_told_once_for_all_seeds(avkd, store, tmp_path):
    options = (*OPTIONS, "--seed=0", "--seed=1")
    outcome = avkd("train-student", store, tmp_path / "runs", *options)
    assert outcome.exit_code == 0, outcome.err
    (note,) = [line for line in outcome.err.splitlines() if line.startswith("note: ")]
    assert "1 of 9 clips left out: 1 without seer, 1 without waveform" in note
    again = avkd("train-student", store, tmp_path / "runs", *options, "--json")
    assert [f"note: {text}" for run in again.json["runs"] for text in run["notes"]] == [note] * 2


def test_a_run_may_start_from_the_encoder_of_another(avkd, store, run, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    start = f"--init-from={run}"
    outcome = avkd("train-student", store, first, *OPTIONS, "--seed=3", start)
    assert outcome.exit_code == 0, outcome.err
    told = json.loads((first / "student.json").read_text())["initialised_from"]
    recipe = json.loads((run / "recipe.json").read_text())
    assert told["recipe"] == f"{recipe['name']}/tiny"

    other = (*OPTIONS, "--recipe=soundnet5", start)
    avkd("train-student", store, second, *other).assert_refused(2, "encoder.", "give both the same")
    gone = f"--init-from={tmp_path / 'gone'}"
    avkd("train-student", store, second, *OPTIONS, gone).assert_refused(3, "no run at", "gone")
    rounds = ("--recipe=mutual", "--rounds=1", start)
    avkd("train-student", store, second, *rounds).assert_refused(2, "leave --init-from out")
    assert not second.exists()


def test_another_recipe_in_the_same_folder_is_refused(avkd, store, run):
    outcome = avkd("train-student", store, run, *OPTIONS, "--seed=9")
    outcome.assert_refused(2, "seed")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("--recipe=soundnet_logmell", ("soundnet_logmell", "soundnet_logmel")),
        ("--variant=tinny", ("tinny", "tiny")),
        ("--set=optimiser.learning_rat=1", ("optimiser.learning_rat", "optimiser.learning_rate")),
        ("--set=seed", ("field=value",)),
        ("--set=data.batch_size=many", ("data.batch_size", "many")),
        ("--teacher=seen", ("seen", "seer")),
    ],
)
def test_a_wrong_name_is_refused_with_the_right_ones(avkd, store, tmp_path, wrong, words):
    run = tmp_path / "run"
    options = [option for option in OPTIONS if option.partition("=")[0] != wrong.partition("=")[0]]
    if wrong.startswith("--set"):
        options = list(OPTIONS)
    avkd("train-student", store, run, *options, wrong).assert_refused(2, *words)
    assert not run.exists()


def test_a_split_without_clips_is_refused(avkd, store, tmp_path):
    outcome = avkd("train-student", store, tmp_path / "run", *OPTIONS, "--split=nowhere")
    outcome.assert_refused(2, "nowhere")
    assert not (tmp_path / "run").exists()


def test_a_missing_store_is_refused(avkd, tmp_path):
    outcome = avkd("train-student", tmp_path / "none", tmp_path / "run", *OPTIONS)
    outcome.assert_refused(3, "none")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("run", "options", "words"),
    [
        ("run", ("--recipe=mutual", "--teacher=seer"), ("rounds make their own", "--teacher")),
        ("run", ("--recipe=soundnet_logmel",), ("rounds need labels", "--label-column")),
        ("run", ("--recipe=mke_teacher",), ("'mke_teacher'", "take --recipe mutual")),
        ("my run", ("--recipe=mutual",), ("'my run'", "letters")),
    ],
)
def test_what_cannot_be_trained_in_rounds_is_refused(avkd, store, tmp_path, run, options, words):
    outcome = avkd("train-student", store, tmp_path / run, "--rounds=1", *options)
    outcome.assert_refused(2, *words)
    assert not (tmp_path / run).exists()


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("light", "where 'light' is not of the form COLUMN=VALUE,VALUE"),
        ("=day", "where '=day' is not of the form"),
        ("light=,", "where 'light=,' is not of the form"),
        ("light=day", "has no clip, light day that is ok for"),
    ],
)
def test_conditions_that_cannot_be_are_refused(avkd, store, tmp_path, condition, message):
    outcome = avkd("train-student", store, tmp_path / "run", *OPTIONS, f"--where={condition}")
    assert outcome.exit_code == 2
    assert message in outcome.err
