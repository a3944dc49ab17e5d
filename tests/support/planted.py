"""Photos with everything in them that must not be published, planted by another program."""

import json
import subprocess
from pathlib import Path
from typing import Any

from PIL import Image

SECRETS = (
    "SECRETSERIAL77", "SECRETLENS88", "SECRETOWNER", "SECRETNOTE", "SECRETCITY", "SECRETCOMMENT",
    "SECRETPERSON", "SECRETPHONE", "SECRETSTREET", "SECRETHEADLINE", "SECRETHISTORY",
)  # fmt: skip
CREATOR = "Ada Löve"
COPYRIGHT = "© 2026 Ada Löve, all rights reserved"
TERMS = "Ask <first> & pay"
STATEMENT = "https://example.org/terms?a=1&b=2"

EVERYWHERE = (
    "-EXIF:GPSLatitude=48.85837", "-EXIF:GPSLatitudeRef=N", "-EXIF:GPSLongitude=2.294481",
    "-EXIF:GPSLongitudeRef=E", "-EXIF:SerialNumber=SECRETSERIAL77",
    "-EXIF:LensSerialNumber=SECRETLENS88", "-EXIF:OwnerName=SECRETOWNER",
    "-EXIF:UserComment=SECRETCOMMENT", "-EXIF:Make=MakerOfCameras", "-EXIF:Model=Model 9",
    f"-EXIF:Artist={CREATOR}", f"-EXIF:Copyright={COPYRIGHT}",
    "-MakerNoteUnknownText=SECRETNOTE 48.85837 2.294481",
    "-XMP-exif:GPSLatitude=48.85837", "-XMP-exif:GPSLongitude=2.294481",
    "-XMP-aux:SerialNumber=SECRETSERIAL77", "-XMP-aux:OwnerName=SECRETOWNER",
    "-XMP-photoshop:City=SECRETCITY", "-XMP-iptcExt:PersonInImage=SECRETPERSON",
    "-XMP-iptcExt:LocationShownSublocation=SECRETSTREET",
    "-XMP-iptcCore:CreatorWorkTelephone=SECRETPHONE", "-XMP-xmpMM:HistoryAction=SECRETHISTORY",
    f"-XMP-dc:Creator={CREATOR}", f"-XMP-dc:Rights={COPYRIGHT}",
    f"-XMP-xmpRights:UsageTerms={TERMS}", f"-XMP-xmpRights:WebStatement={STATEMENT}",
)  # fmt: skip
IN_IPTC = (
    "-IPTC:City=SECRETCITY", "-IPTC:Sub-location=SECRETSTREET", "-IPTC:Headline=SECRETHEADLINE",
    "-IPTC:Contact=SECRETPHONE", f"-IPTC:By-line={CREATOR}", "-IPTC:CodedCharacterSet=UTF8",
)  # fmt: skip


def plant(image: Image.Image, path: Path) -> bytes:
    """Write *image* to *path*, whose suffix says the format, with everything; return the bytes."""
    kind = path.suffix.removeprefix(".")
    image.save(path)
    arguments = [*EVERYWHERE]
    if kind in {"jpg", "tif"}:
        arguments += IN_IPTC
    if kind == "jpg":
        thumbnail = path.with_suffix(".thumbnail")
        image.resize((40, 30)).save(thumbnail, "JPEG", quality=20)
        arguments += [f"-ThumbnailImage<={thumbnail}", "-Comment=SECRETCOMMENT"]
    if kind == "png":
        arguments += ["-PNG:Comment=SECRETCOMMENT", "-PNG:Author=SECRETOWNER"]
    run = [
        *("exiftool", "-q", "-overwrite_original", "-m", "-charset", "utf8"),
        *arguments,
        str(path),
    ]
    subprocess.run(run, check=True, capture_output=True)
    return path.read_bytes()


def seen(path: Path) -> dict[str, Any]:
    """Return what exiftool sees in a file: "group:tag" to value."""
    run = ["exiftool", "-a", "-u", "-U", "-G1", "-j", "-ee", "-charset", "utf8", str(path)]
    told = subprocess.run(run, check=True, capture_output=True).stdout
    found: dict[str, Any] = json.loads(told)[0]
    return found
