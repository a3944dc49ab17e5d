"""What the scan of a rendition finds, planted without help of the code that writes."""

import struct
import zlib

import pytest
from PIL import Image

from photo_pipeline.domain.receipt import Receipt
from photo_pipeline.domain.stage import Picture
from photo_pipeline.errors import PrivacyViolationError
from photo_pipeline.imaging.fidelity import Made, Reference
from photo_pipeline.imaging.metadata import read_metadata
from photo_pipeline.imaging.privacy import privacy
from photo_pipeline.imaging.receipts import Claim, certified, receipts
from support.pictures import save

IMAGE = Image.linear_gradient("L").convert("RGB")
NOTHING = read_metadata(b"")


def found(data: bytes) -> dict[str, int]:
    return dict(privacy(data, NOTHING, {}).found)


def jpeg_with(marker: int, payload: bytes) -> bytes:
    data = save(IMAGE, "JPEG")
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload + data[2:]


def png_with(kind: bytes, payload: bytes) -> bytes:
    data = save(IMAGE, "PNG")
    chunk = struct.pack(">I", len(payload)) + kind + payload
    return data[:33] + chunk + struct.pack(">I", zlib.crc32(kind + payload)) + data[33:]


def webp_with(kind: bytes, payload: bytes) -> bytes:
    data = save(IMAGE, "WEBP")
    body = data[8:] + kind + struct.pack("<I", len(payload)) + payload
    return b"RIFF" + struct.pack("<I", len(body)) + body


CITY = b"8BIM\4\4\0\0\0\0\0\x0a\x1c\2\x5a\0\5Paris"
"""An image resource block of Photoshop with a dataset of IPTC."""


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload) + 8) + kind + payload


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_bare_picture_has_nothing(format_: str) -> None:
    assert found(save(IMAGE, format_)) == {}
    assert found(save(IMAGE.convert("RGBA"), format_) if format_ != "JPEG" else b"") == {}


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_rows": 1}, {}])
def test_every_kind_of_jpeg_is_walked_to_its_end(options: dict[str, bool]) -> None:
    data = save(IMAGE, "JPEG", **options)
    assert found(data) == {}
    assert found(data + b"\0\0\0\x18ftypmp42 a motion photo") == {"trailing_data": 1}
    comment = b"\xff\xfe\0\x08secret"
    assert found(data[:-2] + comment + data[-2:]) == {"comment": 1}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (jpeg_with(0xFE, b"secret"), "comment"),
        (jpeg_with(0xE0, b"JFXX\0\x10thumbnail"), "thumbnail"),
        (jpeg_with(0xE2, b"MPF\0further"), "further_pictures"),
        (jpeg_with(0xE2, b"ICC_PROFILE\0\1\1profile"), "icc_profile"),
        (jpeg_with(0xE4, b"who knows"), "unknown"),
        (jpeg_with(0xE1, b"Exif\0\0nonsense"), "unknown"),
        (jpeg_with(0xED, b"Photoshop 3.0\0" + CITY), "location"),
        (png_with(b"tEXt", b"Comment\0secret"), "text"),
        (png_with(b"tIME", b"\7\xea\1\1\1\1\1"), "capture_time"),
        (png_with(b"iCCP", b"name\0\0"), "icc_profile"),
        (png_with(b"prVt", b"secret"), "unknown"),
        (save(IMAGE, "PNG") + b"more", "trailing_data"),
        (webp_with(b"ICCP", b"prof"), "icc_profile"),
        (webp_with(b"abcd", b"secret"), "unknown"),
        (save(IMAGE, "WEBP") + b"more", "trailing_data"),
        (save(IMAGE, "AVIF") + box(b"uuid", b"x" * 20), "unknown"),
        (save(IMAGE, "AVIF") + box(b"free", b"secret"), "unknown"),
        (save(IMAGE, "AVIF") + box(b"mdat", b"secret"), "trailing_data"),
    ],
)  # fmt: skip
def test_what_is_planted_is_found(data: bytes, expected: str) -> None:
    assert expected in found(data)


def test_bytes_that_no_tag_of_exif_points_to_are_found() -> None:
    tiff = b"II*\0\x08\0\0\0" + b"\0\0" + b"\0\0\0\0"
    assert found(jpeg_with(0xE1, b"Exif\0\0" + tiff)) == {}
    assert found(jpeg_with(0xE1, b"Exif\0\0" + tiff + b"secret")) == {"unknown": 1}


def test_a_comment_inside_xmp_is_found() -> None:
    packet = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><!-- 48.85 --></x:xmpmeta>"
    assert found(jpeg_with(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet)) == {"xmp": 1}


def test_a_kept_field_must_have_just_its_value() -> None:
    exif = Image.Exif()
    exif[0x8298] = "48.85 N 2.29 E"
    data = save(IMAGE, "JPEG", exif=exif)
    assert privacy(data, NOTHING, {"copyright": "48.85 N 2.29 E"}).found == {}
    assert privacy(data, NOTHING, {"copyright": "(c) Ada"}).found == {"copyright": 1}


def test_a_leak_is_a_failed_attempt() -> None:
    leaking = Picture(name="640", data=jpeg_with(0xFE, b"x"), width=256, height=256, format="jpeg")
    with pytest.raises(PrivacyViolationError, match="rendition 640: comment: 1"):
        certified([leaking], {"640": Claim(Made(leaking.data, Reference(IMAGE)), NOTHING, {})})


def test_a_receipt_tells_its_violations() -> None:
    data = jpeg_with(0xFE, b"secret")
    receipt: Receipt = receipts({"a": Claim(Made(data, Reference(IMAGE)), NOTHING, {})})["a"]
    assert receipt.violations() == ("comment: 1",)
