"""XMP (ISO 16684-1): the properties of a packet, and a minimal packet of our own."""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from xml.parsers import expat
from xml.sax.saxutils import escape

from photo_pipeline.domain.metadata import Group
from photo_pipeline.imaging.items import Item, clean

MAX_XMP_BYTES: Final = 4 << 20
"""Extended XMP may carry depth maps of megabytes; what is kept stands in the first kilobytes."""
MAX_DEPTH: Final = 64
MAX_VALUES: Final = 10_000

RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XML: Final = "http://www.w3.org/XML/1998/namespace"
DC: Final = "http://purl.org/dc/elements/1.1/"
PHOTOSHOP: Final = "http://ns.adobe.com/photoshop/1.0/"
RIGHTS: Final = "http://ns.adobe.com/xap/1.0/rights/"
CC: Final = "http://creativecommons.org/ns#"
PLUS: Final = "http://ns.useplus.org/ldf/xmp/1.0/"
STRUCTURE: Final = frozenset({"adobe:ns:meta/", "http://www.w3.org/XML/1998/namespace", RDF})

FIELDS: Final[dict[tuple[str, str], str]] = {
    (DC, "creator"): "creator",
    (DC, "rights"): "copyright",
    (PHOTOSHOP, "Credit"): "credit",
    (RIGHTS, "UsageTerms"): "usage_terms",
    (RIGHTS, "WebStatement"): "web_statement",
    (CC, "license"): "licence",
    (PLUS, "LicensorURL"): "licensor_url",
}
FIELD_GROUPS: Final[dict[str, Group]] = {
    "creator": Group.CREATOR,
    "copyright": Group.COPYRIGHT,
    "credit": Group.CREATOR,
}
"""Of the fields here; the others are about the licence."""
URLS: Final = frozenset({"web_statement", "licence", "licensor_url"})

CAMERA: Final = frozenset(
    {"Make", "Model", "Lens", "LensModel", "LensMake", "LensInfo", "ExposureTime", "FNumber"}
    | {"ISOSpeedRatings", "PhotographicSensitivity", "FocalLength", "ApertureValue", "Flash"}
)
LOCATION: Final = frozenset(
    {"City", "State", "Country", "CountryCode", "CountryName", "Location", "Sublocation"}
    | {"LocationCreated", "LocationShown", "ProvinceState", "WorldRegion", "LocationName"}
)
PERSON: Final = frozenset(
    {"OwnerName", "CameraOwnerName", "PersonInImage", "PersonInImageWDetails", "PersonName"}
    | {"CreatorContactInfo", "AuthorsPosition", "CaptionWriter", "Regions", "RegionInfo"}
    | {"Owner", "LicensorEmail", "LicensorTelephone1", "LicensorName", "Photographer"}
)
GAIN_MAP_OR_VIDEO: Final = frozenset({"MicroVideo", "MotionPhoto", "Directory"})


class _Refused(Exception):  # noqa: N818  # no error of ours: it only ends the parsing
    """The packet is not one that we read to its end."""


class _Packet:
    """Collects (path of names, language, text) of every value."""

    def __init__(self) -> None:
        self.values: list[tuple[tuple[tuple[str, str], ...], str, str]] = []
        self._path: list[tuple[str, str]] = []
        self._languages = [""]
        self._text = ""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._flush()
        if len(self._path) >= MAX_DEPTH:
            raise _Refused
        self._path.append(_name(tag))
        self._languages.append(attributes.get(f"{XML} lang", ""))
        for key, value in attributes.items():
            namespace, name = _name(key)
            if (namespace, name) == (RDF, "resource"):
                self._keep(self._path, value)
            elif namespace not in STRUCTURE and namespace:
                self._keep([*self._path, (namespace, name)], value)

    def end(self, _: str) -> None:
        self._flush()
        self._path.pop()
        self._languages.pop()

    def text(self, data: str) -> None:
        self._text += data

    def comment(self, _: str) -> None:
        self._keep([("", "comment")], "comment")

    def instruction(self, target: str, _: str) -> None:
        if target != "xpacket":
            self._keep([("", "instruction")], target)

    def refuse(self, *_: Any) -> None:
        raise _Refused

    def _flush(self) -> None:
        if text := self._text.strip():
            self._keep(self._path, text)
        self._text = ""

    def _keep(self, path: list[tuple[str, str]], value: str) -> None:
        if len(self.values) >= MAX_VALUES:
            raise _Refused
        names = tuple(name for name in path if name[0] not in STRUCTURE)
        self.values.append((names, self._languages[-1], value))


