"""Read what a file says beside its pixels, and write what of it may stay."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from PIL.PngImagePlugin import PngInfo

from photo_pipeline.domain.metadata import FIELDS, Group
from photo_pipeline.imaging.blocks import Block, Kind, tolerant
from photo_pipeline.imaging.blocks_boxes import heif_blocks, jp2_blocks
from photo_pipeline.imaging.blocks_chunks import XMP_KEYWORD, gif_blocks, png_blocks, webp_blocks
from photo_pipeline.imaging.blocks_jpeg import jpeg_blocks
from photo_pipeline.imaging.exif import exif_items, make_exif
from photo_pipeline.imaging.iptc import iptc_items, resource_blocks
from photo_pipeline.imaging.items import Item, clean, names
from photo_pipeline.imaging.xmp import make_xmp, xmp_items

MAX_NESTING: Final = 4
"""XMP in Photoshop resources in EXIF is three deep; deeper is a forgery."""

GROUPS: Final[dict[Kind, Group]] = {
    Kind.ICC: Group.ICC_PROFILE,
    Kind.COMMENT: Group.COMMENT,
    Kind.TIME: Group.CAPTURE_TIME,
    Kind.THUMBNAIL: Group.THUMBNAIL,
    Kind.TECHNICAL: Group.TECHNICAL,
    Kind.PICTURES: Group.FURTHER_PICTURES,
    Kind.TRAILING: Group.TRAILING_DATA,
    Kind.UNKNOWN: Group.UNKNOWN,
}
"""Of the blocks whose presence says it all."""
TEXT_FIELDS: Final = {"author": "creator", "artist": "creator", "copyright": "copyright"}
"""Of PNG's registered keywords, in any case; ``Artist`` is what some programs write."""
IGNORED: Final = frozenset({Group.TECHNICAL, Group.UNKNOWN, Group.PHOTOSHOP})
"""Of a source: what neither says anything about a photo nor its people."""

JPEG: Final = b"\xff\xd8\xff"
TIFF: Final = frozenset({b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"})
WALKS: Final[tuple[tuple[int, bytes, Callable[[bytes], Iterator[Block]]], ...]] = (
    (0, b"\x89PNG", png_blocks),
    (0, b"RIFF", webp_blocks),
    (0, b"GIF8", gif_blocks),
    (4, b"ftyp", heif_blocks),
    (4, b"jP  ", jp2_blocks),
)
"""Where the magic number stands, the number, and who walks through the rest."""

_STANDARDS: Final = (Kind.XMP, Kind.EXIF, Kind.IPTC, Kind.TEXT)
"""The best first: XMP is Unicode and what programs of today write."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a file says: fields that might be kept, and the groups of all that there is."""

    fields: Mapping[str, str]
    groups: frozenset[Group]

    def kept(self, keep: Iterable[str]) -> dict[str, str]:
        """Return the fields of the groups named in *keep*."""
        wanted = set(keep)
        return {name: value for name, value in self.fields.items() if FIELDS[name] in wanted}


def read_metadata(data: bytes) -> Metadata:
    """Return what the image file *data* says; a broken one says what stands before the damage.

    Reads no pixels. Texts are cleaned and bounded; of several standards that fill a field XMP
    comes first, then EXIF, IPTC and PNG's texts.
    """
    found: dict[str, tuple[int, str]] = {}
    groups: set[Group] = set()
    for standard, item in items(data, deep=False):
        groups.add(item.group)
        rank = _STANDARDS.index(standard) if standard in _STANDARDS else len(_STANDARDS)
        known = found.get(item.field)
        if item.field and item.value and (known is None or rank < known[0]):
            found[item.field] = rank, item.value
    fields = {name: found[name][1] for name in FIELDS if name in found}
    if "creator" in fields:
        fields["creator"] = names(fields["creator"])
    return Metadata(fields, frozenset(groups - IGNORED))


def items(data: bytes, *, deep: bool) -> Iterator[tuple[Kind, Item]]:
    """Yield every piece of metadata in the image file *data*, with the standard it is written in.

    With *deep* every byte of the file is accounted for.
    """
    for block in tolerant(_blocks(data, deep=deep)):
        if deep and block.kind in {Kind.EXIF, Kind.XMP}:
            yield from _parsed(block)
        else:
            yield from _items(block, deep=deep, nesting=0)


@lru_cache(maxsize=4)
def _parsed(block: Block) -> tuple[tuple[Kind, Item], ...]:
    """Return what a block of a rendition says; all renditions of a photo have the same."""
    return tuple(_items(block, deep=True, nesting=0))


def _blocks(data: bytes, *, deep: bool) -> Iterator[Block]:
    if data.startswith(JPEG):
        return jpeg_blocks(data, deep=deep)
    if data[:4] in TIFF:
        return iter((Block(Kind.TIFF, data),))
    for at, magic, walk in WALKS:
        if data.startswith(magic, at):
            return walk(data)
    return iter(())  # a BMP: a profile at most


def _items(block: Block, *, deep: bool, nesting: int) -> Iterator[tuple[Kind, Item]]:
    inner: Iterable[Item | Block]
    match block.kind:
        case _ if nesting > MAX_NESTING:
            inner = (Item(Group.UNKNOWN),)
        case Kind.EXIF | Kind.TIFF:
            pages = block.kind is Kind.TIFF
            inner = exif_items(block.data, pages=pages, deep=deep and not pages)
        case Kind.XMP:
            inner = xmp_items(block.data)
        case Kind.IPTC:
            inner = iptc_items(block.data)
        case Kind.PHOTOSHOP:
            inner = resource_blocks(block.data)
        case Kind.TEXT:
            field = TEXT_FIELDS.get(block.name.lower(), "")
            group = FIELDS.get(field, Group.TEXT)
            inner = (Item(group, field, clean(block.data.decode(errors="replace"))),)
        case _:
            inner = (Item(GROUPS[block.kind]),)
    standard = Kind.EXIF if block.kind is Kind.TIFF else block.kind
    for one in inner:
        if isinstance(one, Block):
            yield from _items(one, deep=deep, nesting=nesting + 1)
        else:
            yield standard, one


def save_options(format_: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """Return what Pillow's ``save`` wants in order to write *fields*, and nothing else.

    As EXIF (creator, copyright, camera, time) and as XMP (creator, copyright, licence) at once,
    for programs read the one or the other; *format_* is jpeg, png, webp or avif.
    """
    exif, xmp = make_exif(fields), make_xmp(fields)
    options: dict[str, Any] = {}
    if exif:
        options["exif"] = exif if format_ == "avif" else b"Exif\0\0" + exif
    if xmp and format_ == "png":
        texts = PngInfo()
        texts.add_itxt(XMP_KEYWORD, xmp.decode())
        options["pnginfo"] = texts
    elif xmp:
        options["xmp"] = xmp
    return options
