"""What the container of a recording declares, without decoding it."""

from dataclasses import replace

from av.container import InputContainer
from av.stream import Stream

from avkd.errors import MediaError
from avkd.stages.media.container import (
    audio_stream,
    open_container,
    video_stream,
)
from avkd.stages.media.lengths import declared_riff_seconds, measured_end_seconds
from avkd.stages.media.limits import limits_in_force
from avkd.stages.media.unreadable import shown
from avkd.stages.types import MediaInfo

_MICROSECOND = 1e-6

# Formats without a duration of their own: FFmpeg guesses one from the bit rate.
_GUESSED_DURATION = frozenset({"mp3", "aac", "ac3", "eac3", "h264", "hevc", "m4v", "mpegvideo"})


def probe(path: str) -> MediaInfo:
    """Tell how long a local file says it is and what streams it has.

    A duration that the container does not declare is measured by reading its packets.

    Raises:
        MediaError: ``decode_error`` for what is no media file, has neither pictures nor sound, or
            says that it is longer than the limit.
    """
    with open_container(path) as container:
        info = describe(container)
    if not info.has_video and not info.has_audio:
        raise MediaError("decode_error", f"{shown(path)}: neither pictures nor sound in this file")
    refuse_long_duration(info.duration_seconds, f"{shown(path)} declares")
    if info.duration_seconds > 0:
        return info
    return _with_duration(info, measured_end_seconds(path), path)


def refuse_long_duration(seconds: float, who: str) -> None:
    """Refuse a recording that is longer than the limit by what ``who`` is told to say.

    Raises:
        MediaError: ``decode_error``.
    """
    longest = limits_in_force().duration_seconds
    if seconds > longest:
        raise MediaError("decode_error", f"{who} {seconds:.6g} s, over the limit of {longest:g} s")


def describe(container: InputContainer) -> MediaInfo:
    """What an open container declares; a duration of 0 where it declares none to rely on."""
    video, audio = video_stream(container), audio_stream(container)
    guessed = container.format.name in _GUESSED_DURATION
    return MediaInfo(
        duration_seconds=0.0 if guessed else _declared_seconds(container, video, audio),
        has_video=video is not None,
        has_audio=audio is not None,
        width=video.codec_context.width if video else 0,
        height=video.codec_context.height if video else 0,
        frame_rate=float(video.average_rate or 0) if video else 0.0,
        sample_rate=audio.codec_context.sample_rate if audio else 0,
        num_channels=audio.codec_context.layout.nb_channels if audio else 0,
    )


def _declared_seconds(container: InputContainer, *streams: Stream | None) -> float:
    riff = (declared_riff_seconds(container, stream) for stream in streams if stream)
    return max(0.0, (container.duration or 0) * _MICROSECOND, *filter(None, riff))


def _with_duration(info: MediaInfo, duration_seconds: float, path: str) -> MediaInfo:
    if duration_seconds <= 0:
        raise MediaError("decode_error", f"{shown(path)}: no packet with a time in it can be read")
    return replace(info, duration_seconds=duration_seconds)
