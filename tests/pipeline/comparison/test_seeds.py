import pytest

from avkd.errors import StoreNotFoundError
from avkd.pipeline.comparison.seeds import find_runs, is_seed_folder


def make_run(folder):
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text("{}")
    return str(folder)


def test_seeds_are_found_in_the_order_of_their_numbers(tmp_path):
    made = {seed: make_run(tmp_path / f"seed-{seed}") for seed in (10, 2, 0)}
    make_run(tmp_path / "other")
    (tmp_path / "seed-3").mkdir()
    assert find_runs(str(tmp_path)) == (made[0], made[2], made[10])


def test_a_run_is_itself(tmp_path):
    run = make_run(tmp_path / "seed-7")
    assert find_runs(run) == (run,)


@pytest.mark.parametrize("place", ["", "none"])
def test_a_folder_without_runs_is_refused(tmp_path, place):
    with pytest.raises(StoreNotFoundError, match="nor runs of seeds"):
        find_runs(str(tmp_path / place))


def test_only_training_s_own_names_are_seeds():
    assert is_seed_folder("seed-12")
    assert not any(map(is_seed_folder, ("seed-", "seed-a", "my-seed-1", "seed-1-old")))
