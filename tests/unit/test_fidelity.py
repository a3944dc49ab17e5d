"""The fidelity receipt: quiet over right renditions, loud over wrong ones."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from photo_pipeline.domain.receipt import UNLIKE, FidelityReceipt, PrivacyReceipt, Receipt
from photo_pipeline.domain.stage import Picture
from photo_pipeline.errors import FidelityViolationError
from photo_pipeline.imaging import fidelity as module
from photo_pipeline.imaging.difference import _ciede2000, colour_difference
from photo_pipeline.imaging.fidelity import Made, Reference, fidelity
from photo_pipeline.imaging.metadata import read_metadata
from photo_pipeline.imaging.opening import open_upright
from photo_pipeline.imaging.receipts import Claim, certified
from photo_pipeline.imaging.scale import fit, shrink
from photo_pipeline.imaging.strips import strips
from support.pictures import save
from support.processes import SAMPLES

JPEG = {"quality": 82, "restart_marker_rows": 1}
PHOTOS = ("dogs-orientation-6.jpg", "astronaut.jpg", "galaxies.webp", "fig-cutout-alpha.png")


def photo(name: str = "dogs-orientation-6.jpg", side: int = 1280) -> Image.Image:
    return open_upright((SAMPLES / name).read_bytes(), side)


def compare(data: bytes, expected: Image.Image, **options: Any) -> FidelityReceipt:
    return fidelity([Made(data, Reference(expected), **options)])[0]


def complaints(receipt: FidelityReceipt) -> tuple[str, ...]:
    return Receipt(privacy=PrivacyReceipt(), fidelity=receipt).violations()


def pattern(kind: str, size: tuple[int, int]) -> Image.Image:
    width, height = size
    rows, columns = np.indices((height, width))
    chance = np.random.default_rng(1)
    match kind:
        case "flat":
            return Image.new("RGB", size, (200, 30, 30))
        case "noise":
            grain = chance.integers(0, 256, (height, width, 3), dtype=np.uint8)
        case "lines":
            grain = np.repeat((rows % 4 == 0)[..., None], 3, 2).astype(np.uint8) * 255
        case "checks":
            grain = np.repeat(((rows + columns) % 2)[..., None], 3, 2).astype(np.uint8) * 255
        case _:
            ramp = (columns * 255 // max(1, width - 1)).astype(np.uint8)
            grain = np.repeat(ramp[..., None], 3, 2)
    return Image.fromarray(grain)


@pytest.mark.parametrize("quality", [30, 95])
@pytest.mark.parametrize("format_", ["JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 700), (700, 1), (3, 5), (17, 16), (64, 64), (127, 33), (641, 479)]
)
@pytest.mark.parametrize("kind", ["flat", "noise", "lines", "checks", "ramp"])
def test_a_right_rendition_of_a_drawn_picture_passes(
    kind: str, size: tuple[int, int], format_: str, quality: int
) -> None:
    drawn = pattern(kind, size)
    reference = Reference(drawn)
    options = JPEG if format_ == "JPEG" else {"method": 0} if format_ == "WEBP" else {"speed": 10}
    for side in (640, 320, 100, 31):
        drawn = shrink(drawn, fit(drawn.size, side))
        data = save(drawn, format_, **{**options, "quality": quality})
        assert complaints(fidelity([Made(data, reference)])[0]) == ()


@pytest.mark.parametrize("quality", [30, 60, 95])
@pytest.mark.parametrize("name", PHOTOS)
def test_a_right_rendition_of_a_photograph_is_near_it(name: str, quality: int) -> None:
    image = photo(name)
    reference, flat = Reference(image), Image.new("RGB", image.size, "white")
    flat.paste(image, mask=image if image.mode == "RGBA" else None)
    for side in (1280, 640, 320, 160):
        flat = shrink(flat, fit(image.size, side))
        data = save(flat, "JPEG", **{**JPEG, "quality": quality})
        (receipt,) = fidelity([Made(data, reference)])
        assert receipt.ssim is not None
        assert receipt.ssim > 0.93
        assert receipt.colour_difference < 3


def bottom_half_grey(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.paste((128, 128, 128), (0, image.height // 2, image.width, image.height))
    return image


FAULTS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "inverted": ImageOps.invert,
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "turned by 180": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "turned by 90": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "turned and squeezed": lambda image: image.transpose(Image.Transpose.ROTATE_90).resize(
        image.size
    ),
    "half grey": bottom_half_grey,
    "channels swapped": lambda image: Image.merge("RGB", image.split()[::-1]),
    "too bright": lambda image: image.point(lambda value: 255 * (value / 255) ** 0.6),
    "without colours": lambda image: image.convert("L").convert("RGB"),
}


@pytest.mark.parametrize("name", PHOTOS[:2])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_rendition_is_refused(fault: str, name: str) -> None:
    image = photo(name)
    wrong = FAULTS[fault](shrink(image, fit(image.size, 640)))
    assert complaints(compare(save(wrong, "JPEG", **JPEG), image))


def test_black_in_the_place_of_transparent_is_refused() -> None:
    image = photo("fig-cutout-alpha.png")
    black = Image.new("RGB", image.size)
    black.paste(image, mask=image)
    assert complaints(compare(save(black, "JPEG", **JPEG), image))
    assert complaints(compare(save(black.convert("RGBA"), "PNG"), image))
    assert complaints(compare(save(black, "JPEG", **JPEG), image, background="#000000")) == ()
    assert complaints(compare(save(image, "PNG"), image)) == ()


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"GIF89a", save(Image.new("1", (9, 9)))])
def test_what_cannot_be_compared_is_refused(data: bytes) -> None:
    receipt = compare(data, photo())
    assert receipt == UNLIKE
    assert complaints(receipt)


def test_a_jpeg_cut_short_is_refused() -> None:
    image = photo()
    data = save(image, "JPEG", **JPEG)
    assert complaints(compare(data[: len(data) // 2] + b"\xff\xd9", image))


def test_a_region_is_compared_with_itself_only() -> None:
    image = photo()
    region = (0.25, 0.5, 0.5, 0.25)
    left, top = round(image.width * 0.25), round(image.height * 0.5)
    part = image.crop((left, top, left + round(image.width / 2), top + round(image.height / 4)))
    data = save(part, "JPEG", **JPEG)
    assert complaints(compare(data, image, region=region)) == ()
    assert complaints(compare(data, image, region=(0.25, 0.1, 0.5, 0.25)))


def test_strips_say_the_same_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    image = photo()
    data = save(image, "JPEG", **JPEG)
    assert strips(data) is not None
    some = compare(data, image)
    monkeypatch.setattr(module, "strips", lambda _: None)
    whole = compare(data, image)
    assert some.ssim == pytest.approx(whole.ssim, abs=0.002)
    assert some.colour_difference == pytest.approx(whole.colour_difference, abs=0.05)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("size", [(1280, 960), (1281, 967), (401, 30)])
def test_any_rows_of_a_jpeg_can_be_taken_out(subsampling: str, size: tuple[int, int]) -> None:
    image = photo().resize(size)
    data = save(image, "JPEG", **JPEG, subsampling=subsampling)
    cut = strips(data)
    assert cut is not None
    chosen = [n for n in (0, 2, 3, 11, 12, 13, 50) if n < len(cut.rows)]
    joined = open_upright(cut.joined(chosen))
    whole = open_upright(data)
    for place, number in enumerate(chosen):
        top = number * cut.height + 2  # colours of the first rows are mixed with the row above
        rows = min(cut.height - 4, image.height - top)
        box = (0, place * cut.height + 2, image.width, place * cut.height + 2 + rows)
        assert joined.crop(box) == whole.crop((0, top, image.width, top + rows))


def test_other_jpegs_are_no_strips() -> None:
    image = photo()
    assert strips(save(image, "JPEG")) is None
    assert strips(save(image, "JPEG", progressive=True)) is None
    assert strips(save(image, "JPEG", restart_marker_blocks=7)) is None
    assert strips(save(image, "PNG")) is None


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 3.1571, -77.2803), (50, 0, -82.7485), 2.8615),
        ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
        ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
        ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (61, -5, 29), 22.8977),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_ciede2000_is_that_of_sharma_wu_and_dalal(
    one: tuple[float, ...], other: tuple[float, ...], expected: float
) -> None:
    first, second = (np.array(lab, np.float32)[:, None] for lab in (one, other))
    assert _ciede2000(first, second).item() == pytest.approx(expected, abs=5e-4)
    assert _ciede2000(second, first).item() == pytest.approx(expected, abs=5e-4)


def test_colour_difference_of_known_colours() -> None:
    def difference(one: tuple[int, ...], other: tuple[int, ...]) -> float:
        first, second = (np.array([[[colour]]], np.float32) for colour in (one, other))
        return float(colour_difference(first, second).item())

    assert difference((10, 20, 30), (10, 20, 30)) == 0
    assert difference((0, 0, 0), (255, 255, 255)) == pytest.approx(100, abs=0.01)
    assert difference((255, 0, 0), (0, 255, 0)) == pytest.approx(86.61, abs=0.02)
    assert difference((0, 0, 255), (255, 255, 0)) == pytest.approx(103.43, abs=0.02)


def test_an_infidelity_is_a_failed_attempt() -> None:
    image = Image.new("RGB", (300, 200), "white")
    ImageDraw.Draw(image).ellipse((50, 50, 200, 150), fill="navy")
    data = save(ImageOps.invert(image), "JPEG", **JPEG)
    wrong = Picture(name="300", data=data, width=300, height=200, format="jpeg")
    with pytest.raises(FidelityViolationError, match="rendition 300: ssim"):
        certified([wrong], {"300": Claim(Made(data, Reference(image)), read_metadata(b""), {})})
