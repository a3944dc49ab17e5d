"""Whatever is planted in a photo, exiftool finds no trace of it in any rendition."""

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from photo_pipeline.domain.formats import FORMATS
from photo_pipeline.domain.stage import ORIGINAL, Picture
from photo_pipeline.imaging.metadata import read_metadata, save_options
from photo_pipeline.imaging.opening import open_upright
from photo_pipeline.imaging.privacy import privacy
from photo_pipeline.stages.resize import ResizeParameters, resize
from photo_pipeline.stages.watermark import WatermarkParameters, watermark
from support.planted import COPYRIGHT, CREATOR, SECRETS, STATEMENT, TERMS, plant, seen

SOURCES = ("jpg", "png", "webp", "tif", "avif")
OUTPUTS = ("jpeg", "png", "webp", "avif")
ALLOWED = {
    "IFD0:Artist": CREATOR,
    "IFD0:Copyright": COPYRIGHT,
    "XMP-dc:Creator": CREATOR,
    "XMP-dc:Rights": COPYRIGHT,
    "XMP-xmpRights:UsageTerms": TERMS,
    "XMP-xmpRights:WebStatement": STATEMENT,
}
OF_NO_FILE = ("SourceFile", "ExifTool:", "System:", "File:", "Composite:")
"""What exiftool says of the file or works out by itself."""
STRUCTURE = ("JFIF:", "PNG:", "RIFF:", "Meta:", "QuickTime:", "Track", "ICC")


def picture() -> Image.Image:
    image = Image.linear_gradient("L").resize((800, 600)).convert("RGB")
    draw = ImageDraw.Draw(image)
    draw.ellipse((60, 60, 400, 500), fill=(200, 40, 30))
    draw.rectangle((500, 100, 700, 560), fill=(30, 60, 200))
    return image


@pytest.fixture(scope="module", params=SOURCES)
def planted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("planted") / f"photo.{request.param}"
    data = plant(picture(), path)
    there = seen(path)
    # The test would show nothing if it had not been planted.
    assert there["GPS:GPSLatitude"]
    assert there["XMP-exif:GPSLatitude"]
    assert there["ExifIFD:SerialNumber"] == "SECRETSERIAL77"
    assert b"SECRETNOTE" in data
    return data


def metadata_of(data: bytes, folder: Path, format_: str) -> dict[str, Any]:
    path = folder / f"rendition.{FORMATS[format_].extension}"
    path.write_bytes(data)
    told = {name: value for name, value in seen(path).items() if not name.startswith(OF_NO_FILE)}
    assert "Warning" not in json.dumps(told)
    return {name: value for name, value in told.items() if not name.startswith(STRUCTURE)}


def assert_clean(data: bytes, folder: Path, format_: str) -> None:
    assert metadata_of(data, folder, format_) == ALLOWED
    for secret in SECRETS:
        assert secret.encode() not in data
        assert secret.encode("utf-16-le") not in data
    assert b"GPSLatitude" not in data


def test_both_stages_publish_no_trace(planted: bytes, tmp_path: Path) -> None:
    parameters = ResizeParameters(sizes=(640, 200))
    resized = resize({ORIGINAL: planted}, parameters).pictures
    marked = watermark(
        {one.name: one.data for one in resized}, WatermarkParameters(renditions=("640",))
    ).pictures
    assert len(resized + marked) == 3
    for one in resized + marked:
        assert_clean(one.data, tmp_path, one.format)
        assert one.receipt is not None
        assert one.receipt.privacy.found == {}
        assert one.receipt.privacy.kept["copyright"] == COPYRIGHT
    assert {"gps", "serial_numbers", "maker_note", "person", "location"} <= removed(resized[0])
    assert removed(marked[0]) == set(), "the rendition it was made of had nothing"


def removed(one: Picture) -> set[str]:
    assert one.receipt is not None
    return set(one.receipt.privacy.removed)


@pytest.mark.parametrize("format_", OUTPUTS)
def test_every_format_carries_what_is_kept_and_nothing_else(
    planted: bytes, format_: str, tmp_path: Path
) -> None:
    source = read_metadata(planted)
    kept = source.kept(("copyright", "creator", "licence"))
    image, out = open_upright(planted, 320), io.BytesIO()
    image.save(out, FORMATS[format_].pillow, **save_options(format_, kept))
    assert_clean(out.getvalue(), tmp_path, format_)
    assert privacy(out.getvalue(), source, kept).found == {}


def test_our_scan_sees_what_exiftool_plants(planted: bytes) -> None:
    source = read_metadata(planted)
    found = privacy(planted, source, {}).found
    assert {"gps", "serial_numbers", "person", "maker_note", "location"} <= set(found)
    assert found["gps"] >= 6


@pytest.mark.parametrize("format_", OUTPUTS)
@pytest.mark.parametrize(
    ("argument", "group"),
    [
        ("-EXIF:GPSLatitude=1.5", "gps"),
        ("-XMP-exif:GPSLatitude=1.5", "gps"),
        ("-EXIF:SerialNumber=7", "serial_numbers"),
        ("-XMP-aux:SerialNumber=7", "serial_numbers"),
        ("-XMP-iptcExt:PersonInImage=Eve", "person"),
        ("-EXIF:Make=Maker", "camera"),
        ("-EXIF:Artist=Somebody else", "creator"),
        ("-XMP-dc:Rights=Something else", "copyright"),
    ],
)
def test_one_tag_planted_in_a_rendition_is_found(
    format_: str, argument: str, group: str, tmp_path: Path
) -> None:
    path = tmp_path / f"rendition.{FORMATS[format_].extension}"
    kept = {"creator": CREATOR, "copyright": COPYRIGHT}
    out = io.BytesIO()
    picture().resize((160, 120)).save(out, FORMATS[format_].pillow, **save_options(format_, kept))
    assert privacy(out.getvalue(), read_metadata(b""), kept).found == {}
    path.write_bytes(out.getvalue())
    subprocess.run(["exiftool", "-q", "-overwrite_original", argument, path], check=True)
    found = privacy(path.read_bytes(), read_metadata(b""), kept).found
    assert group in found


@pytest.mark.parametrize("kind", ["jp2", "gif"])
def test_other_sources_are_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo.{kind}"
    picture().resize((160, 120)).save(path)
    run = [
        "exiftool",
        "-q",
        "-overwrite_original",
        "-m",
        "-charset",
        "utf8",
        "-XMP-exif:GPSLatitude=1.5",
    ]
    subprocess.run([*run, f"-XMP-dc:Creator={CREATOR}", path], check=True)
    source = read_metadata(path.read_bytes())
    assert source.fields == {"creator": CREATOR}
    assert "gps" in source.groups