def xmp_items(data: bytes) -> Iterator[Item]:
    """Yield what a packet says, up to the first damage; a damaged one also says UNKNOWN.

    Document types and entities, which no XMP needs, are damage.
    """
    packet = _Packet()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = packet.start
    parser.EndElementHandler = packet.end
    parser.CharacterDataHandler = packet.text
    parser.CommentHandler = packet.comment
    parser.ProcessingInstructionHandler = packet.instruction
    parser.StartDoctypeDeclHandler = packet.refuse
    parser.EntityDeclHandler = packet.refuse
    try:
        parser.Parse(data.strip(b"\0 \t\r\n")[:MAX_XMP_BYTES], True)  # noqa: FBT003  # C function
    except (expat.ExpatError, _Refused, ValueError, UnicodeError):
        yield Item(Group.UNKNOWN)
    found: dict[str, list[str]] = {}
    for path, language, value in packet.values:
        field = FIELDS.get(path[-1]) if path else None
        text = clean(value)
        if field is None:
            yield Item(_group(path))
        elif field in URLS and not text.startswith(("https://", "http://")):
            yield Item(Group.LICENCE)
        elif language == "x-default":
            found.setdefault(field, []).insert(0, text)
        else:
            found.setdefault(field, []).append(text)
    for field, values in found.items():
        # A list of creators, but alternatives in several languages of everything else.
        value = "; ".join(values) if field == "creator" else values[0]
        yield Item(FIELD_GROUPS.get(field, Group.LICENCE), field, clean(value))
        if field != "creator":
            yield from (Item(Group.XMP) for _ in values[1:])


def _name(tag: str) -> tuple[str, str]:
    namespace, _, name = tag.rpartition(" ")
    return namespace, name


def _group(path: tuple[tuple[str, str], ...]) -> Group:
    for namespace, name in path:
        for holds, group in (
            (name.startswith("GPS"), Group.GPS),
            ("SerialNumber" in name or name == "ImageUniqueID", Group.SERIAL_NUMBERS),
            (name in PERSON or namespace.endswith(("mwg-rs/", "RegionInfo#")), Group.PERSON),
            (name in LOCATION, Group.LOCATION),
            (name.startswith("Thumbnail"), Group.THUMBNAIL),
            (name in GAIN_MAP_OR_VIDEO, Group.FURTHER_PICTURES),
            (name in CAMERA, Group.CAMERA),
            (name.startswith("DateTime") or name.endswith("Date"), Group.CAPTURE_TIME),
            (name in {"description", "title", "Headline", "UserComment"}, Group.COMMENT),
        ):
            if holds:
                return group
    return Group.XMP


def make_xmp(fields: Mapping[str, str]) -> bytes:
    """Return a packet with the *fields* that XMP can tell, or nothing without any.

    Always the same bytes. The structures are those of the specifications: a list of creators,
    alternatives by language of rights and terms, a URL each of the statement and the licence.
    """
    parts = [
        _PARTS[field].format(_escaped(field, fields[field]))
        for field in _PARTS
        if fields.get(field)
    ]
    if not parts:
        return b""
    return (_HEAD + "".join(parts) + _TAIL).encode()


def _escaped(field: str, value: str) -> str:
    if field == "creator":
        return "".join(f"<rdf:li>{escape(name)}</rdf:li>" for name in value.split("; "))
    return escape(value, {'"': "&quot;"})


_ALTERNATIVE: Final = '<rdf:Alt><rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt>'
_PARTS: Final = {
    "creator": "<dc:creator><rdf:Seq>{}</rdf:Seq></dc:creator>",
    "copyright": f"<dc:rights>{_ALTERNATIVE}</dc:rights>",
    "credit": "<photoshop:Credit>{}</photoshop:Credit>",
    "usage_terms": f"<xmpRights:UsageTerms>{_ALTERNATIVE}</xmpRights:UsageTerms>",
    "web_statement": "<xmpRights:WebStatement>{}</xmpRights:WebStatement>",
    "licence": '<cc:license rdf:resource="{}"/>',
    "licensor_url": '<plus:Licensor><rdf:Seq><rdf:li rdf:parseType="Resource">'
    "<plus:LicensorURL>{}</plus:LicensorURL></rdf:li></rdf:Seq></plus:Licensor>",
}
_HEAD: Final = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">'
    f'<rdf:Description rdf:about="" xmlns:dc="{DC}" xmlns:photoshop="{PHOTOSHOP}"'
    f' xmlns:xmpRights="{RIGHTS}" xmlns:cc="{CC}" xmlns:plus="{PLUS}">'
)
_TAIL: Final = '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
