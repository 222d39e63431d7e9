from pathlib import Path

import numpy as np
import pytest

from avkd.errors import CorpusError
from avkd.pipeline.detector_training.truth import Truth, read_labels

HEAD = "recording_id,frame_time_seconds,x_min,y_min,x_max,y_max"


def read(
    tmp_path: Path, *rows: str, head: str = f"{HEAD},kind", classes: tuple[str, ...] = ("vehicle",)
) -> Truth:
    table = tmp_path / "boxes.csv"
    table.write_text("\n".join((head, *rows)) + "\n")
    return read_labels(str(table), ["a", "b", "7"], classes, 0.25)


def test_rows_of_one_instant_are_one_picture_whatever_their_order(tmp_path: Path) -> None:
    truth = read(
        tmp_path, "a,0.5,0,0,0.5,0.5,car", "b,0.1,0,0,1,1,van", "a,0.25,0.5,0,1,1,van",
        "a,0.5,0.5,0.5,1,1,van",
    )  # fmt: skip
    first, second = truth.pictures["a"]
    assert (first.time_seconds, second.time_seconds) == (0.25, 0.5)
    np.testing.assert_array_equal(second.boxes, [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])
    assert len(truth.pictures["b"]) == 1


def test_one_class_that_is_no_kind_stands_for_all_kinds(tmp_path: Path) -> None:
    truth = read(tmp_path, "a,0.5,0,0,0.5,0.5,car", "a,0.5,0.5,0,1,1,van")
    assert truth.kinds == {"vehicle": ("car", "van")}
    assert truth.pictures["a"][0].classes.tolist() == [0, 0]


def test_kinds_are_sorted_into_the_classes_that_name_them(tmp_path: Path) -> None:
    rows = ("a,0.5,0,0,0.5,0.5,car", "a,0.5,0.5,0,1,1,bike", "a,0.5,0.5,0,1,1,van")
    truth = read(tmp_path, *rows, classes=("bike", "motor=van,car"))
    assert truth.class_names == ("bike", "motor")
    assert truth.pictures["a"][0].classes.tolist() == [1, 0, 1]


def test_a_table_without_kinds_has_one_class(tmp_path: Path) -> None:
    truth = read(tmp_path, "7,0.5,0,0,0.5,0.5", head=HEAD)
    assert truth.class_names == ("vehicle",)
    assert truth.pictures["7"][0].classes.tolist() == [0]
    with pytest.raises(CorpusError, match="kind '' is of none of the classes car, van"):
        read(tmp_path, "a,0.5,0,0,0.5,0.5", head=HEAD, classes=("car", "van"))


def test_boxes_that_are_hardly_visible_are_ignored(tmp_path: Path) -> None:
    rows = ("a,0.5,0,0,0.5,0.5,0.2", "a,0.5,0,0,0.5,0.5,0.25", "a,0.5,0,0,0.5,0.5,")
    truth = read(tmp_path, *rows, head=f"{HEAD},visible_fraction")
    assert truth.pictures["a"][0].is_ignored.tolist() == [True, False, False]


def test_an_empty_row_is_a_picture_that_shows_nothing_and_ends_guessing(tmp_path: Path) -> None:
    dense = read(tmp_path, "a,0.125,0,0,1,1,car", "a,0.375,0,0,1,1,car", "a,1.625,0,0,1,1,car")
    assert dense.grid is not None
    assert dense.grid.instants(1.0) == [0.125, 0.375, 0.625, 0.875]
    listed = read(tmp_path, "a,0.125,0,0,1,1,car", "a,0.375,,,,,", "a,1.625,0,0,1,1,car")
    assert listed.grid is None
    assert [len(each.boxes) for each in listed.pictures["a"]] == [1, 0, 1]
    assert listed.kinds == {"vehicle": ("car",)}


def test_a_grid_is_found_in_rounded_times(tmp_path: Path) -> None:
    rows = [f"a,{(k + 0.5) / 30:.4f},0,0,1,1,car" for k in (0, 1, 2, 7, 299)]
    grid = read(tmp_path, *rows).grid
    assert grid is not None
    np.testing.assert_allclose(grid.instants(10.0), (np.arange(300) + 0.5) / 30, atol=1e-3)


def test_instants_on_no_grid_are_all_that_was_labelled(tmp_path: Path) -> None:
    rows = [f"a,{seconds},0,0,1,1,car" for seconds in (0.1, 0.2, 0.55)]
    assert read(tmp_path, *rows).grid is None
    assert read(tmp_path, rows[0]).grid is None


def test_a_box_that_rounding_left_without_area_is_nothing_to_find(tmp_path: Path) -> None:
    truth = read(tmp_path, "a,0.5,0.3,0,0.3,1,car")
    assert len(truth.pictures["a"][0].boxes) == 0


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("zebra,0.5,0,0,1,1,car", "1 recording that the corpus does not have, the first 'zebra'"),
        ("a,0.5,0,0,1.2,1,car", "1.2, 1, which is not x_min"),
        ("a,0.5,40,10,80,60,car", "give fractions of the picture"),
        ("a,,0,0,1,1,car", "row 2 of .* has no frame_time_seconds"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: str, words: str) -> None:
    with pytest.raises(CorpusError, match=words) as caught:
        read(tmp_path, "b,0.5,0,0,1,1,car", row)
    assert "\n" not in str(caught.value)


def test_a_kind_outside_of_the_classes_is_refused(tmp_path: Path) -> None:
    rows = ("a,0.5,0,0,1,1,car", "a,0.5,0,0,1,1,tram")
    with pytest.raises(CorpusError, match=r"kind 'tram' is of none of the classes car; name it"):
        read(tmp_path, *rows, classes=("car",))
