"""The resize stage."""

import base64
import io
import time
from typing import Any

import pytest
from PIL import Image, ImageCms
from pydantic import ValidationError

from photo_pipeline.domain.stage import Output, Picture
from photo_pipeline.errors import UnreadableImageError
from photo_pipeline.stages.resize import STAGE, ResizeParameters, resize
from support.pictures import save


def noise(width: int, height: int) -> Image.Image:
    """Make a picture with detail of all sizes, different in each quarter."""
    image = Image.effect_noise((16, 12), 100).resize((width, height), Image.Resampling.BICUBIC)
    red = Image.linear_gradient("L").resize((width, height))
    return Image.merge("RGB", (red, image, red.transpose(Image.Transpose.ROTATE_180)))


def run(data: bytes, *sizes: int) -> Output:
    parameters = ResizeParameters(sizes=sizes) if sizes else ResizeParameters()
    return resize({"original": data}, parameters)


def opened(picture: Picture) -> Image.Image:
    image = Image.open(io.BytesIO(picture.data))
    image.load()
    return image


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    pairs = zip(one.tobytes(), other.tobytes(), strict=True)
    return sum(abs(a - b) for a, b in pairs) / len(one.tobytes())


def test_the_defaults() -> None:
    parameters = ResizeParameters()
    assert STAGE.reads(parameters) == ("original",)
    assert STAGE.writes(parameters) == ("2048", "1280", "640", "320")


def test_sizes_are_sorted_largest_first() -> None:
    assert ResizeParameters(sizes=(320, 2048, 640)).sizes == (2048, 640, 320)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sizes": ()},
        {"sizes": (0,)},
        {"sizes": (-5,)},
        {"sizes": (10_001,)},
        {"sizes": (640, 640)},
        {"sizes": tuple(range(1, 18))},
        {"quality": 0},
        {"quality": 96},
        {"unknown": 1},
    ],
)
def test_wrong_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ResizeParameters(**wrong)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1000, 750), [(640, 480), (320, 240), (100, 75)]),
        ((750, 1000), [(480, 640), (240, 320), (75, 100)]),
        ((1001, 333), [(640, 213), (320, 106), (100, 33)]),  # from the original, never in steps
        ((1000, 2), [(640, 1), (320, 1), (100, 1)]),
        ((2, 1000), [(1, 640), (1, 320), (1, 100)]),
    ],
)
def test_the_aspect_is_kept(size: tuple[int, int], expected: list[tuple[int, int]]) -> None:
    output = run(save(noise(*size), "JPEG"), 640, 320, 100)
    assert [(picture.width, picture.height) for picture in output.pictures] == expected
    assert [opened(picture).size for picture in output.pictures] == expected
    assert [picture.name for picture in output.pictures] == ["640", "320", "100"]
    assert (output.facts["width"], output.facts["height"]) == size


def test_nothing_is_enlarged_and_equal_pictures_share_their_bytes() -> None:
    output = run(save(noise(500, 400), "JPEG"), 2048, 1280, 320)
    large, middle, small = output.pictures
    assert [picture.name for picture in output.pictures] == ["2048", "1280", "320"]
    assert (large.width, large.height) == (middle.width, middle.height) == (500, 400)
    assert large.data is middle.data
    assert (small.width, small.height) == (320, 256)


