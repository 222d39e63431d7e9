import json
from shutil import copytree

import pytest

from avkd.errors import InvalidValueError
from avkd.pipeline.comparison.groups import group_runs
from avkd.pipeline.recipe import from_json, to_json, with_overrides


def change(run, *overrides):
    """Make a run look as if it had another recipe."""
    file = run / "recipe.json"
    file.write_text(to_json(with_overrides(from_json(file.read_text()), overrides)))


def names_of(*folders):
    return [(group.name, group.seeds) for group in group_runs([str(f) for f in folders])]


def test_a_folder_of_seeds_is_a_group_with_its_name(evaluated_runs):
    found = names_of(evaluated_runs / "both", evaluated_runs / "alone")
    assert found == [("both", (0, 1)), ("alone", (0, 1))]


def test_runs_of_one_recipe_that_are_given_one_by_one_are_a_group(evaluated_runs):
    alone, both = evaluated_runs / "alone", evaluated_runs / "both"
    found = names_of(alone / "seed-1", both / "seed-0", alone / "seed-0")
    assert found == [("rows/tiny", (0, 1)), ("both/seed-0", (0,))]


def test_runs_that_learned_from_something_else_are_another_group(own_runs):
    copytree(own_runs / "alone" / "seed-1", own_runs / "elsewhere")
    origin = json.loads((own_runs / "elsewhere" / "run.json").read_text())
    (own_runs / "elsewhere" / "run.json").write_text(
        json.dumps({**origin, "content_digest": "another"})
    )
    found = names_of(own_runs / "alone/seed-0", own_runs / "alone/seed-1", own_runs / "elsewhere")
    assert found == [("rows/tiny", (0, 1)), ("elsewhere", (1,))]


def test_runs_that_each_started_from_their_own_seed_of_a_recipe_are_a_group(own_runs):
    def start(run, recipe):
        origin = json.loads((run / "run.json").read_text())
        first = {"recipe_sha256": recipe, "weights_sha256": run.name}
        (run / "run.json").write_text(json.dumps({**origin, "initialised_from": first}))

    for name in ("seed-0", "seed-1"):
        start(own_runs / "alone" / name, "counting")
    copytree(own_runs / "alone" / "seed-1", own_runs / "elsewhere")
    start(own_runs / "elsewhere", "another")
    found = names_of(own_runs / "alone/seed-0", own_runs / "alone/seed-1", own_runs / "elsewhere")
    assert found == [("rows/tiny", (0, 1)), ("elsewhere", (1,))]


def test_where_the_store_lies_does_not_matter(own_runs):
    file = own_runs / "alone" / "seed-1" / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "store": "/moved"}))
    found = names_of(own_runs / "alone" / "seed-0", own_runs / "alone" / "seed-1")
    assert found == [("rows/tiny", (0, 1))]


def test_groups_of_one_name_are_told_apart_by_the_fields_that_differ(own_runs):
    (own_runs / "other").mkdir()
    copytree(own_runs / "alone", own_runs / "other" / "alone")
    for seed in (0, 1):
        change(own_runs / "other/alone" / f"seed-{seed}", "optimiser.learning_rate=0.5")
    found = names_of(own_runs / "alone", own_runs / "other" / "alone")
    assert [name for name, _ in found] == [
        "rows/tiny learning_rate=0.01",
        "rows/tiny learning_rate=0.5",
    ]


def test_groups_of_one_name_and_recipe_are_told_apart_by_their_place(own_runs):
    (own_runs / "other").mkdir()
    copytree(own_runs / "alone", own_runs / "other" / "alone")
    found = names_of(own_runs / "alone", own_runs / "other" / "alone")
    assert found[0][0] == str(own_runs / "alone" / "seed-0")
    assert found[1][0] == str(own_runs / "other" / "alone" / "seed-0")


def test_seeds_of_several_recipes_in_one_folder_are_refused(own_runs):
    change(own_runs / "alone" / "seed-1", "schedule.num_updates=31")
    with pytest.raises(InvalidValueError, match=r"different recipes \(schedule\.num_updates"):
        group_runs([str(own_runs / "alone")])


def test_one_run_is_nothing_to_compare(evaluated_runs):
    with pytest.raises(InvalidValueError, match="one run only"):
        group_runs([str(evaluated_runs / "alone" / "seed-0")])
    assert names_of(evaluated_runs / "alone") == [("alone", (0, 1))]


def test_a_run_that_comes_twice_is_refused(own_runs):
    twice = [str(own_runs / "alone"), str(own_runs / "alone" / "seed-1")]
    with pytest.raises(InvalidValueError, match="comes 2 times"):
        group_runs(twice)
    copytree(own_runs / "alone" / "seed-1", own_runs / "copy")
    with pytest.raises(InvalidValueError, match="are the same run, with seed 1"):
        group_runs([str(own_runs / "alone" / "seed-1"), str(own_runs / "copy")])
