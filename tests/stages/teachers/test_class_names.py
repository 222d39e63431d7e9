from pathlib import Path

import pytest

from avkd.errors import InvalidValueError
from avkd.stages.teachers import class_names
from avkd.stages.teachers.class_names import (
    find_class_names,
    imagenet_class_names,
    read_class_names,
)


def write(folder: Path, text: str) -> Path:
    path = folder / "classes.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_imagenet_names_are_a_thousand_different_ones_in_order() -> None:
    names = imagenet_class_names()
    assert len(set(names)) == 1000
    assert (names[0], names[1], names[999]) == ("tench", "goldfish", "toilet tissue")


def test_name_of_two_imagenet_classes_carries_its_synset() -> None:
    cranes = [name for name in imagenet_class_names() if name.startswith("crane ")]
    assert cranes == ["crane (n02012849)", "crane (n03126707)"]


def test_one_name_a_line_with_blank_lines_left_out(tmp_path: Path) -> None:
    assert read_class_names(write(tmp_path, "fire engine\n\n dog \n")) == ("fire engine", "dog")


def test_places_index_and_letter_folder_are_taken_off(tmp_path: Path) -> None:
    path = write(tmp_path, "/a/airfield 0\n/b/bar/outdoor 1\n")
    assert read_class_names(path) == ("airfield", "bar/outdoor")


def test_letter_folder_goes_without_an_index_too(tmp_path: Path) -> None:
    assert read_class_names(write(tmp_path, "/a/airfield\n/b/bar\n")) == ("airfield", "bar")


def test_number_that_is_not_the_line_belongs_to_the_name(tmp_path: Path) -> None:
    names = read_class_names(write(tmp_path, "route 0\nroute 66\n"))
    assert names == ("route 0", "route 66")


def test_head_without_a_file_has_imagenet_names_only_at_a_thousand(tmp_path: Path) -> None:
    assert len(find_class_names("", 1000)) == 1000
    assert find_class_names("", 365) == ()
    assert find_class_names(str(write(tmp_path, "a\nb\n")), 1000) == ("a", "b")


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\x00a"])
def test_file_that_names_nothing_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes(content)
    with pytest.raises(InvalidValueError, match="one name a line"):
        read_class_names(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="FileNotFoundError"):
        read_class_names(tmp_path / "none.txt")


def test_timm_without_its_data_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_names.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InvalidValueError, match="--classes"):
        imagenet_class_names()
