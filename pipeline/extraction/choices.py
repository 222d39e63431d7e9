"""What a request leaves open, settled by the store or else by the defaults of a new one."""

from collections.abc import Mapping
from dataclasses import asdict

from avkd.errors import InvalidValueError
from avkd.pipeline.extraction.producers import WAVEFORM, stored_waveform
from avkd.pipeline.extraction.request import ExtractRequest
from avkd.stages.types import ClipPolicy, WaveformFormat
from avkd.storage.schema import ProducerSpec
from avkd.storage.store import Store

DEFAULT_ROWS_PER_SHARD = 256
"""With waveforms of 20 s a shard is then some 200 MB (feasibility trials: 256 with waveforms)."""


def choose_policy(request: ExtractRequest, store: Store | None) -> ClipPolicy:
    """Give the clip policy.

    Raises:
        InvalidValueError: if the request and the store differ.
    """
    stored = asdict(ClipPolicy()) if store is None else dict(store.clip_policy)
    chosen: dict[str, object] = {}
    for name, value in stored.items():
        asked = getattr(request, name)
        if store is not None:
            _refuse_change(name, asked, value, store.url)
        chosen[name] = value if asked is None else asked
    return ClipPolicy(**chosen)  # type: ignore[arg-type]


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
        _refuse_change("inputs", asked, stored, store.url)
        return stored
    if asked is None:
        return WaveformFormat() if store is None else None
    return None if asked == "none" else asked


def _refuse_change(name: str, asked: object, stored: object, url: str) -> None:
    if asked is not None and asked != stored:
        raise InvalidValueError(
            f"{name} {asked} differs from {stored} of the store {url}; leave it out, or begin "
            "another store"
        )
