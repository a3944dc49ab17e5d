"""Renditions as tables: boxes, formats, crops, animations."""

import io
import itertools
from typing import Any

import pytest
from PIL import Image, ImageDraw
from pydantic import ValidationError

from photo_pipeline.domain.rendition import RenditionParameters
from photo_pipeline.domain.stage import Output, Subject
from photo_pipeline.stages.resize import STAGE, ResizeParameters, resize
from support.pictures import save

PHOTO = (900, 600)


def one(**fields: Any) -> RenditionParameters:
    return RenditionParameters.model_validate({"name": "x", **fields})


def run(data: bytes, *renditions: dict[str, Any], **parameters: Any) -> Output:
    tables = [{"name": f"r{number}", **table} for number, table in enumerate(renditions)]
    chosen = ResizeParameters.model_validate({"sizes": [], "renditions": tables, **parameters})
    return resize({"original": data}, chosen)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def coloured(size: tuple[int, int] = PHOTO) -> Image.Image:
    """A picture of three stripes side by side: red, green, blue."""
    image = Image.new("RGB", size, (0, 160, 0))
    third = size[0] // 3
    image.paste((200, 0, 0), (0, 0, third, size[1]))
    image.paste((0, 0, 200), (size[0] - third, 0, size[0], size[1]))
    return image


def channel(image: Image.Image, at: tuple[int, int]) -> int:
    pixel = image.convert("RGB").getpixel(at)
    assert isinstance(pixel, tuple)
    return pixel.index(max(pixel))


