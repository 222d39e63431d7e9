import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from avkd.errors import (
    InterruptedRunError,
    InvalidValueError,
    StoreNotFoundError,
    TooManyFailuresError,
    UnknownNameError,
)
from avkd.pipeline.recipe import Recipe, to_json, with_overrides
from avkd.pipeline.run_dir import RunDir
from avkd.pipeline.train import TrainEvent, TrainReport, train_student
from avkd.pipeline.training.metrics_log import read_metrics
from avkd.storage.store import Store

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
SESSION = """
import os, signal, sys
from pathlib import Path
from avkd.pipeline.recipe import from_json
from avkd.pipeline.train import train_student

store, run, recipe, last = sys.argv[1:]

def on_progress(event):
    print(event.update, flush=True)
    if event.update == int(last):
        print(sorted(name for name in sys.modules if "teachers" in name), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

recipe = from_json(Path(recipe).read_text())
train_student(store, run, recipe, device="cpu", on_progress=on_progress)
"""


@dataclass(frozen=True)
class Outcome:
    """What a run left behind."""

    report: TrainReport
    events: list[TrainEvent]
    records: list[dict[str, Any]]
    weights: dict[str, torch.Tensor]


def train(store: Store, run: str, recipe: Recipe, **options: Any) -> Outcome:
    events: list[TrainEvent] = []
    report = train_student(
        store.url, run, recipe, device="cpu", on_progress=events.append, **options
    )
    return Outcome(report, events, *left_in(run))


def left_in(run: str) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    folder = RunDir(path=Path(run))
    records = read_metrics(folder.metrics_file)
    timeless = [{k: v for k, v in record.items() if k != "seconds"} for record in records]
    return timeless, load_file(folder.weights_file)


def assert_same_run(one: Outcome, other: Outcome) -> None:
    assert one.records == other.records
    assert one.weights.keys() == other.weights.keys()
    assert all(torch.equal(value, other.weights[name]) for name, value in one.weights.items())


