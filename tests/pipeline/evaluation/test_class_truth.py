from pathlib import Path

import numpy as np
import pytest

from avkd.errors import CorpusError
from avkd.pipeline.evaluation.class_truth import (
    class_map_format,
    read_class_maps,
    read_class_truth,
)

HEAD = "recording_id,classes,class_names"


def write(tmp_path: Path, *rows: str, head: str = HEAD) -> str:
    table = tmp_path / "classes.csv"
    table.write_text("\n".join((head, *rows)) + "\n")
    return str(table)


def test_a_table_gives_files_by_recording_and_names_by_number(tmp_path: Path) -> None:
    source = write(tmp_path, 'a,maps/a.mkv,"road, car"', 'b,maps/b.mkv,"road, car"')
    truth = read_class_truth(source, ["a", "b", "c"])
    assert truth.class_names == ("road", "car")
    assert truth.recordings["b"].streams == {"classes": str(tmp_path / "maps/b.mkv")}


def test_a_row_without_a_file_is_of_no_recording_with_truth(tmp_path: Path) -> None:
    source = write(
        tmp_path,
        'a,a.mp4,a.mkv,"x,y"',
        'b,b.mp4,,"x,y"',
        head="recording_id,rgb,classes,class_names",
    )
    assert {*read_class_truth(source).recordings} == {"a"}


@pytest.mark.parametrize(
    ("rows", "head", "words"),
    [
        (('z,z.mkv,"x,y"',), HEAD, "1 recording that the corpus does not have, the first 'z'"),
        (('a,a.mkv,"x,y"', 'b,b.mkv,"y,x"'), HEAD, "must be the same in every row"),
        (('a,a.mkv,"x,x"',), HEAD, "not the 2 to 255 distinct names"),
        (("a,a.mkv,x",), HEAD, "not the 2 to 255 distinct names"),
        (("a,a.mkv",), "recording_id,classes", "not the 2 to 255 distinct names"),
        (("a,a.mp4",), "recording_id,rgb", "names no class maps"),
    ],
)
def test_a_table_that_tells_no_classes_is_refused_in_one_line(
    tmp_path: Path, rows: tuple[str, ...], head: str, words: str
) -> None:
    with pytest.raises(CorpusError, match=words) as caught:
        read_class_truth(write(tmp_path, *rows, head=head), ["a", "b"])
    assert "\n" not in str(caught.value)


def test_maps_hold_known_classes_and_what_counts_for_nothing() -> None:
    decoded = np.array([[0, 2, 255]], np.uint16)[None, ..., None]
    maps = read_class_maps(decoded, 3, "m.mkv")
    assert maps.dtype == np.uint8
    assert maps.tolist() == [[[0, 2, 255]]]
    for wrong in (3, 254, 300, 256):
        with pytest.raises(CorpusError, match=f"m.mkv: a pixel is of class {wrong}, but there"):
            read_class_maps(np.full_like(decoded, wrong), 3, "m.mkv")


def test_maps_are_scaled_without_making_classes_up() -> None:
    wanted = class_map_format((64, 32))
    assert (wanted.width, wanted.height, wanted.resampling) == (64, 32, "nearest")
    assert (wanted.fit, wanted.pixels) == ("stretch", "gray16")
