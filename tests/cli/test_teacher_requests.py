from collections.abc import Sequence

import pytest

from avkd.cli.teacher_requests import parse_teachers
from avkd.errors import AvkdError, InvalidValueError
from avkd.stages.teachers.request import TeacherRequest

OPTIONS = ("--weights", "--classes", "--stream", "--picture-size", "--maps", "--per", "--views")


def parse(*names: str, map_channels: int = 0, **texts: Sequence[str]) -> dict[str, TeacherRequest]:
    given = {option: texts.get(option[2:].replace("-", "_"), ()) for option in OPTIONS}
    teachers = parse_teachers(
        names,
        given,
        map_channels=map_channels,
        runtime="auto",
        device="auto",
        precision="float32",
        batch_size=8,
    )
    return {teacher.name: teacher for teacher in teachers}


def test_each_teacher_gets_what_is_said_of_it() -> None:
    teachers = parse(
        "rgb=timm/resnet18",
        "heat=x/y",
        weights=["rgb=random"],
        stream=["heat=thermal:21800:25000"],
        picture_size=["heat=64x32"],
        maps=["heat=attention,features_1"],
        map_channels=16,
    )
    assert teachers["rgb"] == TeacherRequest(
        name="rgb", family="timm/resnet18", weights="random", batch_size=8
    )
    heat = teachers["heat"]
    assert (heat.stream, heat.value_range) == ("thermal", (21_800.0, 25_000.0))
    assert (heat.picture_size, heat.maps) == ((64, 32), ("attention", "features_1"))
    assert heat.map_channels == 16


def test_a_stream_without_a_range_is_of_8_bit_pictures() -> None:
    depth = parse("d=x", stream=["d=depth"])["d"]
    assert (depth.stream, depth.value_range) == ("depth", None)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"stream": ["t=depth:1"]}, "range '1' is not LOW:HIGH"),
        ({"stream": ["t=depth:0:far"]}, "range '0:far' is not LOW:HIGH"),
        ({"stream": ["t=depth:nan:1"]}, "range 'nan:1' is not LOW:HIGH"),
        ({"stream": ["t=depth:9:3"]}, "the range 9 to 3 of teacher 't' is empty"),
        ({"stream": ["t=radar"]}, "unknown stream of pictures 'radar'"),
        ({"stream": ["other=rgb"]}, "--stream 'other=rgb' is not NAME=STREAM with a teacher"),
        ({"maps": ["features_0"]}, "--maps 'features_0' is not NAME=MAP,MAP"),
        ({"picture_size": ["t=64"]}, "--picture-size '64' is not WIDTHxHEIGHT"),
        ({"picture_size": ["t=0x4"]}, "must be 1 pixel or more"),
        ({"weights": ["t=a.pt", "t=b.pt"]}, "--weights 't=b.pt': 't' was given one before"),
    ],
)
def test_what_cannot_be_read_is_refused(texts: dict[str, list[str]], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        parse("t=x", **texts)


def test_channels_of_maps_that_nobody_stores_are_refused() -> None:
    with pytest.raises(AvkdError, match="--map-channels 8 projects feature maps, but no teacher"):
        parse("t=x", maps=["t=attention"], map_channels=8)
    with pytest.raises(InvalidValueError, match="map_channels -1 must be 0 or more"):
        parse("t=x", maps=["t=features_0"], map_channels=-1)


def test_one_thing_a_clip_and_views_are_for_the_teacher_that_is_named() -> None:
    teachers = parse("a=x", "b=y", per=["a=clip"], views=["b=8"])
    assert (teachers["a"].per, teachers["a"].views) == ("clip", 0)
    assert (teachers["b"].per, teachers["b"].views) == ("", 8)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"per": ["a=frame"]}, "--per a=frame is neither step nor clip"),
        ({"views": ["a=0"]}, "--views '0' is no number of views"),
        ({"views": ["a=many"]}, "--views 'many' is no number of views"),
        ({"views": ["c=2"]}, "--views 'c=2' is not NAME=NUMBER"),
    ],
)
def test_units_and_views_that_are_none_are_refused(
    given: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(InvalidValueError, match=message):
        parse("a=x", **given)


def test_trust_and_compiling_reach_the_teachers() -> None:
    teachers = parse_teachers(
        ["a=a.toml", "b=b.toml"],
        dict.fromkeys(OPTIONS, ()),
        map_channels=0,
        runtime="auto",
        device="auto",
        precision="float32",
        batch_size=8,
        is_compiled=True,
        trusted=["b"],
    )
    assert [teacher.is_trusted for teacher in teachers] == [False, True]
    assert all(teacher.is_compiled for teacher in teachers)


def test_trust_in_a_teacher_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="unknown teacher to --trust 'birds'"):
        parse_teachers(
            ["bird=bird.toml"],
            dict.fromkeys(OPTIONS, ()),
            map_channels=0,
            runtime="auto",
            device="auto",
            precision="float32",
            batch_size=8,
            trusted=["birds"],
        )