@pytest.fixture(scope="module")
def undisturbed(store: Store, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The test recipe's run from beginning to end: 4 epochs of 4 updates."""
    return train(store, str(tmp_path_factory.mktemp("run")), recipe)


def stop_at(update: int, action: Callable[[], None]) -> Callable[[TrainEvent], None]:
    return lambda event: action() if event.update == update else None


def fail() -> None:
    raise ZeroDivisionError


def ask_to_stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_run_leaves_student_recipe_origin_and_metrics(
    undisturbed: Outcome, store: Store, recipe: Recipe
) -> None:
    run = RunDir(path=Path(undisturbed.report.run))
    assert run.is_finished
    assert run.read_recipe() == recipe
    assert not run.checkpoints.exists()
    assert list(run.tensorboard.iterdir())
    origin = json.loads(run.origin_file.read_text())
    summary = {teacher.name: teacher.fingerprint for teacher in store.summary().teachers}
    assert (origin["store"], origin["teachers"]) == (store.url, summary)
    assert len(origin["content_digest"]) >= 32


def test_every_update_is_recorded_and_told(undisturbed: Outcome) -> None:
    updates = [record for record in undisturbed.records if "loss" in record]
    assert [record["update"] for record in updates] == list(range(1, 17))
    assert [event.update for event in undisturbed.events] == list(range(1, 17))
    assert [event.loss for event in undisturbed.events] == [r["loss"] for r in updates]
    first = updates[0]
    assert first["loss"] == pytest.approx(sum(first["parts"].values()), rel=1e-6)
    assert set(first["parts"]) == {"kl/dense", "kl/few"}
    assert first["grad_norm"] > 0
    assert sum(record["num_clips"] for record in updates[:4]) == undisturbed.report.num_clips


def test_each_epoch_ends_with_a_validation(undisturbed: Outcome) -> None:
    validations = [record for record in undisturbed.records if "validation_loss" in record]
    assert [record["update"] for record in validations] == [4, 8, 12, 16]
    report = undisturbed.report
    assert report.validation_loss == validations[-1]["validation_loss"]
    assert report.num_clips + report.num_validation_clips == 38


def test_the_student_learns(store: Store, recipe: Recipe, run: str) -> None:
    longer = with_overrides(
        recipe,
        ["schedule.num_epochs=12", "optimiser.learning_rate=1e-2", "encoder.options.augment=false"],
    )
    outcome = train(store, run, longer)
    validations = [r["validation_loss"] for r in outcome.records if "validation_loss" in r]
    assert outcome.events[-1].loss < 0.5 * outcome.events[0].loss
    assert validations[-1] < validations[0]


@pytest.mark.parametrize("update", [2, 4, 9])
def test_a_run_that_died_goes_on_to_the_same_end(
    undisturbed: Outcome, store: Store, recipe: Recipe, run: str, update: int
) -> None:
    with pytest.raises(ZeroDivisionError):
        train_student(store.url, run, recipe, device="cpu", on_progress=stop_at(update, fail))
    resumed = train(store, run, recipe)
    assert resumed.report.first_update == update // 3 * 3
    assert_same_run(resumed, undisturbed)


@pytest.mark.parametrize("update", [1, 5, 7])
def test_a_run_stopped_by_a_signal_keeps_its_updates(
    undisturbed: Outcome, store: Store, recipe: Recipe, run: str, update: int
) -> None:
    with pytest.raises(InterruptedRunError, match=f"after update {update + 1} of 16"):
        train_student(
            store.url, run, recipe, device="cpu", on_progress=stop_at(update, ask_to_stop)
        )
    resumed = train(store, run, recipe)
    assert resumed.report.first_update == update + 1
    assert_same_run(resumed, undisturbed)


def test_a_killed_process_loses_only_what_came_after_its_checkpoint(
    undisturbed: Outcome, store: Store, recipe: Recipe, run: str, tmp_path: Path
) -> None:
    (tmp_path / "recipe.json").write_text(to_json(recipe))
    arguments = [store.url, run, str(tmp_path / "recipe.json"), "8"]
    session = subprocess.run(
        [sys.executable, "-c", SESSION, *arguments],
        # Sums depend on how many threads share them: as many as here.
        env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(torch.get_num_threads()))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert session.returncode == -signal.SIGKILL, session.stderr
    # A student's process never loads a teacher's code.
    assert session.stdout.splitlines()[-1] == "[]"
    resumed = train(store, run, recipe)
    assert resumed.report.first_update == 6
    assert_same_run(resumed, undisturbed)


@pytest.mark.slow
def test_two_processes_train_one_student(
    store: Store, recipe: Recipe, run: str, tmp_path: Path
) -> None:
    (tmp_path / "session.py").write_text(SESSION)
    (tmp_path / "recipe.json").write_text(to_json(recipe))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    arguments = [store.url, run, str(tmp_path / "recipe.json"), "-1"]
    session = subprocess.run(
        [*launch, str(tmp_path / "session.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert session.returncode == 0, session.stderr
    records, weights = left_in(run)
    assert [r["update"] for r in records if "loss" in r] == list(range(1, 17))
    assert all(torch.isfinite(value).all() for value in weights.values())
    assert sum(r["num_clips"] for r in records[:4]) < 32  # the first process has its share only


def test_a_finished_run_is_left_alone(undisturbed: Outcome, store: Store, recipe: Recipe) -> None:
    again = train(store, undisturbed.report.run, recipe)
    assert again.report.was_finished
    assert again.events == []
    assert again.report.loss == undisturbed.report.loss
    assert_same_run(again, undisturbed)


def test_another_recipe_in_the_same_folder_is_refused(
    undisturbed: Outcome, store: Store, recipe: Recipe
) -> None:
    other = with_overrides(recipe, ["optimiser.learning_rate=1"])
    with pytest.raises(InvalidValueError, match=r"optimiser\.learning_rate 0\.001 there"):
        train(store, undisturbed.report.run, other)


def test_a_seed_decides_the_run(
    undisturbed: Outcome, store: Store, recipe: Recipe, run: str
) -> None:
    other = train(store, run, with_overrides(recipe, ["seed=1", "schedule.num_epochs=1"]))
    assert other.records[0]["loss"] != undisturbed.records[0]["loss"]


def test_named_teachers_alone_get_heads(store: Store, recipe: Recipe, run: str) -> None:
    one = with_overrides(recipe, ["schedule.num_epochs=1"])
    outcome = train(store, run, one, teachers=("few",))
    assert outcome.report.teachers == ("few",)
    assert outcome.report.num_clips + outcome.report.num_validation_clips == 40
    assert {name.split(".")[1] for name in outcome.weights if name.startswith("heads")} == {"few"}


def test_one_split_of_the_corpus_may_be_learned_from(
    store: Store, recipe: Recipe, run: str
) -> None:
    changes = ["schedule.num_epochs=1", "data.split=labelled", "data.validation_fraction=0"]
    outcome = train(store, run, with_overrides(recipe, changes))
    assert outcome.report.num_clips == 10


def test_embeddings_are_learned_where_the_method_asks_for_them(
    store: Store, recipe: Recipe, run: str
) -> None:
    changes = ["schedule.num_epochs=1", "method.options.embedding_weight=0.5"]
    outcome = train(store, run, with_overrides(recipe, changes))
    assert "cosine/dense" in outcome.records[0]["parts"]


def test_sound_decoded_while_training_gives_the_same_run(
    build_store: Callable[..., Store], recipe: Recipe, tmp_path: Path
) -> None:
    store = build_store(num_clips=20, has_recordings=True)
    short = with_overrides(recipe, ["schedule.num_epochs=2"])
    cached = train(store, str(tmp_path / "cached"), short)
    decoding = with_overrides(short, ["data.input_name=recordings"])
    decoded = train(store, str(tmp_path / "decoded"), decoding)
    assert_same_run(decoded, cached)


def test_recordings_that_are_gone_end_the_run(
    build_store: Callable[..., Store], recipe: Recipe, run: str
) -> None:
    store = build_store(num_clips=8, has_waveform=False)
    with pytest.raises(TooManyFailuresError, match="are the recordings still where"):
        train(store, run, recipe)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.clip_seconds=0.3"], "must be a multiple of the store's step"),
        (["data.num_steps=3"], "0.5 s have 2"),
        (["data.input_name=dense"], "is a teacher, not a student input"),
        (["data.validation_fraction=0.9999"], "held out"),
        (["data.split=test"], "no clip of split 'test' that is ok"),
        (["optimiser.learning_rate=1e30"], "lower optimiser.learning_rate"),
        (["method.options.distanc=l2"], "distanc"),
        (["encoder.name=soundnet9"], "did you mean soundnet8"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused_in_one_line(
    store: Store, recipe: Recipe, run: str, overrides: list[str], words: str
) -> None:
    with pytest.raises(InvalidValueError, match=words) as caught:
        train(store, run, with_overrides(recipe, overrides))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_trains_float32_weights(
    store: Store, recipe: Recipe, run: str, precision: str
) -> None:
    changes = [f"precision={precision}", "schedule.num_epochs=none", "schedule.num_updates=2"]
    outcome = train(store, run, with_overrides(recipe, changes))
    assert outcome.report.num_updates == 2
    kinds = {value.dtype for value in outcome.weights.values()}
    assert kinds == {torch.float32, torch.int64}


def test_clips_may_be_tiled_to_more_than_the_stores_length(
    store: Store, recipe: Recipe, run: str
) -> None:
    changes = ["data.clip_seconds=1", "data.num_steps=4", "schedule.num_epochs=1"]
    outcome = train(store, run, with_overrides(recipe, changes))
    # Summed over four tiled steps, not over one or two.
    assert outcome.records[0]["loss"] > 6


def test_without_validation_no_recording_is_held_out(
    store: Store, recipe: Recipe, run: str
) -> None:
    changes = ["data.validation_fraction=0", "schedule.num_epochs=1"]
    outcome = train(store, run, with_overrides(recipe, changes))
    assert outcome.report.validation_loss is None
    assert outcome.report.num_clips == 38


def test_an_unknown_teacher_gets_close_matches(store: Store, recipe: Recipe, run: str) -> None:
    with pytest.raises(UnknownNameError, match="did you mean dense"):
        train(store, run, recipe, teachers=("dens",))


def test_no_store_is_said_so(recipe: Recipe, run: str, tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError):
        train_student(str(tmp_path / "none"), run, recipe)


def test_sound_of_another_rate_is_refused(
    build_store: Callable[..., Store], recipe: Recipe, run: str
) -> None:
    store = build_store(num_clips=8, sample_rate=16_000)
    with pytest.raises(InvalidValueError, match="16000 Hz but the encoder hears 22050 Hz"):
        train(store, run, recipe)


def test_a_store_without_targets_is_refused(
    build_store: Callable[..., Store], recipe: Recipe, run: str, tmp_path: Path
) -> None:
    empty = Store.create(
        str(tmp_path / "s"), clip_policy=build_store(2).clip_policy, rows_per_shard=4
    )
    with pytest.raises(InvalidValueError, match="no teacher with logits, embeddings or boxes"):
        train(empty, run, recipe)


def test_a_store_in_which_no_clip_is_ok_is_refused(
    build_store: Callable[..., Store], recipe: Recipe, run: str
) -> None:
    store = build_store(num_clips=2, failed={0: ("timeout", "slow"), 1: ("timeout", "slow")})
    with pytest.raises(InvalidValueError, match="no clip that is ok for all of dense, few"):
        train(store, run, recipe)
