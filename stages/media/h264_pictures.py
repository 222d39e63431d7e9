"""What the slices of H.264 tell of pictures: in what order they appear, and which nobody leans on.

After ITU-T H.264, 7.3 (the notation), 7.4.3 (``frame_num``) and 8.2.1.1 (the order of pictures).
Where anything is not as a plain encoder writes it, nothing is told.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_SLICE, _WHOLE_SLICE = 1, 5
_SLICES = (_SLICE, _WHOLE_SLICE)
# Of sequences and of pictures (SPS, PPS).
_DESCRIPTIONS = (7, 8)
_PROFILES_WITH_CHROMA = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)
_APART_CHROMA = 3
_BARE = {_SLICE}
# More than the fields that are read of a slice.
_HEADER_BYTES = 24
# The most pictures that a decoder may hold back to put them in order.
_LONGEST_REORDER = 16


class CodedPicture(NamedTuple):
    """A packet of H.264."""

    is_whole: bool
    """Needs no other (IDR)."""
    is_leaned_on: bool
    is_bare: bool
    """Holds slices of a picture that nobody leans on, and nothing else."""
    number: int
    """Of the pictures before it that others lean on, modulo ``num_numbers``."""
    num_numbers: int
    order: int
    """When it appears, modulo ``num_orders``."""
    num_orders: int


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureOrder:
    """The pictures of a file, in the order in which they appear."""

    pts: npt.NDArray[np.int64]
    """Ascending, in the container's units."""
    is_needed: npt.NDArray[np.bool_]
    """False where a decoder gives all others without it as with it."""


class H264Look:
    """Reads packets as MP4 and Matroska keep them, one after the other."""

    def __init__(self, number_bits: int, order_bits: int, descriptions: Sequence[bytes]) -> None:
        """Read slices by these descriptions: their numbers have so many bits."""
        self._number_bits = number_bits
        self._order_bits = order_bits
        # Made once, for there are many pictures.
        self._num_numbers, self._num_orders = 1 << number_bits, 1 << order_bits
        self._descriptions = descriptions

    def read(self, packet: memoryview) -> CodedPicture | None:
        """What a packet tells; None if it holds no plain picture, or describes others anew."""
        kinds, first = set(), None
        place = 0
        while place + 4 < len(packet):
            end = place + 4 + int.from_bytes(packet[place : place + 4], "big")
            place += 4
            if place < end:
                kind = packet[place]
                kinds.add(kind)
                if first is None and kind & 31 in _SLICES:
                    first = bytes(packet[place : min(end, place + _HEADER_BYTES)])
                elif kind & 31 in _DESCRIPTIONS and packet[place:end] not in self._descriptions:
                    return None
            place = end
        if first is None or place != len(packet):
            return None
        if len(kinds) > 1 and sum(kind & 31 in _SLICES for kind in kinds) > 1:
            return None
        try:
            return self._read_slice(first, is_bare=kinds == _BARE)
        except IndexError:
            return None

    def _read_slice(self, unit: bytes, *, is_bare: bool) -> CodedPicture | None:
        bits = _Bits(unit)
        begins_late, _, _ = bits.golomb(), bits.golomb(), bits.golomb()
        number = bits.take(self._number_bits)
        is_whole = unit[0] & 31 == _WHOLE_SLICE
        if is_whole:
            bits.golomb()
        order = bits.take(self._order_bits)
        if begins_late:
            return None
        return CodedPicture(
            is_whole=is_whole,
            is_leaned_on=bool(unit[0] >> 5),
            is_bare=is_bare,
            number=number,
            num_numbers=self._num_numbers,
            order=order,
            num_orders=self._num_orders,
        )


def look_at_h264(header: bytes) -> H264Look | None:
    """Prepare for the packets of a stream by its header (``avcC``).

    None where pictures may be fields, or are ordered otherwise than by numbers of their own.
    """
    try:
        descriptions = list(_descriptions(header))
        whole = [unit for unit in descriptions if unit[0] & 31 == 7]
        if len(whole) != 1 or not all(_is_plain(u) for u in descriptions if u[0] & 31 == 8):
            return None
        return _read_description(_Bits(whole[0]), descriptions)
    except IndexError:
        return None


