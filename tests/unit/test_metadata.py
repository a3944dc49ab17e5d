"""Reading, keeping and writing metadata."""

import io
import random
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from photo_pipeline.domain.metadata import FIELDS, MAX_FIELD, MetadataParameters
from photo_pipeline.domain.stage import ORIGINAL
from photo_pipeline.imaging.exif import make_exif
from photo_pipeline.imaging.items import clean
from photo_pipeline.imaging.metadata import read_metadata, save_options
from photo_pipeline.imaging.privacy import privacy
from photo_pipeline.imaging.xmp import make_xmp, xmp_items
from photo_pipeline.stages.resize import ResizeParameters, resize
from support.pictures import save
from support.processes import SAMPLES

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF")
EVERYTHING = {
    "creator": "Ada Löve; Bob & Co <b>",
    "credit": 'An "agency"',
    "copyright": "© 2026 写真",
    "usage_terms": "Ask first",
    "web_statement": "https://example.org/?a=1&b=2",
    "licence": "https://creativecommons.org/licenses/by/4.0/",
    "licensor_url": "https://example.org/buy",
    "make": "Maker",
    "model": "X",
    "lens_model": "A lens",
    "exposure_time": "1/60",
    "f_number": "14/5",
    "iso": "400",
    "focal_length": "35/1",
    "captured_at": "2026:01:02 03:04:05",
    "captured_offset": "+01:00",
}


def written(format_: str, fields: dict[str, str], mode: str = "RGB") -> bytes:
    name = format_.lower()
    return save(Image.new(mode, (40, 30), "teal"), format_, **save_options(name, fields))


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def test_every_field_can_be_written_and_read() -> None:
    assert EVERYTHING.keys() == FIELDS.keys()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("format_", FORMATS)
def test_what_is_written_comes_back_and_nothing_else(format_: str, mode: str) -> None:
    if (format_, mode) == ("JPEG", "RGBA"):
        return
    data = written(format_, EVERYTHING, mode)
    assert read_metadata(data).fields == EVERYTHING
    receipt = privacy(data, read_metadata(b""), EVERYTHING)
    assert receipt.found == {}
    assert receipt.kept == EVERYTHING


@pytest.mark.parametrize("format_", FORMATS)
def test_without_fields_nothing_is_written(format_: str) -> None:
    data = written(format_, {})
    assert data == save(Image.new("RGB", (40, 30), "teal"), format_)
    assert read_metadata(data).groups == frozenset()


def test_the_same_fields_are_the_same_bytes_in_any_order() -> None:
    turned = dict(reversed(EVERYTHING.items()))
    assert make_exif(turned) == make_exif(EVERYTHING)
    assert make_xmp(turned) == make_xmp(EVERYTHING)


@pytest.mark.parametrize(
    ("keep", "names"),
    [
        ((), set()),
        (("copyright",), {"copyright"}),
        (("copyright", "creator", "licence"), {"copyright", "creator"}),
        (("camera",), {"make", "model", "lens_model", "exposure_time", "f_number", "iso",
                       "focal_length"}),
        (("capture_time",), {"captured_at", "captured_offset"}),
    ],
)  # fmt: skip
def test_a_preset_decides_what_stays(keep: Any, names: set[str]) -> None:
    parameters = ResizeParameters(sizes=(200,), metadata=MetadataParameters(keep=keep))
    (picture,) = resize({ORIGINAL: sample("coffee-gps.jpg")}, parameters).pictures
    assert picture.receipt is not None
    assert set(picture.receipt.privacy.kept) == names
    assert set(read_metadata(picture.data).fields) == names
    assert {"gps", "person", "serial_numbers", "comment"} <= set(picture.receipt.privacy.removed)


@pytest.mark.parametrize("group", ["gps", "serial_numbers", "person", "maker_note", "thumbnail"])
def test_no_preset_keeps_places_serial_numbers_or_people(group: str) -> None:
    with pytest.raises(ValidationError):
        MetadataParameters.model_validate({"keep": [group]})


def test_png_texts_name_creator_and_copyright() -> None:
    known = read_metadata(sample("fig-cutout-alpha.png"))
    assert known.fields["creator"] == 'Trevor "Freespace"'
    assert known.fields["copyright"].startswith("CC BY 4.0")
    assert "text" in known.groups


def test_xmp_comes_before_exif() -> None:
    exif, xmp = make_exif({"creator": "of EXIF"}), make_xmp({"creator": "of XMP"})
    data = save(Image.new("RGB", (8, 8)), "JPEG", exif=b"Exif\0\0" + exif, xmp=xmp)
    assert read_metadata(data).fields == {"creator": "of XMP"}


def test_texts_are_bounded_and_can_be_shown() -> None:
    exif = make_exif({"copyright": "a\tb\n\x07 \u202ec" + "x" * 5000})
    known = read_metadata(save(Image.new("RGB", (8, 8)), "JPEG", exif=b"Exif\0\0" + exif))
    assert known.fields["copyright"] == ("a b c" + "x" * MAX_FIELD)[:MAX_FIELD]


@pytest.mark.parametrize("text", ["a; ; b", "; a", "a;", " ;; ", "\ufffe\ufdd0", "\U0001f4f7 ok"])
def test_odd_texts_are_the_same_after_another_way(text: str) -> None:
    exif = make_exif({"creator": text})
    photo = save(Image.new("RGB", (40, 30)), "JPEG", exif=b"Exif\0\0" + exif)
    kept = dict(read_metadata(photo).fields)
    for format_ in FORMATS:
        data = written(format_, kept)
        assert privacy(data, read_metadata(photo), kept).found == {}
        assert read_metadata(data).fields == kept
    assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize("value", ["javascript:alert(1)", "file:///etc/passwd", "no url"])
def test_a_licence_is_a_web_address_or_nothing(value: str) -> None:
    data = save(Image.new("RGB", (8, 8)), "JPEG", xmp=make_xmp({"licence": value}))
    assert read_metadata(data).fields == {}


BOMB = (
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">&b;</x:xmpmeta>'
)


def test_entities_are_refused() -> None:
    assert [item.group for item in xmp_items(BOMB)] == ["unknown"]


def test_deep_nesting_is_refused() -> None:
    assert [item.group for item in xmp_items(b"<a>" * 5000)] == ["unknown"]


def test_broken_metadata_fails_no_photo() -> None:
    chance = random.Random(7)  # noqa: S311  # the same every time
    sources = [sample("coffee-gps.jpg"), sample("fig-cutout-alpha.png")]
    sources += [written(format_, EVERYTHING) for format_ in FORMATS]
    tiff = io.BytesIO()
    Image.new("RGB", (9, 9)).save(tiff, "TIFF", description="something")
    sources.append(tiff.getvalue())
    for source in sources:
        for _ in range(150):
            data = bytearray(source[: chance.randrange(12, min(len(source), 6000))])
            for _ in range(chance.randrange(12)):
                data[chance.randrange(12, len(data))] = chance.randrange(256)
            known = read_metadata(bytes(data))
            assert all(len(value) <= MAX_FIELD for value in known.fields.values())
            privacy(bytes(data), known, known.fields)
