import pytest

from avkd.errors import StoreNotFoundError
from avkd.pipeline.report.run_names import find_all_runs, name_students


@pytest.fixture
def folder(tmp_path):
    for name in ("a/stereo/seed-0", "a/stereo/seed-1", "b/stereo/seed-0", "mono"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "recipe.json").write_text("{}")
    return tmp_path


def test_folders_of_seeds_are_their_runs_and_no_run_comes_twice(folder):
    found = find_all_runs([f"{folder}/a/stereo", f"{folder}/mono", f"{folder}/a/stereo/seed-1"])
    names = ("a/stereo/seed-0", "a/stereo/seed-1", "mono")
    assert found == tuple(f"{folder}/{name}" for name in names)
    with pytest.raises(StoreNotFoundError):
        find_all_runs([str(folder)])


def test_seeds_have_the_name_of_their_student(folder):
    runs = find_all_runs([f"{folder}/a/stereo", f"{folder}/mono"])
    assert list(name_students(runs).values()) == ["stereo", "stereo", "mono"]


def test_students_of_one_name_are_told_apart_by_their_places(folder):
    runs = find_all_runs([f"{folder}/a/stereo", f"{folder}/b/stereo", f"{folder}/mono"])
    assert list(name_students(runs).values()) == ["a/stereo", "a/stereo", "b/stereo", "mono"]
    assert name_students([]) == {}
