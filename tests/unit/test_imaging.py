"""Sniff, probe, open, encode: pictures made here, compared by content."""

import io
import os
import struct
import subprocess
import sys
import time
import warnings
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms, ImageFile

from photo_pipeline.domain.encoding import Encoding
from photo_pipeline.domain.formats import FORMATS
from photo_pipeline.errors import (
    EmptyFileError,
    PhotoPipelineError,
    TooManyPixelsError,
    UnreadableImageError,
    UnsupportedFormatError,
)
from photo_pipeline.imaging.encode import WRITTEN, encode, written_format
from photo_pipeline.imaging.header import OPENERS
from photo_pipeline.imaging.opening import displayed_size, limit_pixels, open_upright
from photo_pipeline.imaging.probe import Probe, probe
from photo_pipeline.imaging.scale import fit, shrink
from photo_pipeline.imaging.sniff import HEAD_BYTES, sniff
from support.pictures import save

RED, GREEN, BLUE = (255, 0, 0), (0, 160, 0), (0, 0, 255)
GRID = ((RED, GREEN, BLUE), ((255, 255, 0), (255, 255, 255), (0, 0, 0)))  # 3 x 2, no symmetry
CELL = 80
NO_LIMIT = 10**12

# By CIPA DC-008: where row 0 and column 0 of the stored picture lie in the displayed one.
ROW_AND_COLUMN_0 = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def grid() -> Image.Image:
    image = Image.new("RGB", (3 * CELL, 2 * CELL))
    for row, colours in enumerate(GRID):
        for column, colour in enumerate(colours):
            cell = (column * CELL, row * CELL, (column + 1) * CELL, (row + 1) * CELL)
            image.paste(colour, cell)
    return image


def stored_as(displayed: Image.Image, orientation: int) -> Image.Image:
    """Build pixel by cell what a camera stores, from the meaning of the tag alone."""
    row0, column0 = ROW_AND_COLUMN_0[orientation]
    sideways = row0 in {"left", "right"}
    rows, columns = (3, 2) if sideways else (2, 3)
    stored = Image.new("RGB", (columns * CELL, rows * CELL))
    for row in range(rows):
        for column in range(columns):
            down = row if row0 in {"top", "left"} else rows - 1 - row
            across = column if column0 in {"top", "left"} else columns - 1 - column
            x, y = (down, across) if sideways else (across, down)
            cell = displayed.crop((x * CELL, y * CELL, (x + 1) * CELL, (y + 1) * CELL))
            stored.paste(cell, (column * CELL, row * CELL))
    return stored


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def near(one: Any, other: Any, tolerance: int = 12) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(one, other, strict=True))


def is_grid(image: Image.Image) -> bool:
    """Say whether the middle of each cell has its colour (sizes may differ)."""
    width, height = image.size
    return all(
        near(image.getpixel((width * (2 * x + 1) // 6, height * (2 * y + 1) // 4)), colour, 40)
        for y, colours in enumerate(GRID)
        for x, colour in enumerate(colours)
    )


def look(data: bytes, max_pixels: int = NO_LIMIT) -> Probe:
    return probe(io.BytesIO(data), max_pixels)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    crc = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


def huge_png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + png_chunk(b"IEND", b"")
    )


@pytest.fixture
def pixel_limit() -> Iterator[None]:
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        yield
    Image.MAX_IMAGE_PIXELS = before


GOLDEN = Path(__file__).parents[1] / "golden"
EVERY_FORMAT = {
    # Nothing here writes HEIC: this one was made of the same grid by libheif's heif-enc.
    name: (GOLDEN / "grid.heic").read_bytes() if name == "heic" else save(grid(), fmt.pillow)
    for name, fmt in FORMATS.items()
}


# --- sniff -----------------------------------------------------------------------------------


def test_the_formats_that_can_be_opened_are_the_registered_ones() -> None:
    assert OPENERS.keys() == FORMATS.keys()
    assert set(WRITTEN) <= FORMATS.keys()


@pytest.mark.parametrize("name", FORMATS)
def test_sniff_knows_each_format(name: str) -> None:
    assert sniff(EVERY_FORMAT[name][:HEAD_BYTES]) == name
    assert sniff(EVERY_FORMAT[name]) == name


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"II\x2b\x00\x08\x00\x00\x00", "tiff"),
        (b"MM\x00\x2a", "tiff"),
        (b"\0\0\0\x20ftypmif1\0\0\0\0mif1miafavif", "avif"),
    ],
)
def test_sniff_knows_variants(head: bytes, name: str) -> None:
    assert sniff(head) == name


