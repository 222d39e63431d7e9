"""Frames as a decoder gives them, brought to their time and upright."""

from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from avkd.stages.types import Pictures, Pixels

# The most pictures that H.264 may hold back to put them in order.
_LONGEST_REORDER = 16
GRAY16_FORMATS = ("gray16le", "gray16be")
"""Fewer bits would be spread by a factor that a range in the file's own units does not know."""

TimedFrame = tuple[float, av.VideoFrame]
"""Seconds on the recording's clock, and the frame that appears then."""


def upright(frame: av.VideoFrame, pixels: Pixels, reformatter: VideoReformatter) -> Pictures:
    """The picture of a frame (h, w, channels), turned as its camera was held."""
    num_quarter_turns = round(frame.rotation / 90) % 4
    if pixels == "gray16":
        gray = reformatter.reformat(frame, format="gray16le").to_ndarray()[..., None]
        return np.ascontiguousarray(np.rot90(gray, num_quarter_turns)).astype(np.uint16)
    rgb = reformatter.reformat(frame, format="rgb24").to_ndarray()
    return np.ascontiguousarray(np.rot90(rgb, num_quarter_turns)).astype(np.uint8, copy=False)


def stamped_in_order(frames: Iterator[av.VideoFrame], unit: float) -> Iterator[TimedFrame]:
    """AVI keeps the order of decoding only: its times are right as a set, not one by one."""
    waiting: deque[av.VideoFrame] = deque()
    stamps: list[int] = []
    first: int | None = None
    for frame in frames:
        waiting.append(frame)
        heappush(stamps, frame.pts or 0)
        if len(waiting) > _LONGEST_REORDER:
            first = stamps[0] if first is None else first
            yield (heappop(stamps) - first) * unit, waiting.popleft()
    for frame in waiting:
        first = stamps[0] if first is None else first
        yield (heappop(stamps) - first) * unit, frame
