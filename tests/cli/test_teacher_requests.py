from collections.abc import Sequence

import pytest

from avkd.cli.teacher_requests import parse_teachers
from avkd.errors import AvkdError, InvalidValueError
from avkd.stages.teachers.request import TeacherRequest

OPTIONS = ("--weights", "--classes", "--stream", "--picture-size", "--maps")


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
