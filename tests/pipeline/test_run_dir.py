from dataclasses import replace
from pathlib import Path

import pytest

from avkd.errors import InvalidValueError, StoreNotFoundError, StoreUnwritableError
from avkd.pipeline.recipe import Recipe, with_overrides
from avkd.pipeline.run_dir import RunDir, open_run, write_text

ORIGIN = {"store": "a", "content_digest": "1", "teachers": {"dense": "f"}}


def test_a_run_keeps_its_recipe_and_is_found_again(tmp_path: Path, recipe: Recipe) -> None:
    run = open_run(str(tmp_path / "a" / "run"), recipe, ORIGIN)
    assert run.read_recipe() == recipe
    assert open_run(str(run.path), recipe, ORIGIN) == run
    assert not run.is_finished


def test_another_recipe_is_refused_with_the_fields_that_differ(
    tmp_path: Path, recipe: Recipe
) -> None:
    open_run(str(tmp_path), recipe, ORIGIN)
    other = with_overrides(recipe, ["seed=3", "encoder.options.num_mels=32"])
    with pytest.raises(
        InvalidValueError, match=r"num_mels 24 there, 32 here.*seed 0 there, 3 here"
    ):
        open_run(str(tmp_path), other, ORIGIN)
    assert RunDir(path=tmp_path).read_recipe() == recipe


def test_other_targets_are_refused(tmp_path: Path, recipe: Recipe) -> None:
    open_run(str(tmp_path), recipe, ORIGIN)
    with pytest.raises(InvalidValueError, match="content_digest, teachers differ"):
        open_run(str(tmp_path), recipe, {**ORIGIN, "content_digest": "2", "teachers": {}})


def test_a_run_goes_on_with_no_less_than_it_began_with(tmp_path: Path, recipe: Recipe) -> None:
    open_run(str(tmp_path), recipe, {**ORIGIN, "initialised_from": {"weights_sha256": "w"}})
    with pytest.raises(InvalidValueError, match="initialised_from differ from run"):
        open_run(str(tmp_path), recipe, ORIGIN)


def test_a_store_may_move(tmp_path: Path, recipe: Recipe) -> None:
    open_run(str(tmp_path), recipe, ORIGIN)
    assert open_run(str(tmp_path), recipe, {**ORIGIN, "store": "b"})


def test_a_finished_run_is_found_whatever_became_of_its_store(
    tmp_path: Path, recipe: Recipe
) -> None:
    run = open_run(str(tmp_path), recipe, ORIGIN)
    run.student_file.write_text("{}")
    assert open_run(str(tmp_path), recipe, {"content_digest": "2"}).is_finished
    with pytest.raises(InvalidValueError, match="another recipe"):
        open_run(str(tmp_path), replace(recipe, seed=9), ORIGIN)


def test_no_run_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="no run at"):
        RunDir(path=tmp_path / "nothing").read_recipe()


def test_a_file_in_the_place_of_the_folder_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnwritableError, match="cannot be written"):
        write_text(tmp_path / "file" / "recipe.json", "{}")
