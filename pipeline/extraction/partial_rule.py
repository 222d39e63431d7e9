"""What becomes of clips that could be decoded in part only: kept, dropped, or dropped and told.

It belongs to no fingerprint: rows that were dropped stay so until their clips are tried again.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, TypeAlias

from avkd.errors import TooManyFailuresError
from avkd.pipeline.report.numbers import counted
from avkd.stages.types import DecodedClip, DecodedSound
from avkd.storage.store import Store

PartialRule: TypeAlias = Literal["keep", "drop", "fail"]
"""``fail`` drops as well, and the run ends with exit code 7 when all is committed."""

_DROPPED = "partial, and dropped: "
"""Begins the stored reason of what was dropped, behind the names of trained teachers' inputs."""


def apply_partial_rule(clip: DecodedClip, rule: PartialRule) -> DecodedClip:
    """Take away the pictures, and the sound, that are there in part only, unless they are kept."""
    if rule == "keep":
        return clip
    if clip.frames_status == "partial":
        reason = _dropped(clip.frames_reason)
        clip = replace(clip, frames_status="skipped", frames_reason=reason, frames={}, num_frames=0)
    if clip.waveform_status == "partial":
        reason = _dropped(clip.waveform_reason)
        clip = replace(clip, waveform_status="skipped", waveform_reason=reason, waveform=None)
    more = {name: _drop_partial(sound) for name, sound in clip.more_sound.items()}
    return replace(clip, more_sound=more)


def refuse_partial(
    store: Store, status: Mapping[str, Mapping[str, int]], rule: PartialRule
) -> None:
    """End a run that was told to fail where clips are there in part only.

    Args:
        store: that holds all of the run.
        status: by producer, its clips by status.
        rule: of the run.

    Raises:
        TooManyFailuresError: there is such a clip; the first is named.
    """
    if rule != "fail":
        return
    for name, counts in status.items():
        if not (counts.get("partial") or counts.get("skipped")):
            continue
        if incomplete := _find_incomplete(store, name):
            raise TooManyFailuresError(
                f"{counted(len(incomplete), 'clip')} of {name} could be decoded in part only, the "
                f"first {_say_first(store, incomplete)}; all is committed, and --on-partial keep "
                "would have stored what there is"
            )


def _drop_partial(sound: DecodedSound) -> DecodedSound:
    if sound.status != "partial":
        return sound
    return DecodedSound(status="skipped", reason=_dropped(sound.reason))


def _dropped(reason: str) -> str:
    return f"{_DROPPED}{reason}"


def _find_incomplete(store: Store, name: str) -> Mapping[int, str]:
    """Give the reason of each row that counts; clips are ``skipped`` for other reasons as well."""
    superseded = store.superseded_rows(name)
    return {
        row: reason
        for commit in store.commits(name)
        for row, (status, reason) in commit.failures.items()
        if (status == "partial" or (status == "skipped" and _DROPPED in reason))
        and row not in superseded
    }


def _say_first(store: Store, incomplete: Mapping[int, str]) -> str:
    row = min(incomplete)
    clips = {clip.row: clip for clip in store.read_clips(row // store.rows_per_shard)}
    return f"{clips[row].recording_id!r} at {clips[row].start_seconds:g} s: {incomplete[row]}"
