"""What a request leaves open, settled by the store or else by the defaults of a new one."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.util import find_spec

from avkd.errors import InvalidValueError
from avkd.pipeline.extraction.pictures import StoredPictures, stored_pictures
from avkd.pipeline.extraction.policy import read_policy as read_policy
from avkd.pipeline.extraction.producers import (
    FRAMES,
    WAVEFORM,
    frames_of_size,
    stored_frames,
    stored_waveform,
)
from avkd.pipeline.extraction.request import ExtractRequest
from avkd.pipeline.extraction.vectors import is_vector
from avkd.stages.types import ClipPolicy, FrameFormat, WaveformFormat
from avkd.storage.schema import ProducerSpec, Recording
from avkd.storage.store import Store

DEFAULT_ROWS_PER_SHARD = 256
"""With waveforms of 20 s a shard is then some 200 MB (feasibility trials: 256 with waveforms)."""


def choose_policy(
    request: ExtractRequest, store: Store | None, recordings: Sequence[Recording] | None = None
) -> ClipPolicy | None:
    """Give the clip policy; None for recordings without files, one row each.

    Raises:
        InvalidValueError: the request or the recordings, and the store differ, or the decoder is
            not installed.
        UnknownNameError: of a decoder.
    """
    has_files = recordings is None or any(each.streams for each in recordings)
    if store is not None:
        _refuse_other_kind(request, store, has_files)
    if not has_files:
        _refuse_media(request)
        return None
    policy = ClipPolicy() if store is None else read_policy(store)
    assert policy is not None
    asked = {name: getattr(request, name) for name in asdict(policy)}
    if store is not None:
        for name, value in asked.items():
            _refuse_change(name, value, getattr(policy, name), store.url)
    chosen = {name: value for name, value in asked.items() if value is not None}
    return _refuse_missing_decoder(replace(policy, **chosen))


def choose_rows_per_shard(request: ExtractRequest, store: Store | None) -> int:
    """Give the rows of a shard.

    Raises:
        InvalidValueError: if the request and the store differ.
    """
    if store is None:
        return request.rows_per_shard or DEFAULT_ROWS_PER_SHARD
    _refuse_change("rows_per_shard", request.rows_per_shard, store.rows_per_shard, store.url)
    return store.rows_per_shard


def choose_waveform(
    request: ExtractRequest, store: Store | None, producers: Mapping[str, ProducerSpec]
) -> WaveformFormat | None:
    """Give the waveform to cache; a store without one may get one later.

    Raises:
        InvalidValueError: if the request and the store differ.
    """
    asked = request.inputs
    if store is not None and WAVEFORM in producers:
        stored = stored_waveform(producers[WAVEFORM])
        _refuse_change("inputs", _say_sound(asked), _say_sound(stored), store.url)
        return stored
    if asked is None:
        return WaveformFormat() if store is None else None
    return None if asked == "none" else asked


def choose_frames(
    request: ExtractRequest, store: Store | None, producers: Mapping[str, ProducerSpec]
) -> FrameFormat | None:
    """Give the pictures to cache, if any; what a store has goes on.

    Raises:
        InvalidValueError: if the request and the store differ.
    """
    asked = None if request.frames_size is None else frames_of_size(*request.frames_size)
    if store is not None and FRAMES in producers:
        stored = stored_frames(producers[FRAMES])
        _refuse_change("frames", asked and _say_size(asked), _say_size(stored), store.url)
        return stored
    return asked


def choose_pictures(
    request: ExtractRequest, store: Store | None, producers: Mapping[str, ProducerSpec]
) -> tuple[StoredPictures, ...]:
    """Give the pictures of streams to cache; what a store has goes on.

    Raises:
        InvalidValueError: if the request and the store differ.
    """
    found = (stored_pictures(spec) for spec in producers.values())
    chosen = {each.name: each for each in found if each is not None}
    for asked in request.pictures:
        if store is not None and asked.name in chosen:
            _refuse_change(
                asked.name, _say_pictures(asked), _say_pictures(chosen[asked.name]), store.url
            )
        chosen[asked.name] = asked
    return tuple(chosen.values())


def choose_vectors(
    request: ExtractRequest, producers: Mapping[str, ProducerSpec]
) -> tuple[str, ...]:
    """Give the columns to store as inputs: those that are asked for, and those of the store."""
    stored = (name for name, spec in producers.items() if is_vector(spec))
    return tuple(dict.fromkeys((*stored, *request.vectors)))


def _refuse_missing_decoder(policy: ClipPolicy) -> ClipPolicy:
    """PyAV is everywhere; for some machines there is no decord."""
    if policy.decoder == "decord" and find_spec("decord") is None:
        raise InvalidValueError(
            "decoder decord is not installed here; begin a store with --decoder pyav, or extract "
            "where decord is"
        )
    return policy


def _refuse_other_kind(request: ExtractRequest, store: Store, has_files: bool) -> None:
    if has_files and read_policy(store) is None:
        raise InvalidValueError(
            f"{request.corpus} names files, but the recordings of {store.url} have none and are "
            "one row each; begin another store"
        )
    if not has_files and read_policy(store) is not None:
        raise InvalidValueError(
            f"{request.corpus} names no files, but {store.url} holds clips of files; "
            "name the files in a column, or begin another store"
        )


def _refuse_media(request: ExtractRequest) -> None:
    """Refuse what asks for pictures, sound or their cutting where there are no files."""
    asked = {name: getattr(request, name) for name in asdict(ClipPolicy())}
    asked |= {"frames_size": request.frames_size, "inputs": request.inputs}
    asked |= {"pictures": ", ".join(map(_say_pictures, request.pictures)) or None}
    asked |= {"class_maps": ", ".join(each.name for each in request.class_maps) or None}
    for name, value in asked.items():
        if value not in (None, "none"):
            raise InvalidValueError(
                f"{name} {value} needs recordings with files, but {request.corpus} names none: "
                "each of its recordings is one row; leave it out"
            )


def _say_sound(asked: WaveformFormat | str | None) -> str | None:
    if not isinstance(asked, WaveformFormat):
        return asked
    is_all = asked.channels == "all"
    kept = f"num_channels {asked.num_channels}" if is_all else f"channels {asked.channels}"
    return f"at {asked.sample_rate} Hz with {kept}"


def _say_pictures(pictures: StoredPictures) -> str:
    width, height = pictures.size
    limits = "".join(f":{limit:g}" for limit in pictures.value_range or ())
    return f"{pictures.stream}{limits}@{width}x{height}"


def _say_size(frames: FrameFormat) -> str:
    return f"{frames.width}x{frames.height}"


def _refuse_change(name: str, asked: object, stored: object, url: str) -> None:
    if asked is not None and asked != stored:
        raise InvalidValueError(
            f"{name} {asked} differs from {stored} of the store {url}; leave it out, or begin "
            "another store"
        )
