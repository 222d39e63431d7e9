import numpy as np
import pytest

from avkd.errors import CorpusError
from avkd.pipeline.evaluation.box_truth import TruthTable, read_truth

HEADER = "recording_id,frame_time_seconds,x_min,y_min,x_max,y_max"


@pytest.fixture
def read(tmp_path):
    """Reads a table of the lines given."""

    def run(*lines: str, header: str = HEADER) -> TruthTable:
        path = tmp_path / "truth.csv"
        path.write_text("\n".join([header, *lines]) + "\n")
        return read_truth(str(path))

    return run


def count(table: TruthTable, instants: list[float], step_seconds: float = 0.25) -> list[int | None]:
    found = table.at("a", instants, step_seconds)
    return [None if rows is None else len(rows.boxes) for rows in found]


def test_pictures_at_the_middles_of_steps_are_theirs(read):
    table = read("a,0.375,0,0,0.5,1", "a,0.125,0,0,0.5,1", "a,0.375,0.5,0,1,1", "a,0.625,0,0,1,1")
    assert count(table, [0.125, 0.375, 0.625, 0.875]) == [1, 2, 1, 0]
    (rows,) = table.at("a", [0.375], 0.25)
    assert rows.boxes.tolist() == [[0, 0, 0.5, 1], [0.5, 0, 1, 1]]
    assert rows.visible_fractions.tolist() == [1.0, 1.0]


def test_of_two_pictures_that_is_taken_which_is_on_screen(read):
    # Steps of half a second are at 0.25: there the picture from 0.25 to 0.5 appears.
    table = read("a,0.125,0,0,0.1,1", "a,0.375,0,0,0.2,1", "a,0.625,0,0,0.3,1", "a,0.875,0,0,0.4,1")
    found = table.at("a", [0.25, 0.75], 0.5)
    assert [rows.boxes[:, 2].tolist() for rows in found] == [
        pytest.approx([0.2]),
        pytest.approx([0.4]),
    ]


def test_a_step_without_a_row_is_empty_unless_pictures_are_listed(read):
    rows = ("a,0.125,0,0,1,1", "a,0.375,0,0,1,1")
    assert count(read(*rows), [0.125, 0.375, 0.625]) == [1, 1, 0]
    listed = read(*rows, "a,0.875,,,,")
    assert listed.lists_pictures
    instants = [0.125, 0.375, 0.625, 0.875]
    assert count(listed, instants) == [1, 1, None, 1]
    assert listed.at("a", instants, 0.25)[3].is_box.tolist() == [False]
    assert listed.at("b", instants, 0.25) == [None] * 4
    assert read(*rows).at("b", [0.125], 0.25)[0].boxes.shape == (0, 4)


def test_a_table_with_gaps_must_say_which_pictures_it_means(read):
    sparse = ("a,0.125,0,0,1,1", "a,1.125,0,0,1,1")
    with pytest.raises(CorpusError, match="rows with empty sides"):
        read(*sparse).require_dense(0.25)
    read(*sparse, "a,2.125,,,,").require_dense(0.25)
    read(*sparse).require_dense(1.0)


def test_single_pictures_do_not_tell_how_often_somebody_looked(read):
    with pytest.raises(CorpusError, match=r"has single pictures but steps are 0.25 s; list"):
        read("a,0.125,0,0,1,1", "b,0.125,0,0,1,1").require_dense(0.25)


def test_columns_beside_the_boxes_are_read_where_they_are(read):
    table = read(
        "007,0.125,0,0,1,1,x1,van,0.5",
        "007,0.375,0,0,1,1,x2,car,",
        header=f"{HEADER},track_id,kind,visible_fraction",
    )
    rows = table.recordings["007"]
    assert [table.kinds[number] for number in rows.kinds] == ["van", "car"]
    assert table.box_kinds == {"car", "van"}
    assert rows.visible_fractions.tolist() == [0.5, 1.0]
    assert len(np.unique(rows.tracks)) == 2
    assert table.has_tracks
    assert not read("a,0.125,0,0,1,1").has_tracks
    assert read("a,0.125,0,0,1,1").box_kinds == frozenset()


@pytest.mark.parametrize(
    ("lines", "header", "words"),
    [
        (["a,0.1,0,0,1"], "recording_id,frame_time_seconds,x_min,y_min,x_max", "column 'y_max'"),
        (["a,0.1,0,0,320,192"], HEADER, "row 1 .* fractions of the picture"),
        (["a,0.1,0,0,1,1", "a,0.2,0.5,0,0.4,1"], HEADER, "row 2 .* 0.5, 0, 0.4, 1"),
        (["a,0.1,0,0,,1"], HEADER, "row 1"),
        (["a,0.1,0,0,1,1", "a,,0,0,1,1"], HEADER, "row 2 of .* has no frame_time_seconds"),
        (["a,soon,0,0,1,1"], HEADER, "'frame_time_seconds' of .* not made of numbers .*'soon'"),
        (
            ["a,0.1,0,0,1,1,7", "a,0.1,0,0,1,1,7"],
            f"{HEADER},track_id",
            "a track of a twice at 0.1 s",
        ),
    ],
)
def test_what_is_no_table_of_boxes_is_refused(read, lines, header, words):
    with pytest.raises(CorpusError, match=words):
        read(*lines, header=header)
