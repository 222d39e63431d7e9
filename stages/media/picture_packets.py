"""What the bytes of a packet tell of its picture: whether it is a key or hidden, and of what size.

Containers call pictures keys that lean on others, or with which an encoder only begins to draw
everything anew (H.264's recovery points). And a description of the pictures that changes on the way
may be missing where one jumps past it.
"""

from collections.abc import Callable, Iterator

_H264_WHOLE, _H264_HINTS, _RECOVERY_POINT = 5, 6, 6
_HEVC_WHOLE = range(16, 22)
_H264_PARAMETERS, _HEVC_PARAMETERS, _AV1_SEQUENCE_HEADER = 7, 33, 1
_VP8_SHOWN = 16
_OF_HEADER = b"as in the header"


def is_key_picture(codec_name: str, packet: bytes) -> bool:
    """Whether nothing before a packet is needed for it, as far as its bytes tell."""
    look = _KEY_LOOKS.get(codec_name)
    return look is None or look(packet)


def is_hidden_picture(codec_name: str, packet: memoryview) -> bool:
    """Whether a picture of VP8 is never shown and only leant on."""
    return codec_name == "vp8" and bool(packet) and not packet[0] & _VP8_SHOWN


class SizeWatch:
    """Looks at packets of one stream, one after the other."""

    def __init__(self, codec_name: str, header: bytes) -> None:
        """Watch a stream of a codec (see ``can_watch``) whose container keeps ``header`` for it."""
        self._sign = _SIZE_SIGNS[codec_name]
        self._header = header if codec_name in ("h264", "hevc") else b""
        self._signs: set[bytes] = {_OF_HEADER} if self._header else set()

    @staticmethod
    def can_watch(codec_name: str) -> bool:
        """Whether packets of that codec tell the size of their pictures in a way known here."""
        return codec_name in _SIZE_SIGNS

    def has_changed(self, key_packet: bytes) -> bool:
        """Whether a packet with a key picture, or one before it, brought another size.

        Another description of the pictures counts as another size.
        """
        for sign in self._sign(key_packet):
            self._signs.add(_OF_HEADER if sign in self._header else sign)
        return len(self._signs) > 1


def _is_h264_key(packet: bytes) -> bool:
    return any(
        unit[0] & 31 == _H264_WHOLE or (unit[0] & 31 == _H264_HINTS and _recovers_at_once(unit))
        for unit in _units(packet)
    )


def _recovers_at_once(hints: bytes) -> bool:
    """Whether hints (SEI) say that from this picture on all is right."""
    place = 1
    while place + 2 < len(hints):
        kind, place = _sum_of_bytes(hints, place)
        length, place = _sum_of_bytes(hints, place)
        if kind == _RECOVERY_POINT and place < len(hints):
            # It begins with the number of pictures to go; a first bit of 1 is a 0.
            return bool(hints[place] & 128)
        place += length
    return False


def _sum_of_bytes(content: bytes, place: int) -> tuple[int, int]:
    """A number that goes on as long as its bytes are 255, and the place after it."""
    value = 0
    while place < len(content):
        value += content[place]
        place += 1
        if content[place - 1] != 255:
            break
    return value, place


def _is_hevc_key(packet: bytes) -> bool:
    return any(unit[0] >> 1 & 63 in _HEVC_WHOLE for unit in _units(packet))


def _is_vp8_key(packet: bytes) -> bool:
    return bool(packet) and not packet[0] & 1


def _is_vp9_key(packet: bytes) -> bool:
    # Two bits that are 10, two of the profile, one for a picture that is only shown again.
    return bool(packet) and packet[0] >> 6 == 2 and not packet[0] & 12


def _h264_sign(packet: bytes) -> Iterator[bytes]:
    return (unit for unit in _units(packet) if unit[0] & 31 == _H264_PARAMETERS)


def _hevc_sign(packet: bytes) -> Iterator[bytes]:
    return (unit for unit in _units(packet) if unit[0] >> 1 & 63 == _HEVC_PARAMETERS)


def _units(packet: bytes) -> Iterator[bytes]:
    """The units of a packet, each after its length in four bytes, as MP4 and Matroska keep them."""
    place = 0
    while place + 4 < len(packet):
        length = int.from_bytes(packet[place : place + 4], "big")
        if length:
            yield packet[place + 4 : place + 4 + length]
        place += 4 + length


def _vp8_sign(packet: bytes) -> Iterator[bytes]:
    # Three bytes of flags, three of a start code, then width and height.
    yield packet[6:10]


def _vp9_sign(packet: bytes) -> Iterator[bytes]:
    # Of 8-bit 4:2:0: a byte of flags, three of a start code, four bits of colour, width and height.
    if len(packet) > 8:
        yield bytes([packet[4] & 15, *packet[5:8], packet[8] & 240])


def _av1_sign(packet: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(packet):
        header = packet[place]
        if not header & 2:  # without a length of its own it is the last
            return
        start = place + (2 if header & 4 else 1)
        length, num_bytes = _leb128(packet, start)
        unit = packet[start + num_bytes : start + num_bytes + length]
        if header >> 3 & 15 == _AV1_SEQUENCE_HEADER:
            yield unit
        place = start + num_bytes + length


def _leb128(packet: bytes, start: int) -> tuple[int, int]:
    value = 0
    for number, byte in enumerate(packet[start : start + 8]):
        value |= (byte & 127) << 7 * number
        if not byte & 128:
            return value, number + 1
    return value, 8


_KEY_LOOKS: dict[str, Callable[[bytes], bool]] = {
    "h264": _is_h264_key,
    "hevc": _is_hevc_key,
    "vp8": _is_vp8_key,
    "vp9": _is_vp9_key,
}
_SIZE_SIGNS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "h264": _h264_sign,
    "hevc": _hevc_sign,
    "vp8": _vp8_sign,
    "vp9": _vp9_sign,
    "av1": _av1_sign,
    "libdav1d": _av1_sign,
}
