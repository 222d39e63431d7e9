"""What a decode child does with a request."""

import os
from collections.abc import Mapping
from typing import Any, BinaryIO

import av.logging

from avkd.errors import MediaError
from avkd.stages.media.clips import decode_clips
from avkd.stages.media.limits import impose_limits, lack_of_memory
from avkd.stages.media.local_files import local_file
from avkd.stages.media.probe import probe
from avkd.stages.media.progress import tell_progress_to
from avkd.stages.media.shared_region import given_region, write_into
from avkd.stages.media.unreadable import in_a_line, shown
from avkd.stages.media.wire import (
    decode_job,
    decode_limits,
    encode_clip,
    encode_probe,
    write_message,
)
from avkd.stages.types import MediaInfo


def greet(replies: BinaryIO) -> None:
    """Tell the parent that everything is imported and requests are welcome."""
    av.logging.set_level(av.logging.PANIC)
    write_message(replies, {"pid": os.getpid()})


def answer(request: Mapping[str, Any], replies: BinaryIO) -> None:
    """Write the replies to one request: one a clip, one for a probe, none for limits."""
    if request["kind"] == "limits":
        impose_limits(decode_limits(request))
        if request.get("region"):
            write_into(*request["region"])
        return
    tell_progress_to(replies)
    if request["kind"] == "probe":
        write_message(replies, encode_probe(_probe(request["path"])))
        return
    for clip in decode_clips(decode_job(request)):
        write_message(replies, *encode_clip(clip), given_region())


def _probe(uri: str) -> MediaInfo | MediaError:
    try:
        with local_file(uri) as path:
            return probe(path)
    except MediaError as error:
        return error
    except MemoryError:
        return MediaError("decode_error", f"{shown(uri)}: {lack_of_memory()}")
    # FFmpeg's bindings may raise anything on a hostile file: it costs the file, not the run.
    except Exception as error:
        return MediaError("decode_error", f"{shown(uri)}: {in_a_line(error)}")