@pytest.mark.parametrize(
    "head",
    [
        b"<html>",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"BMW makes cars, and this is a text about them.",
        b"\xff\xd8",
        b"RIFF\0\0\0\0WAVE",
        b"II\x2a\x00\x10\x00\x00\x00CR\x02\x00",  # Canon raw
        b"\0\0\0\x18ftypmif1\0\0\0\0mif1miaf",  # coded nobody knows how
        b"\0\0\0\x10ftypisom\0\0\0\0avif",  # the brand lies outside the box
        b"8BPS\0\1",  # Photoshop
        b"\0\0\1\0\1\0\x10\x10",  # icon
        b"%!PS-Adobe-3.0 EPSF-3.0",
        b"\x0a\5\1\x08\0\0\0\0",  # PCX
        b"\0\0\2\0\0\0\0\0\0\0\0\0\x10\0\x10\0\x18\0",  # TGA
        b"P6\n16 16\n255\n",  # PPM
        b"DDS \x7c\0\0\0",
        b"FORM\0\0\0\0ILBM",
        b"\x76\x2f\x31\x01\2\0\0\0",  # OpenEXR
        b"\xff\x0a\0\0",  # JPEG XL
        b"\0\0\0\x0cJXL \x0d\x0a\x87\x0a",
        b"II\x55\0\x18\0\0\0",  # Panasonic raw
        b"FUJIFILMCCD-RAW ",
        b"\0" * 64,
    ],
)
def test_sniff_refuses_the_rest(head: bytes) -> None:
    with pytest.raises(UnsupportedFormatError):
        sniff(head)


def test_sniff_refuses_nothing() -> None:
    with pytest.raises(EmptyFileError):
        sniff(b"")


# --- probe -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_probe_reads_each_format(name: str) -> None:
    assert look(EVERY_FORMAT[name]) == Probe(
        format=name,
        content_type=FORMATS[name].content_type,
        width=240,
        height=160,
        orientation=1,
    )


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", ROW_AND_COLUMN_0)
def test_all_orientations_are_turned_upright(format_: str, orientation: int) -> None:
    data = save(stored_as(grid(), orientation), format_, exif=oriented(orientation))
    seen = look(data)
    assert (seen.width, seen.height, seen.orientation) == (240, 160, orientation)
    assert displayed_size(data) == (240, 160)
    full, small = open_upright(data), open_upright(data, 60)
    assert full.size == (240, 160)
    assert is_grid(full)
    assert small.size == (60, 40)  # a JPEG is shrunk on load here
    assert is_grid(small)


@pytest.mark.parametrize("orientation", ROW_AND_COLUMN_0)
def test_exif_behind_the_pixels_of_a_png_counts(orientation: int) -> None:
    plain = save(stored_as(grid(), orientation), "PNG")
    exif = oriented(orientation).tobytes().removeprefix(b"Exif\0\0")
    data = plain[:-12] + png_chunk(b"eXIf", exif) + plain[-12:]
    seen = look(data)
    assert (seen.width, seen.height, seen.orientation) == (240, 160, orientation)
    assert is_grid(open_upright(data))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"\0"])
def test_broken_exif_is_ignored(exif: bytes) -> None:
    data = save(grid(), "JPEG", exif=exif)
    assert look(data).orientation == 1
    assert is_grid(open_upright(data))


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_unknown_orientation_means_upright(value: int) -> None:
    data = save(grid(), "JPEG", exif=oriented(value))
    assert look(data).orientation == 1
    assert is_grid(open_upright(data))


