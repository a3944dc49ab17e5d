"""The watermark stage."""

import base64
import io
import json
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any, get_args

import pytest
from PIL import Image, ImageChops, ImageStat
from pydantic import ValidationError

from photo_pipeline.domain.encoding import Encoding
from photo_pipeline.errors import UnreadableImageError
from photo_pipeline.imaging.look import LEGIBLE, MAX_LOGO_BYTES, Tile, design
from photo_pipeline.imaging.mark import logo_shape, overlay, stamp, text_shape
from photo_pipeline.imaging.opening import open_upright
from photo_pipeline.imaging.placing import Position
from photo_pipeline.stages.watermark import (
    STAGE,
    OwnLook,
    WatermarkParameters,
    looks,
    watermark,
)
from support.pictures import save
from support.processes import SAMPLES

POSITIONS: tuple[Position, ...] = get_args(Position)
SIZE = (640, 480)


def marked(before: Image.Image, format_: str = "PNG", **options: Any) -> Image.Image:
    """Return *before* marked; PNG, so that every changed pixel is the mark's."""
    parameters = WatermarkParameters.model_validate({"renditions": ["x"], **options})
    output = watermark({"x": save(before, format_)}, parameters)
    (picture,) = output.pictures
    assert picture.name == "x-watermarked"
    result = Image.open(io.BytesIO(picture.data))
    assert result.format == format_
    assert result.size == (picture.width, picture.height) == before.size
    return result


def marks(before: Image.Image, **options: Any) -> dict[str, Any]:
    """Return what the stage tells of the mark."""
    parameters = WatermarkParameters.model_validate({"renditions": ["x"], **options})
    found: dict[str, Any] = watermark({"x": save(before, "PNG")}, parameters).facts["marks"]["x"]
    return found


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


def chequered(side: int) -> Image.Image:
    one = Image.new("L", (2, 2))
    one.putpixel((0, 0), 255)
    one.putpixel((1, 1), 255)
    board = one.resize((2 * side, 2 * side), Image.Resampling.NEAREST)
    picture = Image.new("RGB", SIZE)
    for x in range(0, SIZE[0], 2 * side):
        for y in range(0, SIZE[1], 2 * side):
            picture.paste(board, (x, y))
    return picture


def noise() -> Image.Image:
    chance = random.Random(5)  # noqa: S311  # the same noise each time
    coarse = Image.frombytes("RGB", (160, 120), chance.randbytes(160 * 120 * 3))
    return coarse.resize(SIZE, Image.Resampling.BICUBIC)


LEGIBLY: dict[str, Callable[[], Image.Image]] = {
    **{name: ground.copy for name, ground in GROUNDS.items() if name != "busy"},
    **{f"chequered {side}": partial(chequered, side) for side in (2, 8, 40)},
    "noise": noise,
    **{
        path.stem: partial(open_upright, path.read_bytes(), 1280)
        for path in SAMPLES.iterdir()
        if path.suffix in {".jpg", ".png", ".webp"}
    },
}


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


def test_each_rendition_has_the_look_that_it_asks_for() -> None:
    parameters = WatermarkParameters(
        renditions=(
            "a",
            OwnLook(name="b", position="top-left", scale=0.5),
            OwnLook(name="c", tile=Tile(angle=0), encoding=Encoding(format="webp")),
        )
    )
    assert STAGE.reads(parameters) == ("a", "b", "c")
    inputs = dict.fromkeys("abc", save(GROUNDS["grey"], "PNG"))
    a, b, c = watermark(inputs, parameters).pictures
    assert (a.format, b.format, c.format) == ("png", "png", "webp")
    boxes = [changed(GROUNDS["grey"], Image.open(io.BytesIO(p.data))) for p in (a, b)]
    assert boxes[0][0] > 400
    assert boxes[1][:2] < (20, 20)
    assert boxes[1][2] > 300
    tiles = ImageChops.difference(GROUNDS["grey"], Image.open(io.BytesIO(c.data))).convert("L")
    for x in range(0, 640, 320):
        for y in range(0, 480, 160):
            assert tiles.crop((x, y, x + 320, y + 160)).getextrema()[1] > 50  # type: ignore[operator]


