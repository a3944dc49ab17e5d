"""How near two perceptual hashes are, and how near ones are found by an index."""

from itertools import pairwise
from typing import Final

HASH_BITS: Final = 64
NEAR: Final = 8
"""Bits in which two pictures of the same thing may differ. The hash of another picture differs
in 32 on average, and in 8 or fewer once in 10 thousand million times."""
BANDS: Final = NEAR + 1
"""Into so many parts a hash is cut: among 9 parts 8 differences leave one that is equal."""


def hamming(one: str, other: str) -> int:
    """Return the number of bits in which two hexadecimal hashes differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def bands(value: str) -> tuple[str, ...]:
    """Return the parts of a 64-bit hexadecimal hash, each with its place, to be indexed.

    Two hashes within NEAR bits of each other have at least one part in common (the pigeonhole
    principle); whoever shares a part is still to be measured with ``hamming``.
    """
    number = int(value, 16)
    edges = [HASH_BITS * i // BANDS for i in range(BANDS + 1)]
    return tuple(
        f"{place}:{number >> low & (1 << high - low) - 1:02x}"
        for place, (low, high) in enumerate(pairwise(edges))
    )
