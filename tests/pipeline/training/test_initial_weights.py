"""A student that starts from the encoder of another run: one that counted, as a pretext task."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from avkd.errors import InvalidValueError, StoreNotFoundError
from avkd.pipeline.recipe import EncoderConfig, MethodConfig, Recipe, with_overrides
from avkd.pipeline.recipes.registry import get_recipe
from avkd.pipeline.run_dir import RunDir, open_run
from avkd.pipeline.train import TrainEvent, TrainReport, train_seeds, train_student
from avkd.pipeline.training.metrics_log import read_metrics
from avkd.pipeline.training.session import open_learner
from avkd.pipeline.training.tensor_files import read_tensors

ENCODER = "encoder."
ONE_UPDATE = ("schedule.num_epochs=none", "schedule.num_updates=1")


def student(*overrides: str) -> Recipe:
    """It says where things are, after two epochs of four updates."""
    short = ("data.batch_size=5", "schedule.num_epochs=2", 'method.options.classes=["vehicle"]')
    return with_overrides(get_recipe("stereosoundnet", "tiny"), [*short, *overrides])


def pretext(*overrides: str) -> Recipe:
    """It counts them, and hears with the same encoder."""
    method = MethodConfig(name="counting", options={"classes": ("vehicle",), "max_count": 1})
    recipe = replace(student("seed=7"), name="counting", method=method)
    return with_overrides(recipe, ["schedule.num_epochs=1", *overrides])


def train(street, run: Path | str, recipe: Recipe, **options: Any) -> TrainReport:
    return train_student(street.store.url, str(run), recipe, device="cpu", **options)


def first_weights(street, run: Path, recipe: Recipe, init_from: Path | str = "") -> dict[str, Any]:
    """Before the first update."""
    learner = open_learner(street.store.url, str(run), recipe, (), "cpu", str(init_from))
    return {name: tensor.clone() for name, tensor in learner.student.state_dict().items()}


def weights_of(run: Path | str) -> dict[str, Tensor]:
    return read_tensors(RunDir(path=Path(run)).weights_file)


def described(run: Path | str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(RunDir(path=Path(run)).student_file.read_text())
    return told


def stop_after(update: int) -> Callable[[TrainEvent], None]:
    def stop(event: TrainEvent) -> None:
        if event.update == update:
            raise ZeroDivisionError

    return stop


@pytest.fixture(scope="module")
def counted(street, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run: Path = tmp_path_factory.mktemp("runs") / "counted"
    train(street, run, pretext())
    return run


def test_the_encoder_starts_as_the_other_ended_and_the_rest_afresh(
    street, counted: Path, tmp_path: Path
) -> None:
    first = first_weights(street, tmp_path / "started", student(), counted)
    fresh, ended = first_weights(street, tmp_path / "fresh", student()), weights_of(counted)
    own = [name for name in first if name.startswith(ENCODER)]
    assert len(own) > 10
    assert any("running" in name for name in own), "means and variances are taken, too"
    for name in own:
        assert torch.equal(first[name], ended[name])
    assert any(not torch.equal(first[name], fresh[name]) for name in own)
    for name in first.keys() - own:
        assert torch.equal(first[name], fresh[name]), "heads are the task's"


def test_the_run_says_from_what_it_started_and_names_no_place(
    street, counted: Path, tmp_path: Path
) -> None:
    report = train(street, tmp_path / "run", student(), init_from=str(counted))
    told = described(tmp_path / "run")["initialised_from"]
    assert told["recipe"] == "counting/tiny"
    assert re.fullmatch("[0-9a-f]{64}", told["weights_sha256"])
    folder = RunDir(path=tmp_path / "run")
    assert folder.read_origin()["initialised_from"] == told
    left = [folder.student_file, folder.origin_file, folder.recipe_file]
    assert all(str(counted) not in file.read_text() for file in left)
    assert not any("encoder" in note for note in report.notes)
    train(street, tmp_path / "fresh", student())
    assert "initialised_from" not in described(tmp_path / "fresh")
    assert "initialised_from" not in RunDir(path=tmp_path / "fresh").read_origin()
    one, other = weights_of(folder.path), weights_of(tmp_path / "fresh")
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_run_that_was_interrupted_ends_as_one_that_was_not(
    street, counted: Path, tmp_path: Path
) -> None:
    short, init = student("schedule.checkpoint_updates=5"), {"init_from": str(counted)}
    train(street, tmp_path / "undisturbed", short, **init)
    with pytest.raises(ZeroDivisionError):
        train(street, tmp_path / "run", short, **init, on_progress=stop_after(6))
    assert train(street, tmp_path / "run", short, **init).first_update == 5
    one, other = weights_of(tmp_path / "run"), weights_of(tmp_path / "undisturbed")
    assert all(torch.equal(one[name], other[name]) for name in one)
    records = [
        [record.get("loss") for record in read_metrics(RunDir(path=tmp_path / name).metrics_file)]
        for name in ("run", "undisturbed")
    ]
    assert records[0] == records[1]


def test_a_run_goes_on_from_nothing_else_than_it_began_with(
    street, counted: Path, tmp_path: Path
) -> None:
    train(street, tmp_path / "other", pretext("seed=8"))
    short = student("schedule.checkpoint_updates=5")
    for run, began in (("started", str(counted)), ("fresh", "")):
        with pytest.raises(ZeroDivisionError):
            train(street, tmp_path / run, short, init_from=began, on_progress=stop_after(6))
        for other in {"", str(counted), str(tmp_path / "other")} - {began}:
            with pytest.raises(InvalidValueError, match=r"initialised_from differ.*--init-from as"):
                train(street, tmp_path / run, short, init_from=other)
        assert train(street, tmp_path / run, short, init_from=began).first_update == 5


def test_another_encoder_is_refused_and_leaves_nothing_behind(
    street, counted: Path, tmp_path: Path
) -> None:
    def refuse(recipe: Recipe) -> str:
        with pytest.raises(InvalidValueError) as refused:
            train(street, tmp_path / "run", recipe, init_from=str(counted))
        assert not (tmp_path / "run").exists()
        return str(refused.value)

    widths = ",".join(["5"] * 10)
    assert refuse(student(f"encoder.options.widths=[{widths}]")) == (
        f"encoder.network.body.layers.0.0.weight is 8 x 2 x 3 x 3 in {counted} but 5 x 2 x 3 x 3 "
        "here; give both the same encoder with the same options"
    )
    other = EncoderConfig(name="phase_aware", options={"window_seconds": 0.5})
    told = refuse(replace(student(), encoder=other))
    assert re.search(
        rf"^the encoder of {re.escape(str(counted))} has no tensor in common with this student's: "
        r"encoder\.\S+ here, encoder\.\S+ there; give both the same encoder$",
        told,
    )


def test_what_is_no_finished_run_is_refused(street, tmp_path: Path) -> None:
    open_run(str(tmp_path / "begun"), pretext(), {})
    for init_from, words in (("begun", "is not finished"), ("none", "no run at")):
        with pytest.raises(StoreNotFoundError, match=words):
            train(street, tmp_path / "run", student(), init_from=str(tmp_path / init_from))
    assert not (tmp_path / "run").exists()


def test_tensors_that_only_one_of_the_two_has_are_told_and_so_are_other_options(
    street, tmp_path: Path
) -> None:
    """The pretext was not told of the camera."""
    train(street, tmp_path / "untold", pretext("encoder.options.metadata=[]"))
    told: list[str] = []
    recipe, init = student(), str(tmp_path / "untold")
    first = first_weights(street, tmp_path / "first", recipe, init)
    report = train(street, tmp_path / "run", recipe, init_from=init, on_note=told.append)
    taken, options = told[-2:]
    own = [name for name in first if name.startswith(ENCODER)]
    camera = [name for name in own if ".metadata." in name]
    assert taken == (
        f"{len(own) - len(camera)} of the encoder's {len(own)} tensors start from counting/tiny, "
        f"the others afresh, such as {camera[0]}"
    )
    assert "encoder.options.metadata" in options
    assert report.notes == tuple(told)


def test_each_seed_starts_from_its_own_where_there_are_several(street, tmp_path: Path) -> None:
    url, seeds, brief = street.store.url, (0, 1), student(*ONE_UPDATE)
    train_seeds(url, str(tmp_path / "counted"), pretext(*ONE_UPDATE), seeds, device="cpu")
    chosen: dict[str, Any] = {"device": "cpu", "init_from": str(tmp_path / "counted")}
    train_seeds(url, str(tmp_path / "own"), brief, seeds, **chosen)
    train_seeds(url, str(tmp_path / "single"), brief, (1,), **chosen)
    one = {**chosen, "init_from": str(tmp_path / "counted" / "seed-0")}
    train_seeds(url, str(tmp_path / "same"), brief, seeds, **one)

    def started(run: str) -> dict[str, str]:
        told: dict[str, str] = described(tmp_path / run)["initialised_from"]
        return told

    assert started("own/seed-0")["weights_sha256"] != started("own/seed-1")["weights_sha256"]
    assert started("own/seed-0")["recipe_sha256"] == started("own/seed-1")["recipe_sha256"]
    assert started("single") == started("own/seed-1")
    assert started("same/seed-0") == started("same/seed-1") == started("own/seed-0")


def test_a_seed_without_its_own_is_refused_before_anything_is_trained(
    street, tmp_path: Path
) -> None:
    url, counted = street.store.url, tmp_path / "counted"
    train_seeds(url, str(counted), pretext(*ONE_UPDATE), (0, 1), device="cpu")
    with pytest.raises(InvalidValueError, match=r"has seed-0, seed-1 but no seed-2 to start seed"):
        train_seeds(
            url, str(tmp_path / "run"), student(), (0, 2), init_from=str(counted), device="cpu"
        )
    RunDir(path=counted / "seed-1").student_file.unlink()
    with pytest.raises(StoreNotFoundError, match="seed-1 is not finished"):
        train_seeds(
            url, str(tmp_path / "run"), student(), (0, 1), init_from=str(counted), device="cpu"
        )
    assert not (tmp_path / "run").exists()