def test_the_stored_preset_says_the_same_when_it_is_read_again() -> None:
    for parameters in (
        WatermarkParameters(),
        WatermarkParameters(renditions=(OwnLook(name="x", text="Other"),), tile=Tile()),
    ):
        stored = json.loads(json.dumps(parameters.model_dump(mode="json")))
        assert WatermarkParameters.model_validate(stored) == parameters


def test_photos_in_flight_keep_the_parameters_of_version_1() -> None:
    stored = {
        "renditions": ["x"], "text": "Earlier", "image": None, "opacity": 0.6, "scale": 0.25,
        "position": "bottom-right", "margin": 0.02, "quality": 30,
    }  # fmt: skip
    parameters = WatermarkParameters.model_validate(stored)
    assert parameters.encoding.quality == 30
    inputs = {"x": save(GROUNDS["busy"], "JPEG")}
    coarse, usual = (
        watermark(inputs, p).pictures[0].data
        for p in (parameters, WatermarkParameters(renditions=("x",)))
    )
    assert len(coarse) < len(usual) / 2


def test_a_text_replaces_a_common_logo_and_the_other_way_round() -> None:
    red = logo((255, 0, 0, 255))
    parameters = WatermarkParameters(image=red, renditions=("a", OwnLook(name="b", text="Mine")))
    assert [look.image for look in looks(parameters).values()] == [red, None]
    assert looks(parameters)["b"].text == "Mine"
    parameters = WatermarkParameters(text="Ours", renditions=("a", OwnLook(name="b", image=red)))
    assert [look.image for look in looks(parameters).values()] == [None, red]


def test_the_tone_follows_the_ground_below() -> None:
    before = Image.new("RGB", SIZE, "black")
    before.paste("white", (320, 0, 640, 480))
    for position, tone in (("bottom-left", "light"), ("bottom-right", "dark")):
        assert marks(before, position=position, contrast=1)["tone"] == tone
    assert marks(before, position="bottom-left", tone="dark")["tone"] == "dark"
    assert marks(before, image=logo((0, 0, 0, 255)), position="left")["tone"] == "light"
    assert marks(before, image=logo((250, 20, 20, 255)), position="left")["tone"] == "own"


def test_a_coloured_logo_keeps_its_colour() -> None:
    after = marked(GROUNDS["grey"], image=logo((220, 20, 20, 255)), opacity=1, position="centre")
    assert after.getpixel((320, 240)) == pytest.approx((220, 20, 20), abs=2)


@pytest.mark.parametrize("ground", LEGIBLY)
@pytest.mark.parametrize("options", [{}, {"opacity": 0.3}, {"image": logo()}, {"scale": 0.6}])
def test_it_is_legible_on_every_ground(ground: str, options: dict[str, Any]) -> None:
    found = marks(LEGIBLY[ground](), **options)
    assert found["contrast"] >= LEGIBLE
    assert 0.3 <= found["opacity"] <= 1


@pytest.mark.parametrize("ground", LEGIBLY)
def test_the_opacity_is_raised_no_further_than_asked_for(ground: str) -> None:
    wanted = marks(LEGIBLY[ground](), opacity=0.2, contrast=2)
    more = marks(LEGIBLY[ground](), opacity=0.2, contrast=4)
    assert 2 <= wanted["contrast"] <= 4.5
    assert wanted["opacity"] < more["opacity"]
    untouched = marks(LEGIBLY[ground](), opacity=0.2, contrast=1)
    assert untouched["opacity"] == 0.2


def test_the_contrast_told_is_that_of_the_published_picture() -> None:
    """Measured again on an even ground, with nothing but WCAG's formula."""
    for value in (0, 60, 128, 200, 255):
        before = Image.new("RGB", SIZE, (value, value, value))
        found = marks(before, image=logo(size=(60, 40)), contrast=1, opacity=0.5)
        ground = value / 255
        ink = ground * 0.5 + 0.5 * (found["tone"] == "light")
        light, dark = sorted((_luminance(ground), _luminance(ink)), reverse=True)
        assert found["contrast"] == pytest.approx((light + 0.05) / (dark + 0.05), rel=0.06)


