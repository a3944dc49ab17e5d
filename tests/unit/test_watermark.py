"""The watermark stage."""

import base64
import io
import time
from typing import Any, get_args

import pytest
from PIL import Image, ImageChops, ImageStat
from pydantic import ValidationError

from photo_pipeline.errors import UnreadableImageError
from photo_pipeline.imaging.mark import logo_shape, text_shape
from photo_pipeline.imaging.placing import FREE_SPACE_BEFORE, Position
from photo_pipeline.stages.watermark import MAX_LOGO_BYTES, STAGE, WatermarkParameters, watermark
from support.pictures import save

POSITIONS: tuple[Position, ...] = get_args(Position)
SIZE = (640, 480)


def marked(before: Image.Image, format_: str = "PNG", **options: Any) -> Image.Image:
    """Return *before* marked; PNG, so that every changed pixel is the mark's."""
    parameters = WatermarkParameters(renditions=("x",), **options)
    output = watermark({"x": save(before, format_)}, parameters)
    (picture,) = output.pictures
    assert picture.name == "x-watermarked"
    result = Image.open(io.BytesIO(picture.data))
    assert result.format == format_
    assert result.size == (picture.width, picture.height) == before.size
    return result


def logo(colour: tuple[int, ...] = (255, 255, 255, 255), size: tuple[int, int] = (60, 30)) -> str:
    image = Image.new("RGBA", size, (0, 0, 0, 0))
    image.paste(colour, (2, 2, size[0] - 2, size[1] - 2))
    return base64.b64encode(save(image, "PNG")).decode()


def changed(before: Image.Image, after: Image.Image) -> tuple[int, int, int, int]:
    box = ImageChops.difference(before, after.convert(before.mode)).getbbox(alpha_only=False)
    assert box is not None, "nothing changed"
    return box


GROUNDS = {
    "black": Image.new("RGB", SIZE, "black"),
    "grey": Image.new("RGB", SIZE, (128, 128, 128)),
    "white": Image.new("RGB", SIZE, "white"),
    "busy": Image.merge("RGB", [Image.effect_noise(SIZE, 60) for _ in range(3)]),
}


def test_all_nine_positions_are_there() -> None:
    assert len(POSITIONS) == 9
    assert FREE_SPACE_BEFORE.keys() == set(POSITIONS)


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("image", [None, logo(), logo((0, 0, 0, 255))])
def test_the_mark_shows_where_it_was_asked_for(
    ground: str, position: Position, image: str | None
) -> None:
    before = GROUNDS[ground]
    after = marked(before, position=position, image=image)
    left, top, right, bottom = changed(before, after)
    width, height, margin = right - left, bottom - top, round(0.02 * SIZE[1])
    assert 0.18 * SIZE[0] <= width <= 0.25 * SIZE[0] + 1
    assert height < 0.3 * SIZE[1]
    # The outermost pixels of the halo may be too faint to change anything.
    slack = 10
    for start, end, total, edges in (
        (left, right, SIZE[0], ("left", "right")),
        (top, bottom, SIZE[1], ("top", "bottom")),
    ):
        if edges[0] in position:
            assert margin <= start <= margin + slack
        elif edges[1] in position:
            assert margin <= total - end <= margin + slack
        else:
            assert abs((start + end) - total) <= 2 * slack
    # It shows: somewhere under it the picture changes strongly, and often.
    luma = ImageChops.difference(before, after).convert("L").crop((left, top, right, bottom))
    assert luma.getextrema()[1] >= 70  # type: ignore[operator]
    assert ImageStat.Stat(luma).mean[0] >= 6


def test_only_the_corner_changes_in_a_jpeg_too() -> None:
    before = GROUNDS["grey"]
    after = marked(before, "JPEG", encoding={"quality": 95})
    difference = ImageChops.difference(before, after).convert("L")
    assert difference.crop((480, 440, 640, 480)).getextrema()[1] > 50  # type: ignore[operator]
    difference.paste(0, (464, 432, 640, 480))  # the mark and the JPEG blocks that it touches
    assert difference.getextrema()[1] <= 2  # type: ignore[operator]


@pytest.mark.parametrize("ground", ["black", "white"])
def test_opacity_and_scale_count(ground: str) -> None:
    before = GROUNDS[ground]

    def strength(**options: Any) -> float:
        return ImageStat.Stat(
            ImageChops.difference(before, marked(before, contrast=1, **options))
        ).sum[0]

    assert strength(opacity=0.2) < strength(opacity=0.6) < strength(opacity=1.0)
    assert strength(scale=0.1) < strength(scale=0.25) < strength(scale=0.8)
    small, large = (changed(before, marked(before, scale=scale)) for scale in (0.1, 0.8))
    assert large[2] - large[0] > 6 * (small[2] - small[0])


