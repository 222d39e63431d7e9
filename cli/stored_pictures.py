"""Pictures to store from what a user writes: sizes, and streams with their sizes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from avkd.cli.teacher_requests import parse_size, parse_stream
from avkd.errors import InvalidValueError

if TYPE_CHECKING:
    from avkd.pipeline.extraction.pictures import StoredClassMaps, StoredPictures


def parse_frames(
    texts: Sequence[str],
) -> "tuple[tuple[int, int] | None, tuple[StoredPictures, ...]]":
    """Read each ``WIDTHxHEIGHT``, of which there is one, or ``STREAM[:LOW:HIGH]@WIDTHxHEIGHT``.

    Raises:
        InvalidValueError: one cannot be read, or there are two plain sizes.
        UnknownNameError: there is no such stream of pictures.
    """
    from avkd.pipeline.extraction.pictures import StoredPictures

    plain = [text for text in texts if "@" not in text]
    if len(plain) > 1:
        raise InvalidValueError(
            f"--frames gives two sizes, {' and '.join(plain[:2])}; give one, or those of streams "
            f"as rgb@{plain[1]}"
        )
    pictures = []
    for text in texts:
        shown, at, size = text.rpartition("@")
        if at:
            stream, limits = parse_stream(shown, "--frames")
            pictures.append(
                StoredPictures(stream=stream, size=parse_size("--frames", size), value_range=limits)
            )
    return parse_size("--frames", plain[0]) if plain else None, tuple(pictures)


def parse_class_map(text: str) -> "StoredClassMaps":
    """Read ``NAME=COLUMN@WIDTHxHEIGHT``.

    Raises:
        InvalidValueError: it is something else.
    """
    from avkd.pipeline.extraction.pictures import StoredClassMaps

    name, equals, shown = text.partition("=")
    stream, at, size = shown.rpartition("@")
    if not (equals and at and stream):
        raise InvalidValueError(
            f"--class-map {text!r} is not NAME=COLUMN@WIDTHxHEIGHT, such as truth=classes@64x48"
        )
    return StoredClassMaps(name=name, stream=stream, size=parse_size("--class-map", size))
