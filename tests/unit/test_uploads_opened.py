"""How uploads are opened: what is told beside the picture, and what is refused."""

import io
from pathlib import Path

import pytest
from PIL import Image, ImageCms

from photo_pipeline.errors import UnreadableImageError
from photo_pipeline.imaging.opening import Opened, open_noted, open_upright
from photo_pipeline.imaging.probe import probe
from photo_pipeline.stages.resize import ResizeParameters, resize
from support.pictures import save
from support.processes import SAMPLES

GOLDEN = Path(__file__).parents[1] / "golden"
CAT = Image.open(SAMPLES / "cat-small.jpg").convert("RGB")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def codes(opened: Opened) -> list[str]:
    return [note.code for note in opened.notes]


def pixel(image: Image.Image, at: tuple[int, int]) -> tuple[int, ...]:
    found = image.convert("RGB").getpixel(at)
    assert isinstance(found, tuple)
    return found


# --- profiles ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "profile"),
    [
        ("RGB", b"no profile at all"),
        ("RGB", SRGB[:200]),
        ("L", SRGB[:200]),
        ("CMYK", SRGB),  # of another colour space
    ],
)
def test_a_profile_that_cannot_be_used_is_told(mode: str, profile: bytes) -> None:
    plain, odd = (
        open_noted(save(CAT.convert(mode), "JPEG", quality=95, icc_profile=icc))
        for icc in (None, profile)
    )
    assert codes(odd) == ["profile_ignored"]
    assert odd.image.tobytes() == plain.image.tobytes()


@pytest.mark.parametrize("profile", [None, SRGB])
def test_a_usable_profile_is_no_note(profile: bytes | None) -> None:
    assert codes(open_noted(save(CAT, "JPEG", icc_profile=profile))) == []


def test_a_note_stands_in_the_facts() -> None:
    data = save(CAT, "JPEG", icc_profile=b"broken")
    (note,) = resize({"original": data}, ResizeParameters()).facts["notes"]
    assert note["code"] == "profile_ignored"
    assert "profile" in note["message"]


# --- inks --------------------------------------------------------------------------------------


def without_adobe_marker(data: bytes) -> bytes:
    at = data.index(b"\xff\xee\x00\x0eAdobe")
    return data[:at] + data[at + 16 :]


def test_inks_are_stored_inverted_with_adobes_marker_and_without() -> None:
    """As all programs read them, whatever ITU-T T.872 says of files without the marker."""
    adobe = save(Image.new("CMYK", (64, 64), (0, 255, 255, 0)), "JPEG", quality=95)
    for data in (adobe, without_adobe_marker(adobe)):
        assert pixel(open_upright(data), (32, 32)) == pytest.approx((255, 0, 0), abs=6)


# --- HEIC and JPEG 2000 --------------------------------------------------------------------------


def test_a_heic_is_turned_once() -> None:
    """The container says "turn by 90 degrees", and so does its EXIF, as phones write it."""
    data = (GOLDEN / "turned.heic").read_bytes()
    header = probe(io.BytesIO(data), 10**6)
    assert (header.format, header.content_type) == ("heic", "image/heic")
    image = open_upright(data)
    assert image.size == (header.width, header.height) == (160, 240)
    upright = Image.open(GOLDEN / "grid.png").convert("RGB").transpose(Image.Transpose.ROTATE_270)
    for x, y in ((40, 40), (120, 40), (40, 120), (120, 120), (40, 200), (120, 200)):
        assert pixel(image, (x, y)) == pytest.approx(pixel(upright, (x, y)), abs=30)


def test_the_bare_codestream_of_jpeg_2000_is_read_too() -> None:
    data = save(CAT, "JPEG2000", no_jp2=True, quality_layers=[20], quality_mode="rates")
    assert data[:4] == b"\xff\x4f\xff\x51"
    assert open_upright(data).size == CAT.size


# --- cut files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_may_lack_its_end_marker(progressive: bool, missing: int) -> None:
    data = save(CAT, "JPEG", progressive=progressive)
    cut = open_noted(data[:-missing])
    assert codes(cut) == ["truncated_accepted"]
    assert cut.image.tobytes() == open_upright(data).tobytes()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [10, 100, 3000])
def test_a_jpeg_may_lack_no_pixel(progressive: bool, missing: int) -> None:
    data = save(CAT, "JPEG", progressive=progressive)
    with pytest.raises(UnreadableImageError):
        open_noted(data[:-missing])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_an_end_marker_does_not_hide_the_cut(share: float) -> None:
    data = save(CAT, "JPEG", quality=90)
    with pytest.raises(UnreadableImageError, match="cut"):
        open_noted(data[: int(len(data) * share)] + b"\xff\xd9")
    with pytest.raises(UnreadableImageError, match="cut"):
        open_noted(data[: int(len(data) * share)] + b"\xff\xd9", 100)


@pytest.mark.parametrize("box", [None, 60])
def test_a_flat_corner_is_not_mistaken_for_a_cut(box: int | None) -> None:
    image = CAT.copy()
    image.paste((128, 128, 128), (0, 150, *image.size))
    for progressive in (False, True):
        assert codes(open_noted(save(image, "JPEG", progressive=progressive), box)) == []


@pytest.mark.parametrize(
    ("format_", "trailer"), [("PNG", 12), ("GIF", 1), ("JPEG", 2)], ids=["png", "gif", "jpeg"]
)
def test_only_the_trailer_may_be_missing(format_: str, trailer: int) -> None:
    data = save(CAT, format_)
    whole = open_upright(data)
    assert open_noted(data[:-trailer]).image.tobytes() == whole.tobytes()
    with pytest.raises(UnreadableImageError):
        open_noted(data[: -trailer - 60])