def _descriptions(header: bytes) -> Iterator[bytes]:
    """The units of a header, each after its length in two bytes."""
    if header[0] != 1 or header[4] & 3 != 3:
        raise IndexError("not avcC with lengths of four bytes")
    place = 5
    for mask in (31, 255):
        count = header[place] & mask
        place += 1
        for _ in range(count):
            length = int.from_bytes(header[place : place + 2], "big")
            yield header[place + 2 : place + 2 + length]
            place += 2 + length


def _is_plain(description: bytes) -> bool:
    """Whether pictures by it tell one time each, not one for each field."""
    bits = _Bits(description)
    bits.golomb()
    bits.golomb()
    return not bits.take(2) & 1


def _read_description(bits: "_Bits", descriptions: Sequence[bytes]) -> H264Look | None:
    profile = bits.take(24) >> 16
    bits.golomb()
    if profile in _PROFILES_WITH_CHROMA:
        is_apart = bits.golomb() == _APART_CHROMA
        bits.golomb()
        bits.golomb()
        has_scaling = bits.take(2) & 1
        if is_apart or has_scaling:
            return None
    number_bits, order_kind = bits.golomb() + 4, bits.golomb()
    if order_kind:
        return None
    order_bits = bits.golomb() + 4
    bits.golomb()
    has_gaps = bits.take(1)
    bits.golomb()
    bits.golomb()
    is_frames = bits.take(1)
    if has_gaps or not is_frames or max(number_bits, order_bits) > 16:
        return None
    return H264Look(number_bits, order_bits, descriptions)


def order_pictures(
    pictures: Sequence[CodedPicture | None], pts: Sequence[int], reorder_depth: int
) -> PictureOrder | None:
    """Lay out the pictures of a file, given in the order of decoding.

    None where all are needed, and unless each has a time of its own, these are in the order that
    the pictures tell, no picture that others lean on is missing, and a decoder that holds
    ``reorder_depth`` pictures back gives all of them in order.
    """
    times = np.array(pts, dtype=np.int64)
    keys = list(_order_keys(pictures))
    if not keys or len(keys) != len(times):
        return None
    shown = np.argsort(times, kind="stable")
    is_apart = bool((np.diff(times[shown]) > 0).all())
    if not is_apart or any(a >= b for a, b in pairwise(keys[each] for each in shown.tolist())):
        return None
    if _num_held_back(times) > reorder_depth:
        return None
    is_needed = np.array([each is None or not each.is_bare for each in pictures], dtype=bool)
    if is_needed.all():
        return None
    return PictureOrder(pts=times[shown], is_needed=is_needed[shown])


def _order_keys(pictures: Sequence[CodedPicture | None]) -> Iterator[tuple[int, int]]:
    """By what the pictures are in order; ends at one that is missing another, or says nothing."""
    sequence, number, order = 0, 0, 0
    for place, each in enumerate(pictures):
        if each is None:
            return
        if each.is_whole:
            sequence, number, order = sequence + 1, each.number, each.order
        elif not place:
            number, order = each.number, each.order
        elif each.number != (number + 1) % each.num_numbers:
            return
        # The nearest to that of the last picture that others lean on.
        half = each.num_orders // 2
        near = order + half - (half + order - each.order) % each.num_orders
        yield sequence, near
        if each.is_leaned_on:
            number, order = each.number, near


def _num_held_back(times: npt.NDArray[np.int64]) -> int:
    """The most pictures that come before one in the file and appear after it."""
    num_later = np.zeros(len(times), dtype=np.int64)
    for distance in range(1, min(len(times), 2 * _LONGEST_REORDER)):
        num_later[distance:] += times[:-distance] > times[distance:]
    return int(num_later.max(initial=0))


class _Bits:
    """The bits of a unit behind its first byte."""

    def __init__(self, unit: bytes) -> None:
        # A 3 behind two zeros is put in so that no start of a unit is met.
        content = unit[1:].replace(b"\0\0\3", b"\0\0")
        self._value = int.from_bytes(content, "big")
        self._left = 8 * len(content)

    def take(self, count: int) -> int:
        if count > self._left:
            raise IndexError("a unit is too short")
        self._left -= count
        taken = self._value >> self._left
        self._value &= (1 << self._left) - 1
        return taken

    def golomb(self) -> int:
        num_zeros = self._left - self._value.bit_length()
        return self.take(2 * num_zeros + 1) - 1
