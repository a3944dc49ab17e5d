"""The directories of a TIFF structure (TIFF 6.0, BigTIFF), which is what EXIF is written in."""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from photo_pipeline.imaging.blocks import BrokenContainerError

MAX_TAGS: Final = 4096
"""A camera writes some hundred; bounds the work on a forged structure."""
MAX_DIRECTORIES: Final = 64
SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8,
                13: 4, 16: 8, 17: 8, 18: 8, 129: 1}  # fmt: skip
"""Bytes of a value by type; 129 is the UTF-8 of Exif 3.0."""
SHORT: Final = 3
LONG: Final = 4
IFD: Final = 13
BIG: Final = 43  # the magic number of BigTIFF, with places of 64 bits
EXIF_IFD: Final = 0x8769
GPS_IFD: Final = 0x8825
INTEROP_IFD: Final = 0xA005
SUB_IFDS: Final = 0x014A
POINTERS: Final = frozenset({EXIF_IFD, GPS_IFD, INTEROP_IFD, SUB_IFDS})
_NAMES: Final = {EXIF_IFD: "exif", GPS_IFD: "gps", INTEROP_IFD: "interop", SUB_IFDS: "1"}


class Tag(NamedTuple):
    """An entry of a directory: where it stands, its number, and its value as bytes."""

    directory: str
    number: int
    type: int
    value: bytes


class Directories:
    """Reads one TIFF structure; ``used`` are the places that its directories account for."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._order = {b"II": "<", b"MM": ">"}.get(data[:2], "")
        if not self._order:
            raise BrokenContainerError("no byte order")
        (magic,) = self._unpack("H", 2)
        self.big = magic == BIG
        self.used = [(0, 16 if self.big else 8)]

    @property
    def order(self) -> str:
        """The byte order, as ``struct`` writes it."""
        return self._order

    def _unpack(self, format_: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(self._order + format_, self._data, at)

    def tags(self) -> Iterator[Tag]:
        """Yield every tag of every directory, bounded, each directory once."""
        (first,) = self._unpack("Q", 8) if self.big else self._unpack("I", 4)
        waiting, seen, count = [("0", first)], {0}, 0
        while waiting:
            name, at = waiting.pop()
            if at in seen:
                continue
            seen.add(at)
            if len(seen) > MAX_DIRECTORIES:
                raise BrokenContainerError("too many directories")
            entries, following = self._directory(at)
            if following and name in {"0", "1"}:
                waiting.append(("1", following))
            for number, type_, value in entries:
                count += 1
                if count > MAX_TAGS:
                    raise BrokenContainerError("too many tags")
                if number in POINTERS:
                    waiting += [(_NAMES[number], offset) for offset in self.numbers(type_, value)]
                yield Tag(name, number, type_, value)

    def _directory(self, at: int) -> tuple[list[tuple[int, int, bytes]], int]:
        (count,) = self._unpack("Q" if self.big else "H", at)
        start = at + (8 if self.big else 2)
        size, inline = (20, 8) if self.big else (12, 4)
        if count > MAX_TAGS:
            raise BrokenContainerError("too many tags")
        entries = []
        for place in range(start, start + count * size, size):
            number, type_, values = self._unpack("HHQ" if self.big else "HHI", place)
            length = values * SIZES.get(type_, 1)
            value_at = place + size - inline
            if length > inline:
                (value_at,) = self._unpack("Q" if self.big else "I", value_at)
                self.used.append((value_at, value_at + length))
            # A slice never fails: a value that lies outside of the structure is cut, or empty.
            entries.append((number, type_, self._data[value_at : value_at + length]))
        end = start + count * size
        (following,) = self._unpack("Q" if self.big else "I", end)
        self.used.append((at, end + (8 if self.big else 4)))
        return entries, following

    def numbers(self, type_: int, value: bytes) -> tuple[int, ...]:
        """Return a value of integers; none if it is of another type."""
        code = {SHORT: "H", LONG: "I", IFD: "I", 16: "Q", 18: "Q"}.get(type_)
        if code is None:
            return ()
        count = min(len(value) // struct.calcsize(code), MAX_DIRECTORIES)
        return struct.unpack_from(f"{self._order}{count}{code}", value)

    def unaccounted(self) -> int:
        """Return how many bytes other than zero no directory points to."""
        rest, at = 0, 0
        for start, end in sorted(self.used):
            rest += len(self._data[at:start].strip(b"\0"))
            at = max(at, end)
        return rest + len(self._data[at:].strip(b"\0"))