@pytest.mark.parametrize(
    ("table", "size"),
    [
        ({"longest_side": 300}, (300, 200)),
        ({"longest_side": 2000}, PHOTO),
        ({"longest_side": 1800, "enlarge": True}, (1800, 1200)),
        ({"width": 450}, (450, 300)),
        ({"height": 300}, (450, 300)),
        ({"width": 450, "height": 100}, (150, 100)),
        ({"width": 3000, "height": 100}, (150, 100)),
        ({"width": 5000, "height": 5000}, PHOTO),
        ({"width": 200, "height": 200, "fit": "fill"}, (200, 200)),
        ({"width": 600, "height": 100, "fit": "fill"}, (600, 100)),
        ({"width": 1800, "height": 600, "fit": "fill"}, (900, 300)),
        ({"width": 1000, "height": 1000, "fit": "fill"}, (600, 600)),
        ({"width": 1000, "height": 1000, "fit": "fill", "enlarge": True}, (1000, 1000)),
        ({"width": 1, "height": 10000, "fit": "fill"}, (1, 600)),
    ],
)
def test_the_size_is_what_is_asked_for(table: dict[str, Any], size: tuple[int, int]) -> None:
    assert one(**table).size(PHOTO) == size
    (picture,) = run(save(coloured()), table).pictures
    assert (picture.width, picture.height) == opened(picture.data).size == size


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({}, "either longest_side"),
        ({"longest_side": 10, "width": 10}, "either longest_side"),
        ({"width": 10, "fit": "fill"}, "its width and its height"),
        ({"longest_side": 10, "fit": "fill"}, "its width and its height"),
        ({"longest_side": 0}, "longest_side"),
        ({"longest_side": 10_001}, "longest_side"),
        ({"longest_side": 10, "animation": "all"}, "webp"),
        ({"longest_side": 10, "format": "gif"}, "format"),
        ({"longest_side": 10, "quality": 96}, "quality"),
        ({"longest_side": 10, "background": "red"}, "background"),
        ({"longest_side": 10, "effort": 10}, "effort"),
        ({"longest_side": 10, "name": "original"}, "name of the upload"),
        ({"longest_side": 10, "name": "../x"}, "name"),
        ({"longest_side": 10, "colour": 1}, "colour"),
    ],
)
def test_a_fault_is_told(table: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        one(**table)


def test_no_name_comes_twice() -> None:
    with pytest.raises(ValidationError, match="each name once"):
        ResizeParameters.model_validate({"renditions": [{"name": "640", "width": 9}]})


def test_sizes_and_tables_go_together() -> None:
    parameters = ResizeParameters.model_validate(
        {"sizes": [640], "renditions": [{"name": "card", "width": 99}]}
    )
    assert STAGE.writes(parameters) == ("640", "card")


def test_what_an_earlier_version_stored_is_understood() -> None:
    stored = {"sizes": [2048, 640], "quality": 70}
    parameters = ResizeParameters.model_validate(stored)
    assert STAGE.writes(parameters) == ("2048", "640")
    assert {rendition.quality for rendition in parameters.wanted} == {70}


@pytest.mark.parametrize(
    ("format_", "pillow"), [("jpeg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("avif", "AVIF")]
)
def test_every_format_is_written_and_looks_alike(format_: str, pillow: str) -> None:
    (picture,) = run(save(coloured()), {"longest_side": 300, "format": format_}).pictures
    image = opened(picture.data)
    assert (picture.format, image.format) == (format_, pillow)
    assert [channel(image, (x, 100)) for x in (50, 150, 250)] == [0, 1, 2]


@pytest.mark.parametrize("format_", ["png", "webp", "avif"])
def test_alpha_stays_where_the_format_has_it(format_: str) -> None:
    cut = coloured().convert("RGBA")
    cut.paste((0, 0, 0, 0), (0, 0, 300, 600))
    (picture,) = run(save(cut), {"longest_side": 300, "format": format_}).pictures
    image = opened(picture.data).convert("RGBA")
    assert image.getpixel((50, 100))[3] < 10  # type: ignore[index]
    assert image.getpixel((150, 100))[3] > 245  # type: ignore[index]


@pytest.mark.parametrize(("background", "expected"), [("#ffffff", 255), ("#000000", 0)])
def test_a_jpeg_lies_on_the_background_chosen(background: str, expected: int) -> None:
    cut = Image.new("RGBA", PHOTO, (0, 0, 0, 0))
    cut.paste((200, 0, 0, 255), (450, 0, 900, 600))
    table = {"longest_side": 300, "format": "jpeg", "background": background}
    image = opened(run(save(cut), table).pictures[0].data)
    pixel = image.getpixel((50, 100))
    assert isinstance(pixel, tuple)
    assert all(abs(value - expected) < 4 for value in pixel)
    assert channel(image, (250, 100)) == 0


def test_progressive_chroma_and_effort_are_heeded() -> None:
    noisy = Image.effect_noise((400, 300), 80).convert("RGB")
    plain, progressive, dense, small = run(
        save(noisy),
        {"longest_side": 400, "format": "jpeg"},
        {"longest_side": 400, "format": "jpeg", "progressive": True},
        {"longest_side": 400, "format": "jpeg", "chroma": "4:4:4"},
        {"longest_side": 400, "format": "jpeg", "effort": 9},
    ).pictures
    assert "progressive" not in opened(plain.data).info
    assert opened(progressive.data).info["progressive"]
    assert opened(dense.data).layer[0][1:3] == (1, 1)  # type: ignore[attr-defined]
    assert len(small.data) < len(plain.data)


@pytest.mark.parametrize(("format_", "slow"), [("webp", 9), ("avif", 5), ("png", 9)])
def test_effort_makes_files_smaller(format_: str, slow: int) -> None:
    image = Image.linear_gradient("L").resize((400, 300)).convert("RGB")
    ImageDraw.Draw(image).ellipse((50, 50, 250, 200), fill=(200, 30, 60), outline="white")
    fast, small = run(
        save(image),
        {"longest_side": 400, "format": format_, "effort": 0},
        {"longest_side": 400, "format": format_, "effort": slow},
    ).pictures
    assert len(small.data) < len(fast.data)


def test_renditions_are_deterministic() -> None:
    tables = [{"longest_side": 300, "format": name} for name in ("jpeg", "png", "webp", "avif")]
    tables += [{"width": 100, "height": 100, "fit": "fill"}]
    assert run(save(coloured()), *tables) == run(save(coloured()), *tables)


def test_the_focal_point_decides_what_stays() -> None:
    table = {"width": 200, "height": 600, "fit": "fill"}
    for x, stripe in ((0.05, 0), (0.5, 1), (0.95, 2)):
        (picture,) = run(save(coloured()), table, focal_point=[x, 0.5]).pictures
        image = opened(picture.data)
        assert {channel(image, (at, 300)) for at in (20, 100, 180)} == {stripe}


def test_the_photos_subject_completes_the_preset_only_where_something_is_cut() -> None:
    subject = Subject(focal_point=(0.2, 0.3), faces=((0.1, 0.1, 0.2, 0.2),))
    whole = ResizeParameters()
    assert STAGE.for_photo(whole, subject) == whole, "the recipe of what is not cut stays"
    table = {"name": "card", "width": 10, "height": 10, "fit": "fill"}
    cut = STAGE.for_photo(ResizeParameters.model_validate({"renditions": [table]}), subject)
    assert (cut.focal_point, cut.faces) == (subject.focal_point, subject.faces)
    preset = ResizeParameters.model_validate({"renditions": [table], "focal_point": [0.5, 0.5]})
    assert STAGE.for_photo(preset, Subject()).focal_point == (0.5, 0.5)
    assert STAGE.for_photo(preset, subject).focal_point == subject.focal_point


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_crop_is_cut_from_the_upright_picture(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    undo = {
        3: Image.Transpose.ROTATE_180,
        6: Image.Transpose.ROTATE_90,
        8: Image.Transpose.ROTATE_270,
    }
    data = save(coloured().transpose(undo[orientation]), "JPEG", exif=exif)
    table = {"width": 200, "height": 600, "fit": "fill"}
    (picture,) = run(data, table, focal_point=[0.9, 0.5]).pictures
    assert channel(opened(picture.data), (100, 300)) == 2


# --- the tolerance -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "tolerance", "expected"),
    [
        ((2000, 1500), 0.05, (1000, 750)),  # half of it, 2.3 % below 1024
        ((2000, 1500), 0.0, (1024, 768)),
        ((2000, 1500), 0.02, (1024, 768)),
        ((2048, 1536), 0.05, (1024, 768)),
        ((1946, 1460), 0.05, (973, 730)),
        ((1944, 1460), 0.05, (1024, 769)),  # half of it is too small
        ((2001, 1501), 0.05, (1000, 750)),
        ((2000, 150), 0.05, (1024, 77)),  # too thin for half of it
        ((1010, 700), 0.05, (1010, 700)),
    ],
)
def test_the_largest_takes_what_the_decoder_gives(
    stored: tuple[int, int], tolerance: float, expected: tuple[int, int]
) -> None:
    data = save(Image.radial_gradient("L").resize(stored).convert("RGB"), "JPEG")
    parameters = ResizeParameters(sizes=(1024, 512), tolerance=tolerance)
    large, small = resize({"original": data}, parameters).pictures
    assert (large.width, large.height) == opened(large.data).size == expected
    assert small.width == 512


def test_a_box_that_is_filled_is_exact_whatever_the_tolerance() -> None:
    data = save(coloured((2000, 1500)), "JPEG")
    (picture,) = run(data, {"width": 1024, "height": 1024, "fit": "fill"}).pictures
    assert opened(picture.data).size == (1024, 1024)


# --- animations --------------------------------------------------------------------------------


def animated(format_: str = "GIF", frames: int = 3, **options: Any) -> bytes:
    images = [Image.new("RGB", (60, 40), colour) for colour in ("red", "lime", "blue")]
    shown = list(itertools.islice(itertools.cycle(images), frames))
    chosen = {"duration": 80, "loop": 0, **options}
    return save(shown[0], format_, save_all=True, append_images=shown[1:], **chosen)


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG", "AVIF"])
def test_an_animation_is_its_first_frame_or_all_of_it(format_: str) -> None:
    still, moving = run(
        animated(format_),
        {"longest_side": 30},
        {"longest_side": 30, "format": "webp", "animation": "all"},
    ).pictures
    assert getattr(opened(still.data), "n_frames", 1) == 1
    assert channel(opened(still.data), (15, 10)) == 0
    image = opened(moving.data)
    assert (image.size, image.n_frames) == ((30, 20), 3)  # type: ignore[attr-defined]
    for number in range(3):
        image.seek(number)
        image.load()
        assert channel(image, (15, 10)) == number
        assert image.info["duration"] == 80
    assert image.info["loop"] == 0


def test_an_animation_is_cropped_like_a_still() -> None:
    table = {"width": 20, "height": 20, "fit": "fill", "format": "webp", "animation": "all"}
    image = opened(run(animated(), table).pictures[0].data)
    assert (image.size, image.n_frames) == ((20, 20), 3)  # type: ignore[attr-defined]


def test_odd_disposal_shows_what_browsers_show() -> None:
    canvas = Image.new("P", (60, 40), 0)
    canvas.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    dot = canvas.copy()
    dot.paste(1, (10, 10, 30, 30))
    data = save(
        canvas, "GIF", save_all=True, append_images=[dot, canvas], duration=[100, 100, 100],
        disposal=[1, 3, 2], loop=0,
    )  # fmt: skip
    table = {"longest_side": 60, "format": "webp", "animation": "all", "quality": 95}
    image = opened(run(data, table).pictures[0].data)
    image.seek(1)
    image.load()
    assert (channel(image, (20, 20)), channel(image, (50, 35))) == (1, 0)


def test_too_long_an_animation_becomes_a_still_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("photo_pipeline.imaging.animation.MAX_FRAMES", 2)
    output = run(animated(), {"longest_side": 30, "format": "webp", "animation": "all"})
    assert getattr(opened(output.pictures[0].data), "n_frames", 1) == 1
    (note,) = output.facts["notes"]
    assert note["code"] == "animation_reduced"
    assert "r0" in note["message"]


def test_a_still_as_an_animation_is_a_still() -> None:
    table = {"longest_side": 300, "format": "webp", "animation": "all"}
    output = run(save(coloured()), table)
    assert "notes" not in output.facts
    assert getattr(opened(output.pictures[0].data), "n_frames", 1) == 1


def test_a_picture_for_old_readers_is_no_frame_of_a_png() -> None:
    frames = [Image.new("RGB", (60, 40), colour) for colour in ("red", "lime", "blue")]
    data = save(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True)
    table = {"longest_side": 60, "format": "webp", "animation": "all"}
    image = opened(run(data, table).pictures[0].data)
    assert image.n_frames == 2  # type: ignore[attr-defined]
    assert channel(image, (30, 20)) == 1
