"""How near two perceptual hashes are, and how near ones are found by an index."""

from itertools import pairwise
from typing import Final

HASH_BITS: Final = 64
NEAR: Final = 6
"""Bits in which two pictures of the same thing may differ: smaller, in another format or with a
little more light, a picture differs in 0 to 6. The hash of another picture differs in 32 on
average, and by chance in 6 or fewer once in 200 thousand million times."""
BANDS: Final = NEAR + 1
"""Into so many parts a hash is cut: among 7 parts 6 differences leave one that is equal. With 9 or
10 bits to a part, a photo shares one with 12 others in 1000."""


def hamming(one: str, other: str) -> int:
    """Return the number of bits in which two hexadecimal hashes differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def bands(value: str) -> tuple[str, ...]:
    """Return the parts of a 64-bit hexadecimal hash, each with its place, to be indexed.

    Two hashes within NEAR bits of each other have at least one part in common (the pigeonhole
    principle); whoever shares a part is still to be measured with ``hamming``. None where the
    hash says nothing: a blank picture or an even ramp has all bits alike but a few, and would be
    near to every other one.
    """
    number = int(value, 16)
    if not NEAR < number.bit_count() < HASH_BITS - NEAR:
        return ()
    edges = [HASH_BITS * i // BANDS for i in range(BANDS + 1)]
    return tuple(
        f"{place}:{number >> low & (1 << high - low) - 1:03x}"
        for place, (low, high) in enumerate(pairwise(edges))
    )
