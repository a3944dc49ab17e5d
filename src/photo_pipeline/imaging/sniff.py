"""Tell a format by its first bytes."""

from typing import Final

from photo_pipeline.errors import EmptyFileError, UnsupportedFormatError

HEAD_BYTES: Final = 64
"""How much of a file ``sniff`` wants: an AVIF brand list of twelve entries still fits."""

MAGIC: Final[tuple[tuple[str, bytes], ...]] = (
    ("jpeg", b"\xff\xd8\xff"),
    ("png", b"\x89PNG\r\n\x1a\n"),
    ("gif", b"GIF87a"),
    ("gif", b"GIF89a"),
    ("tiff", b"II\x2a\x00"),
    ("tiff", b"MM\x00\x2a"),
    ("tiff", b"II\x2b\x00\x08\x00\x00\x00"),  # BigTIFF
    ("tiff", b"MM\x00\x2b\x00\x08\x00\x00"),
    ("jpeg2000", b"\x00\x00\x00\x0cjP  \x0d\x0a\x87\x0a"),
    ("jpeg2000", b"\xff\x4f\xff\x51"),  # the bare codestream
)
BMP_HEADER_SIZES: Final = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
"""HEVC-coded: the brand ``mif1`` alone says nothing about the coding."""
CANON_RAW: Final = b"CR"  # at byte 8 of a CR2 file, which otherwise looks like a TIFF


def sniff(head: bytes) -> str:
    """Return the key in FORMATS of the format that *head* begins.

    *head* is the first ``HEAD_BYTES`` bytes of the file, or all of a shorter one. Names and
    declared media types play no part. Raises EmptyFileError without bytes and
    UnsupportedFormatError for everything outside the allow-list (so also SVG and camera raw
    files). Magic numbers: the WHATWG "MIME Sniffing" standard, TIFF 6.0, ISO/IEC 23008-12
    for the ``ftyp`` box, ISO/IEC 15444-1, and the BITMAPINFOHEADER family.
    """
    if not head:
        msg = "The file is empty."
        raise EmptyFileError(msg)
    for name, magic in MAGIC:
        if head.startswith(magic) and not (name == "tiff" and head[8:10] == CANON_RAW):
            return name
    for name, matches in _TESTS:
        if matches(head):
            return name
    msg = "The file is not a JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF, HEIC or JPEG 2000 image."
    raise UnsupportedFormatError(msg)


def _is_webp(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def _is_avif(head: bytes) -> bool:
    return not AVIF_BRANDS.isdisjoint(_brands(head))


def _is_heic(head: bytes) -> bool:
    return not HEIC_BRANDS.isdisjoint(_brands(head))


def _brands(head: bytes) -> set[bytes]:
    """Return all brands: a file may call itself ``mif1`` and name ``avif`` as compatible."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12]} | {head[i : i + 4] for i in range(16, end, 4)}


def _is_bmp(head: bytes) -> bool:
    """Ask for more than "BM", with which any text may begin: a known size of the info header."""
    return head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in BMP_HEADER_SIZES


_TESTS: Final = (("webp", _is_webp), ("avif", _is_avif), ("heic", _is_heic), ("bmp", _is_bmp))