def test_the_mark_grows_with_the_picture() -> None:
    widths = []
    for width in (320, 640, 1280):
        before = Image.new("RGB", (width, width * 3 // 4), (90, 90, 90))
        left, _, right, _ = changed(before, marked(before, contrast=1))
        widths.append(right - left)
    assert widths[1] == pytest.approx(2 * widths[0], abs=8)
    assert widths[2] == pytest.approx(4 * widths[0], abs=14)


@pytest.mark.parametrize(
    "size", [(1, 1), (2, 2), (320, 3), (3, 320), (10_000, 2), (2, 3000), (16, 12), (640, 1)]
)
@pytest.mark.parametrize("image", [None, logo(), logo(size=(400, 7)), logo(size=(7, 400))])
def test_it_fits_into_any_picture(size: tuple[int, int], image: str | None) -> None:
    before = Image.new("RGB", size, (90, 90, 90))
    for position in ("bottom-right", "top-left", "centre"):
        for margin in (0, 0.25):
            after = marked(before, image=image, position=position, margin=margin, scale=1)
            assert after.size == size


def test_alpha_stays_and_the_mark_adds_to_it() -> None:
    before = Image.new("RGBA", SIZE, (200, 30, 30, 0))
    before.paste((200, 30, 30, 255), (0, 0, 320, 480))
    after = marked(before)
    assert after.mode == "RGBA"
    assert after.getpixel((10, 10)) == (200, 30, 30, 255)
    assert after.getpixel((600, 10))[3] == 0  # type: ignore[index]
    corner = after.getchannel("A").crop((480, 440, 640, 480))
    assert corner.getextrema()[1] > 120  # type: ignore[operator]


def test_a_webp_rendition_stays_webp_and_others_find_a_format() -> None:
    assert marked(GROUNDS["grey"], "WEBP").format == "WEBP"
    output = watermark({"x": save(GROUNDS["grey"], "BMP")}, WatermarkParameters(renditions=("x",)))
    assert output.pictures[0].format == "jpeg"


def test_each_rendition_is_marked() -> None:
    parameters = WatermarkParameters()
    assert STAGE.reads(parameters) == ("2048", "1280")
    inputs = {
        "2048": save(Image.new("RGB", (200, 150)), "JPEG"),
        "1280": save(Image.new("RGB", (100, 75)), "JPEG"),
    }
    output = watermark(inputs, parameters)
    assert [p.name for p in output.pictures] == ["2048-watermarked", "1280-watermarked"]
    assert tuple(p.name for p in output.pictures) == STAGE.writes(parameters)
    assert [p.width for p in output.pictures] == [200, 100]


def test_the_same_input_gives_the_same_bytes_also_from_a_cold_cache() -> None:
    inputs = {"x": save(GROUNDS["busy"], "JPEG")}
    parameters = WatermarkParameters(renditions=("x",))
    first = watermark(inputs, parameters)
    assert watermark(inputs, parameters) == first
    text_shape.cache_clear()
    logo_shape.cache_clear()
    assert watermark(inputs, parameters) == first


@pytest.mark.parametrize(
    "wrong",
    [
        {"renditions": ()},
        {"renditions": ("a", "a")},
        {"renditions": ("",)},
        {"text": ""},
        {"text": "   "},
        {"text": "two\nlines"},
        {"text": "x" * 201},
        {"text": "\u0e44\u0e17\u0e22"},  # Thai is in no typeface: would be empty boxes
        {"text": "\u200c\u200f"},
        {"opacity": 0},
        {"opacity": 1.1},
        {"scale": 0},
        {"margin": 0.3},
        {"position": "somewhere"},
        {"quality": 100},
        {"encoding": {"quality": 100}},
        {"contrast": 0.5},
        {"tone": "grey"},
        {"tile": {"angle": 100}},
        {"unmarked": "gone"},
        {"renditions": ("a", {"name": "a"})},
        {"renditions": ({"scale": 0.5},)},
        {"renditions": ({"name": "a", "scale": 2},)},
        {"renditions": ({"name": "a", "unmarked": "served"},)},
        {"renditions": ({"name": "a", "text": "x", "image": logo()},)},
        {"image": "not base64!"},
        {"image": base64.b64encode(b"not a picture").decode()},
        {"image": base64.b64encode(save(Image.new("RGB", (9, 9)), "JPEG")).decode()},
        {"image": logo()[:80]},
        {"image": logo((0, 0, 0, 0))},
        {"image": base64.b64encode(save(Image.new("L", (3000, 3000)), "PNG")).decode()},
        {"image": base64.b64encode(b"\0" * (MAX_LOGO_BYTES + 1)).decode()},
    ],
)
def test_wrong_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WatermarkParameters(**wrong)


def test_the_missing_characters_are_named() -> None:
    with pytest.raises(ValidationError, match="no typeface can draw: \u0e17"):
        WatermarkParameters(text="a\u0e17b")


def test_garbage_is_refused() -> None:
    with pytest.raises(UnreadableImageError):
        watermark({"x": b"\xff\xd8\xff\xe0"}, WatermarkParameters(renditions=("x",)))


def test_twelve_megapixels_take_less_than_a_second() -> None:
    data = save(Image.new("RGB", (4000, 3000), (90, 120, 30)), "JPEG")
    began = time.process_time()
    watermark({"x": data}, WatermarkParameters(renditions=("x",)))
    assert time.process_time() - began < 1
