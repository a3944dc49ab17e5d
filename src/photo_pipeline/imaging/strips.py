"""Decode only some rows of a JPEG that has a restart marker after each row of MCUs.

Huffman decoding is what re-opening a JPEG costs, at any scale. Between restart markers the
entropy-coded bytes stand for themselves (ITU-T T.81, E.1.4), so some rows can be taken out and
made into a small JPEG of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from photo_pipeline.imaging.markers import RESTARTS, markers

SOF0: Final = 0xC0
SOS: Final = 0xDA
DRI: Final = 0xDD
EOI: Final = b"\xff\xd9"
BLOCK: Final = 8
NOT_NEEDED: Final = frozenset({*range(0xE0, 0xF0), 0xFE})


@dataclass(frozen=True, slots=True)
class Strips:
    """A baseline JPEG of *size* pixels, cut into its rows of MCUs, each *height* pixels high.

    ``header`` has no application data nor comments: nothing of them is needed to decode.
    """

    size: tuple[int, int]
    header: bytes
    height_at: int
    height: int
    rows: Sequence[bytes]

    def joined(self, numbers: Sequence[int]) -> bytes:
        """Return a JPEG of the rows *numbers*, one below the other."""
        header = bytearray(self.header)
        header[self.height_at : self.height_at + 2] = (len(numbers) * self.height).to_bytes(
            2, "big"
        )
        parts = [bytes(header)]
        for place, number in enumerate(numbers):
            if place:
                parts.append(bytes((0xFF, 0xD0 + (place - 1) % 8)))
            parts.append(self.rows[number])
        return b"".join((*parts, EOI))


def strips(data: bytes) -> Strips | None:
    """Return the rows of MCUs of the picture *data*, or None if it is not built for that.

    That is: a JPEG, baseline, one scan, a restart marker after each row.
    """
    if not data.startswith(b"\xff\xd8"):
        return None
    at, interval, frame = 2, 0, b""
    header, height_at = bytearray(b"\xff\xd8"), 0
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        payload = data[at + 4 : at + 2 + length]
        if marker == SOF0:
            frame, height_at = payload, len(header) + 5
        elif 0xC1 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:  # noqa: PLR2004
            return None  # another process than baseline
        elif marker == DRI:
            interval = int.from_bytes(payload, "big")
        if marker not in NOT_NEEDED:
            header += data[at : at + 2 + length]
        at += 2 + length
        if marker == SOS:
            break
    if len(frame) < 9 or not interval or not data.endswith(EOI):  # noqa: PLR2004
        return None
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    factors = frame[7::3] if frame[5] > 1 else b"\x11"
    across = BLOCK * max(factor >> 4 for factor in factors)
    down = BLOCK * max(factor & 15 for factor in factors)
    rows = _split(data, at, len(data) - len(EOI))
    if interval != -(-width // across) or len(rows) != -(-height // down):
        return None
    return Strips((width, height), bytes(header), height_at, down, rows)


def _split(data: bytes, start: int, end: int) -> list[bytes]:
    """Return what lies between the restart markers from *start* to *end*."""
    cuts = [start + at for at, kind in markers(data[start:end]) if kind in RESTARTS]
    return [
        data[one:other]
        for one, other in zip([start, *(c + 2 for c in cuts)], [*cuts, end], strict=True)
    ]