def test_probe_refuses_a_bomb_fast_and_silently() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        began = time.process_time()
        with pytest.raises(TooManyPixelsError, match="50000 x 50000 are 2500000000 pixels"):
            look(huge_png(50_000, 50_000), 100_000_000)
        assert time.process_time() - began < 1


def test_probe_allows_exactly_the_limit() -> None:
    data = EVERY_FORMAT["png"]
    assert look(data, 240 * 160).width == 240
    with pytest.raises(TooManyPixelsError):
        look(data, 240 * 160 - 1)


def test_probe_never_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(ImageFile.ImageFile, "load", decoded)
    for name, data in EVERY_FORMAT.items():
        assert look(data).format == name
    assert look(huge_png(5000, 5000)).width == 5000


def test_probe_refuses_nothing_and_nonsense() -> None:
    with pytest.raises(EmptyFileError):
        look(b"")
    with pytest.raises(UnsupportedFormatError):
        look(b"<script>alert(1)</script>")
    with pytest.raises(UnreadableImageError):
        look(huge_png(0, 10))


@pytest.mark.filterwarnings("ignore::UserWarning")  # what Pillow thinks of damaged tags
@pytest.mark.parametrize("name", FORMATS)
def test_only_our_errors_leave_for_damaged_files(name: str) -> None:
    data = EVERY_FORMAT[name]
    step = max(1, len(data) // 50)
    damaged = [data[:length] for length in range(step, len(data), step)]
    for at in range(4, min(len(data), 200)):
        damaged += [data[:at] + bytes([value]) + data[at + 1 :] for value in (0, 255)]
    for case in damaged:
        for use in (look, open_upright, displayed_size):
            with suppress(PhotoPipelineError):
                use(case)


# --- open ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", FORMATS)
def test_a_truncated_image_is_unreadable(name: str) -> None:
    noise = Image.effect_noise((160, 120), 80).convert("RGB")
    data = EVERY_FORMAT[name] if name == "heic" else save(noise, FORMATS[name].pillow)
    for length in (len(data) // 2, HEAD_BYTES, 16):
        with pytest.raises(UnreadableImageError):
            open_upright(data[:length])


@pytest.mark.parametrize("data", [b"", b"<html>", b"\xff\xd8\xff" + b"\0" * 100])
def test_garbage_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableImageError):
        open_upright(data)
    with pytest.raises(UnreadableImageError):
        displayed_size(data)


def test_corrupt_pixels_are_unreadable() -> None:
    data = bytearray(save(Image.effect_noise((160, 120), 80), "PNG"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(UnreadableImageError):
        open_upright(bytes(data))


OUT_OF_MEMORY = """
import resource, sys
from photo_pipeline.imaging.opening import open_upright
data = sys.stdin.buffer.read()
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 20_000_000,) * 2)
try:
    open_upright(data, 1500)
except MemoryError:
    print("no memory")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("format_", "options"), [("JPEG", {"progressive": True}), ("PNG", {}), ("AVIF", {"speed": 10})]
)
def test_want_of_memory_is_not_blamed_on_the_image(format_: str, options: dict[str, Any]) -> None:
    data = save(Image.linear_gradient("L").resize((4000, 3000)).convert("RGB"), format_, **options)
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY],
        input=data, capture_output=True, check=True, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout == b"no memory\n"


@pytest.mark.usefixtures("pixel_limit")
def test_open_refuses_bombs() -> None:
    limit_pixels(240 * 160)
    assert open_upright(EVERY_FORMAT["jpeg"]).size == (240, 160)
    limit_pixels(240 * 160 - 1)
    for data in (*EVERY_FORMAT.values(), huge_png(50_000, 50_000)):
        with pytest.raises(TooManyPixelsError):
            open_upright(data, 64)


@pytest.mark.usefixtures("pixel_limit")
def test_a_gif_frame_beyond_its_screen_counts_too() -> None:
    data = bytearray(save(Image.new("P", (8, 8)), "GIF"))
    frame = data.index(b",", 13)
    data[frame + 5 : frame + 9] = struct.pack("<HH", 20_000, 20_000)
    limit_pixels(1000)
    with pytest.raises(TooManyPixelsError):
        look(bytes(data), 1000)


def test_a_smaller_picture_keeps_its_size() -> None:
    assert open_upright(EVERY_FORMAT["jpeg"], 1000).size == (240, 160)


@pytest.mark.parametrize("box", [640, 500, 333, 100, 17, 1])
def test_shrink_on_load_matches_shrinking_afterwards(box: int) -> None:
    image = shrink(Image.effect_noise((60, 45), 90), (60, 45)).resize((1200, 899)).convert("RGB")
    data = save(image, "JPEG", quality=95)
    small = open_upright(data, box)
    assert small.size == fit((1200, 899), box)
    reference = shrink(open_upright(data), small.size)
    difference = [abs(a - b) for a, b in zip(small.tobytes(), reference.tobytes(), strict=True)]
    assert sum(difference) / len(difference) < 4


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [
        ((4000, 3000), 2048, (2048, 1536)),
        ((3000, 4000), 2048, (1536, 2048)),
        ((1000, 667), 500, (500, 334)),  # 333.5 up
        ((1000, 665), 500, (500, 333)),  # 332.5 up
        ((100, 50), 100, (100, 50)),
        ((100, 50), 200, (100, 50)),
        ((10_000, 3), 320, (320, 1)),
        ((3, 10_000), 1, (1, 1)),
        ((7, 7), 3, (3, 3)),
    ],
)
def test_fit(size: tuple[int, int], longest: int, expected: tuple[int, int]) -> None:
    assert fit(size, longest) == expected


def test_sixteen_bit_grey_is_scaled() -> None:
    wide = Image.new("I;16", (256, 8))
    for x in range(256):
        for y in range(8):
            wide.putpixel((x, y), x * 257)
    for format_ in ("PNG", "TIFF"):
        image = open_upright(save(wide, format_))
        assert image.mode == "RGB"
        assert [image.getpixel((x, 4)) for x in (0, 1, 128, 255)] == [
            (v, v, v) for v in (0, 1, 128, 255)
        ]


def test_sixteen_bit_grey_with_a_transparent_value() -> None:
    wide = Image.new("I;16", (2, 1))
    wide.putpixel((0, 0), 40_000)
    wide.putpixel((1, 0), 40_001)
    image = open_upright(save(wide, "PNG", transparency=40_000))
    assert image.mode == "RGBA"
    assert image.getpixel((0, 0)) == (156, 156, 156, 0)
    assert image.getpixel((1, 0)) == (156, 156, 156, 255)


@pytest.mark.parametrize(("mode", "white"), [("F", 1.0), ("F", 65_535.0), ("I", 65_535)])
def test_float_and_integer_grey_is_scaled(mode: str, white: float) -> None:
    wide = Image.new(mode, (3, 1))
    for x, share in enumerate((0, 0.5, 1)):
        wide.putpixel((x, 0), share * white if mode == "F" else int(share * white))
    image = open_upright(save(wide, "TIFF"))
    for x, grey in enumerate((0, 128, 255)):
        assert near(image.getpixel((x, 0)), (grey, grey, grey), 1)


@pytest.mark.parametrize("format_", ["JPEG", "TIFF"])
def test_cmyk_is_not_inverted(format_: str) -> None:
    image = open_upright(save(grid().convert("CMYK"), format_))
    assert image.mode == "RGB"
    assert is_grid(image)


def test_grey_and_bilevel_become_rgb() -> None:
    ramp = Image.linear_gradient("L")
    image = open_upright(save(ramp, "JPEG", quality=95))
    assert image.mode == "RGB"
    assert near(image.getpixel((9, 128)), (128, 128, 128))
    assert open_upright(save(Image.new("1", (4, 4), 1), "PNG")).getpixel((1, 1)) == (255,) * 3


def test_transparency_survives_in_every_form() -> None:
    rgba = Image.new("RGBA", (40, 20), (255, 0, 0, 255))
    rgba.paste((0, 0, 255, 0), (0, 0, 20, 20))
    palette = Image.new("P", (40, 20), 1)
    palette.putpalette([0, 0, 255, 255, 0, 0])
    palette.paste(0, (0, 0, 20, 20))
    keyed = Image.new("RGB", (40, 20), RED)
    keyed.paste(BLUE, (0, 0, 20, 20))
    files = {
        "rgba png": save(rgba, "PNG"),
        "rgba webp": save(rgba, "WEBP", lossless=True),
        "rgba tiff": save(rgba, "TIFF"),
        "rgba avif": save(rgba, "AVIF"),
        "palette png": save(palette, "PNG", transparency=0),
        "palette gif": save(palette, "GIF", transparency=0),
        "keyed png": save(keyed, "PNG", transparency=BLUE),
    }
    for name, data in files.items():
        for image in (open_upright(data), open_upright(data, 20)):
            assert image.mode == "RGBA", name
            quarter, height = image.width // 4, image.height // 2
            left, right = image.getpixel((quarter, height)), image.getpixel((3 * quarter, height))
            assert isinstance(left, tuple), name
            assert isinstance(right, tuple), name
            assert left[3] == 0, name
            assert near(right, (255, 0, 0, 255), 4), name
            assert written_format(Encoding(), image) == "png", name


def test_grey_with_alpha() -> None:
    image = Image.new("LA", (8, 8), (200, 100))
    assert open_upright(save(image, "PNG")).getpixel((3, 3)) == (200, 200, 200, 100)


def test_idle_alpha_is_dropped() -> None:
    image = open_upright(save(Image.new("RGBA", (8, 8), (1, 2, 3, 255)), "PNG"))
    assert image.mode == "RGB"
    assert written_format(Encoding(), image) == "jpeg"
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 255, 255, 0, 0])
    assert open_upright(save(palette, "PNG", transparency=0)).mode == "RGB"  # 0 is not used


def test_hidden_colours_do_not_bleed_when_shrunk() -> None:
    image = Image.new("RGBA", (400, 400), (0, 255, 0, 0))
    image.paste((255, 0, 0, 255), (101, 0, 400, 400))
    small = open_upright(save(image, "PNG"), 50)
    for x in range(50):
        pixel = small.getpixel((x, 25))
        assert isinstance(pixel, tuple)
        assert pixel[3] == 0 or near(pixel[:3], RED, 8)


@pytest.mark.parametrize("format_", ["GIF", "PNG", "WEBP", "AVIF"])
def test_the_first_frame_of_an_animation_is_taken(format_: str) -> None:
    frames = [Image.new("RGB", (64, 48), colour) for colour in (BLUE, GREEN, RED)]
    data = save(frames[0], format_, save_all=True, append_images=frames[1:], duration=50)
    image = open_upright(data)
    assert image.size == (64, 48)
    assert near(image.getpixel((32, 24)), BLUE, 12)


# --- colour ----------------------------------------------------------------------------------

P3_IN_D50 = {  # ICC "Display P3" colorants
    b"rXYZ": (0.51512, 0.2412, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.1571, 0.06657, 0.78407),
}
XYZ_D50_TO_SRGB = (
    (3.1338561, -1.6168667, -0.4906146),
    (-0.9787684, 1.9161415, 0.0334540),
    (0.0719453, -0.2289914, 1.4052427),
)


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def display_p3() -> bytes:
    """Put the colorants of P3 into an sRGB profile: both have the same curve."""
    profile = bytearray(srgb_profile())
    (count,) = struct.unpack_from(">I", profile, 128)
    for i in range(count):
        tag, offset, _ = struct.unpack_from(">4sII", profile, 132 + 12 * i)
        if tag in P3_IN_D50:
            fixed = [round(value * 65536) for value in P3_IN_D50[tag]]
            struct.pack_into(">3i", profile, offset + 8, *fixed)
    return bytes(profile)


def p3_to_srgb(colour: tuple[int, ...]) -> tuple[int, ...]:
    """Convert by the formulas of IEC 61966-2-1, without Pillow."""

    def linear(value: float) -> float:
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    def encoded(value: float) -> int:
        value = min(1.0, max(0.0, value))
        value = 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
        return round(255 * value)

    light = [linear(value / 255) for value in colour]
    columns = [P3_IN_D50[tag] for tag in (b"rXYZ", b"gXYZ", b"bXYZ")]
    xyz = [sum(columns[c][i] * light[c] for c in range(3)) for i in range(3)]
    return tuple(encoded(sum(row[i] * xyz[i] for i in range(3))) for row in XYZ_D50_TO_SRGB)


COLOURS = ((200, 100, 50), (60, 140, 90), (128, 128, 128), (255, 255, 255), (0, 0, 0))


@pytest.mark.parametrize("colour", COLOURS)
def test_a_wide_gamut_profile_is_converted(colour: tuple[int, int, int]) -> None:
    expected = p3_to_srgb(colour)
    for format_ in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if format_ == "WEBP" else {}
        data = save(Image.new("RGB", (8, 8), colour), format_, icc_profile=display_p3(), **options)
        assert near(open_upright(data).getpixel((4, 4)), expected, 2), format_
    data = save(Image.new("RGB", (16, 16), colour), "JPEG", quality=95, icc_profile=display_p3())
    assert near(open_upright(data, 8).getpixel((4, 4)), expected, 4)


def test_the_conversion_is_not_idle() -> None:
    assert not near(p3_to_srgb((200, 100, 50)), (200, 100, 50), 8)


def test_a_profile_applies_under_alpha_and_to_grey() -> None:
    rgba = Image.new("RGBA", (8, 8), (200, 100, 50, 90))
    image = open_upright(save(rgba, "PNG", icc_profile=display_p3()))
    assert near(image.getpixel((4, 4)), (*p3_to_srgb((200, 100, 50)), 90), 2)
    grey = open_upright(save(Image.new("L", (8, 8), 77), "PNG", icc_profile=display_p3()))
    assert near(grey.getpixel((4, 4)), (77, 77, 77), 2)


def test_srgb_pixels_stay_as_they_are() -> None:
    image = Image.effect_noise((64, 64), 90).convert("RGB")
    data = save(image, "PNG", icc_profile=srgb_profile())
    assert open_upright(data).tobytes() == image.tobytes()


@pytest.mark.parametrize("profile", [b"not a profile", display_p3()[:200], b"\0" * 300])
def test_a_broken_profile_is_ignored(profile: bytes) -> None:
    data = save(grid(), "PNG", icc_profile=profile)
    assert open_upright(data).tobytes() == grid().tobytes()


def test_a_profile_of_another_colour_space_is_ignored() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert is_grid(open_upright(save(grid(), "JPEG", icc_profile=lab)))
    data = save(grid().convert("CMYK"), "JPEG", icc_profile=display_p3())
    assert is_grid(open_upright(data))


# --- encode ----------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", WRITTEN)
def test_encoding_is_deterministic_and_bare(format_: str) -> None:
    image = grid()
    image.info = {
        "icc_profile": display_p3(),
        "exif": oriented(6).tobytes(),
        "comment": b"secret",
        "transparency": RED,
        "xmp": b"<secret/>",
        "dpi": (300, 300),
    }
    one, other = (
        encode("x", image, Encoding.model_validate({"format": format_})) for _ in range(2)
    )
    assert one == other
    assert (one.name, one.width, one.height, one.format) == ("x", 240, 160, format_)
    read = Image.open(io.BytesIO(one.data))
    read.load()
    assert not {"icc_profile", "exif", "xmp", "comment", "transparency", "dpi"} & read.info.keys()
    assert b"secret" not in one.data
    assert is_grid(read.convert("RGB"))


def test_jpeg_of_a_transparent_picture_lies_on_white() -> None:
    picture = encode("x", Image.new("RGBA", (16, 16), (0, 0, 0, 0)), Encoding(format="jpeg"))
    assert near(Image.open(io.BytesIO(picture.data)).getpixel((8, 8)), (255, 255, 255), 2)


def test_png_keeps_alpha() -> None:
    image = Image.new("RGBA", (16, 16), (10, 20, 30, 40))
    picture = encode("x", image, Encoding())
    assert picture.format == "png"
    assert Image.open(io.BytesIO(picture.data)).getpixel((8, 8)) == (10, 20, 30, 40)
