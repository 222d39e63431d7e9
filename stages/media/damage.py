"""What is damaged in a recording, and when, so that each clip answers for its own."""

from typing import Any

from av.container import InputContainer
from av.packet import Packet

# Between packets lie some tens of bytes, a new cluster's header included.
_LARGEST_HEADERS = 2048


class DamageLog:
    """Times on the recording's clock; noting one twice, after a jump back, changes nothing."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._damaged: set[float] = set()
        self._keys: set[float] = {0.0}

    def note(self, seconds: float) -> None:
        """Note a packet that could not be decoded, or a picture that is whole in part only."""
        self._damaged.add(seconds)

    def note_key(self, seconds: float) -> None:
        """Note a picture that leans on none before it."""
        self._keys.add(seconds)

    def has_any(self) -> bool:
        """Whether any damage was noted."""
        return bool(self._damaged)

    def take_in(self, other: "DamageLog") -> None:
        """Note all that another log knows of."""
        self._damaged |= other._damaged
        self._keys |= other._keys

    def count(self, first_seconds: float, last_seconds: float) -> int:
        """Count what spoils the pictures of a span: damage from the last key picture before it on.

        The count does not depend on what was read before. Spans ascend: what lies before one is
        forgotten.
        """
        since = max((key for key in self._keys if key <= first_seconds), default=0.0)
        self._keys = {key for key in self._keys if key >= since}
        self._damaged = {seconds for seconds in self._damaged if seconds >= since}
        return sum(seconds <= last_seconds for seconds in self._damaged)


class HoleWatch:
    """Looks for bytes in the middle of a Matroska file that belong to no packet.

    FFmpeg skips what it cannot read without a word, and pictures and sound of that time are gone.
    MP4 has a table of all its packets, and MPEG-TS counts them; there a loss is noticed elsewhere.
    """

    def __init__(self, container: InputContainer) -> None:
        """Begin before the first packet, or where a jump landed."""
        self._is_matroska = container.format.name.startswith("matroska")
        self._block = -1
        self._end: int | None = None

    def is_before(self, packet: "Packet[Any]") -> bool:
        """Whether bytes are lost between a packet and the one before it, of all streams."""
        if not self._is_matroska or packet.pos is None or packet.pos < 0 or not packet.size:
            return False
        if packet.pos == self._block:
            # One of the packets that share a block, one behind the other.
            self._end = None if self._end is None else self._end + packet.size
            return False
        lost = self._end is not None and packet.pos - self._end > _LARGEST_HEADERS
        self._block = packet.pos
        # Nobody says how long it is what came with a picture (its transparency, mostly).
        has_more = packet.has_sidedata("matroska_block_additional")
        self._end = None if has_more else max(self._end or 0, packet.pos + packet.size)
        return lost