def _luminance(value: float) -> float:
    return float(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)


def test_the_box_told_is_where_the_picture_changes() -> None:
    before = GROUNDS["grey"]
    found = marks(before, position="top")["box"]
    left, top, right, bottom = changed(before, marked(before, position="top"))
    x, y, width, height = (share * side for share, side in zip(found, 2 * SIZE, strict=True))
    slack = 8
    assert x - 1 <= left <= x + slack
    assert y - 1 <= top <= y + slack
    assert x + width - slack <= right <= x + width + 1
    assert y + height - slack <= bottom <= y + height + 1
    assert marks(before, tile=True)["box"] == [0, 0, 1, 1]


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3), (40, 30), (641, 479)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_tiles_fit_into_any_picture(size: tuple[int, int], mode: str) -> None:
    before = Image.new(mode, size, (90, 90, 90, 200)[: len(mode)])
    for angle in (-45, 0, 30, 90):
        tile = Tile(angle=angle, gap=0.05)
        assert marked(before, tile=tile, scale=0.2).size == size


@pytest.mark.parametrize("options", [{}, {"tile": True}, {"image": logo((9, 200, 9, 255))}])
@pytest.mark.parametrize("size", [(640, 480), (501, 333)])
def test_the_small_overlay_gives_the_small_marked_picture(
    options: dict[str, Any], size: tuple[int, int]
) -> None:
    before = Image.merge("RGB", [Image.linear_gradient("L").resize(size)] * 3)
    (look,) = looks(WatermarkParameters(renditions=("x",), **options)).values()
    mark = design(before, look)
    after = before.copy()
    stamp(after, mark)
    small = (size[0] // 5, size[1] // 5)
    expected = before.resize(small, Image.Resampling.BOX).convert("RGBA")
    expected.alpha_composite(overlay(mark, size, small))
    shown = after.resize(small, Image.Resampling.BOX)
    difference = ImageChops.difference(expected.convert("RGB"), shown).convert("L")
    # Pillow's box filter takes or leaves a source pixel whole: at other sizes than multiples, some
    # pixels beside an edge differ.
    assert difference.getextrema()[1] <= (6 if size == SIZE else 24)  # type: ignore[operator]
    assert ImageStat.Stat(difference).mean[0] < 0.2


def test_only_marked_pictures_are_served_when_the_preset_says_so() -> None:
    earlier = ("original", "2048", "1280", "640")
    assert STAGE.withholds(WatermarkParameters(), earlier) == ()
    assert STAGE.withholds(WatermarkParameters(unmarked="withheld"), earlier) == earlier


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
        {"text": "\u2800"},  # Braille without a dot
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


def test_a_fault_in_one_rendition_is_told_with_its_place() -> None:
    with pytest.raises(ValidationError) as caught:
        WatermarkParameters.model_validate({"renditions": ["a", {"name": "b", "text": "\u0e17"}]})
    (fault,) = caught.value.errors()
    assert fault["loc"] == ("renditions", 1, "look", "text")
    assert "no typeface can draw: \u0e17" in fault["msg"]
    with pytest.raises(ValidationError) as caught:
        WatermarkParameters.model_validate({"tile": {"gap": 9}})
    assert [fault["loc"] for fault in caught.value.errors()] == [("tile", "tile", "gap")]


def test_garbage_is_refused() -> None:
    with pytest.raises(UnreadableImageError):
        watermark({"x": b"\xff\xd8\xff\xe0"}, WatermarkParameters(renditions=("x",)))


def test_twelve_megapixels_take_less_than_a_second() -> None:
    data = save(Image.new("RGB", (4000, 3000), (90, 120, 30)), "JPEG")
    began = time.process_time()
    watermark({"x": data}, WatermarkParameters(renditions=("x",)))
    assert time.process_time() - began < 1
