import pytest

from avkd.cli.stored_pictures import parse_class_map, parse_frames
from avkd.errors import InvalidValueError, UnknownNameError
from avkd.pipeline.extraction.pictures import StoredClassMaps, StoredPictures


def test_a_plain_size_is_that_of_the_pictures_there_ever_were():
    assert parse_frames(()) == (None, ())
    assert parse_frames(("64x48",)) == ((64, 48), ())


def test_streams_come_with_their_sizes_and_ranges():
    size, pictures = parse_frames(("rgb@64x48", "32x24", "depth:0:6000@64x48"))
    assert size == (32, 24)
    assert pictures == (
        StoredPictures(stream="rgb", size=(64, 48)),
        StoredPictures(stream="depth", size=(64, 48), value_range=(0.0, 6000.0)),
    )


def test_class_maps_come_with_a_name_a_column_and_a_size():
    expected = StoredClassMaps(name="truth", stream="classes", size=(64, 48))
    assert parse_class_map("truth=classes@64x48") == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("depth@64", "--frames '64' is not WIDTHxHEIGHT"),
        ("depth:1@64x48", "--frames range '1' is not LOW:HIGH"),
        ("sonar@64x48", "stream of pictures 'sonar'"),
    ],
)
def test_pictures_that_cannot_be_read_are_told(text, words):
    with pytest.raises((InvalidValueError, UnknownNameError), match=words):
        parse_frames((text,))


def test_two_plain_sizes_are_refused_with_a_way_out():
    with pytest.raises(InvalidValueError, match=r"gives two sizes, 8x4 and 9x4; .*rgb@9x4"):
        parse_frames(("8x4", "9x4"))


@pytest.mark.parametrize("text", ["truth", "truth=classes", "classes@64x48", "truth=@64x48"])
def test_class_maps_that_cannot_be_read_are_told(text):
    with pytest.raises(InvalidValueError, match="such as truth=classes@64x48"):
        parse_class_map(text)