def test_a_single_pixel() -> None:
    output = run(save(Image.new("RGB", (1, 1), "red"), "PNG"))
    assert [(p.width, p.height) for p in output.pictures] == [(1, 1)] * 4
    assert (output.facts["width"], output.facts["height"]) == (1, 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_renditions_are_upright(orientation: int) -> None:
    upright = noise(900, 600)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    output = run(save(stored, "JPEG", quality=95, exif=exif), 640, 200)
    assert (output.facts["width"], output.facts["height"]) == (900, 600)
    for picture, size in zip(output.pictures, ((640, 427), (200, 133)), strict=True):
        expected = upright.resize(size, Image.Resampling.LANCZOS)
        assert mean_difference(opened(picture), expected) < 4


def test_the_cascade_is_as_good_as_resizing_from_the_full_photo() -> None:
    full = noise(2400, 1800)
    output = run(save(full, "PNG"))
    for picture in output.pictures:
        expected = full.resize((picture.width, picture.height), Image.Resampling.LANCZOS)
        reference = Image.open(io.BytesIO(save(expected, "JPEG", quality=82)))
        assert mean_difference(opened(picture), reference) < 1


def test_metadata_stays_behind() -> None:
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 36.0)}
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = save(
        noise(800, 600), "JPEG", exif=exif.tobytes(), icc_profile=profile,
        xmp=b"<x:xmpmeta>SecretXmp</x:xmpmeta>", comment=b"SecretComment",
    )  # fmt: skip
    assert b"SecretCamera" in data
    assert b"SecretXmp" in data
    for picture in run(data, 2048, 640).pictures:
        assert b"Secret" not in picture.data
        assert b"Exif" not in picture.data
        assert b"ICC_PROFILE" not in picture.data
        assert len(opened(picture).getexif()) == 0
        assert opened(picture).getexif().get_ifd(0x8825) == {}


def test_opaque_photos_become_jpeg_420() -> None:
    rgba = noise(700, 500).convert("RGBA")
    for picture in run(save(rgba, "PNG"), 640, 320).pictures:
        assert picture.format == "jpeg"
        image = opened(picture)
        assert image.format == "JPEG"
        assert image.layer[0][1:3] == (2, 2)  # type: ignore[attr-defined]  # luma sampling


def test_transparency_is_kept_in_all_sizes_without_dark_edges() -> None:
    logo = Image.new("RGBA", (1000, 800), (0, 0, 0, 0))
    logo.paste((255, 255, 255, 255), (301, 203, 701, 603))
    for picture in run(save(logo, "PNG"), 640, 320, 33).pictures:
        assert picture.format == "png"
        image = opened(picture)
        assert image.mode == "RGBA"
        assert image.getpixel((0, 0))[3] == 0  # type: ignore[index]
        assert image.getpixel((image.width // 2, image.height // 2)) == (255, 255, 255, 255)
        edge = [image.getpixel((x, image.height // 2)) for x in range(image.width)]
        assert all(pixel[0] > 240 for pixel in edge if pixel[3] > 8)  # type: ignore[index]


def test_the_placeholder_is_a_tiny_webp() -> None:
    photo = Image.new("RGB", (1200, 800), (200, 40, 40))
    photo.paste((30, 60, 200), (600, 0, 1200, 800))
    uri = run(save(photo, "JPEG")).facts["placeholder"]
    head, _, body = uri.partition(",")
    assert head == "data:image/webp;base64"
    assert len(uri) < 400
    image = Image.open(io.BytesIO(base64.b64decode(body)))
    assert (image.format, image.size) == ("WEBP", (16, 11))
    for x, colour in ((3, (200, 40, 40)), (12, (30, 60, 200))):
        pixel = image.convert("RGB").getpixel((x, 5))
        assert isinstance(pixel, tuple)
        assert all(abs(a - b) < 30 for a, b in zip(pixel, colour, strict=True))


def test_the_same_input_gives_the_same_bytes() -> None:
    data = save(noise(900, 700), "WEBP")
    assert run(data) == run(data)


def test_quality_counts() -> None:
    data = save(Image.effect_noise((600, 400), 60), "PNG")
    sizes = [
        len(resize({"original": data}, ResizeParameters(sizes=(512,), quality=q)).pictures[0].data)
        for q in (30, 60, 90)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 2


def test_a_truncated_photo_is_refused() -> None:
    data = save(noise(900, 700), "JPEG")
    with pytest.raises(UnreadableImageError):
        run(data[: len(data) // 2])


def test_the_cascade_is_faster_than_four_full_resizes() -> None:
    full = noise(4000, 3000)
    data = save(full, "JPEG")

    def naive() -> None:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        for side in (2048, 1280, 640, 320):
            size = (side, side * 3 // 4)
            save(image.resize(size, Image.Resampling.LANCZOS), "JPEG", quality=82)

    def seconds(work: Any) -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    ratios = [seconds(naive) / seconds(lambda: run(data)) for _ in range(3)]
    assert max(ratios) > 1.4
