"""Faces in public renditions are blurred: nothing of them is left, and nothing else changes."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Final

import numpy as np
import pytest
from PIL import Image, ImageFilter
from pydantic import ValidationError

from photo_pipeline.detectors import hiding
from photo_pipeline.detectors.faces import CLOSELY, FACES
from photo_pipeline.detectors.hiding import faces_to_hide
from photo_pipeline.domain.document import status_document
from photo_pipeline.domain.preset import make_presets
from photo_pipeline.domain.stage import ORIGINAL, PLACEHOLDER, Box, Output
from photo_pipeline.errors import BlurUnavailableError, InvalidPresetError
from photo_pipeline.imaging.blur import hide
from photo_pipeline.imaging.difference import ssim
from photo_pipeline.imaging.opening import open_upright
from photo_pipeline.inference.model import Unavailable
from photo_pipeline.stages import load
from photo_pipeline.stages.detect import STAGE, DetectParameters, detect
from photo_pipeline.stages.resize import ResizeParameters, resize
from support.pictures import save
from support.pipeline import make_photo
from support.processes import ROOT

FACE: Final[Box] = (0.35, 0.11, 0.18, 0.23)
"""Of the astronaut, by eye."""
JPEG_NOISE: Final = 20
"""Levels by which a second JPEG of quality 82 moves a pixel at most, here."""


@cache
def renditions(photo: str) -> Mapping[str, bytes]:
    original = (ROOT / "samples" / photo).read_bytes()
    return {p.name: p.data for p in resize({ORIGINAL: original}, ResizeParameters()).pictures}


def blurred(inputs: Mapping[str, bytes], *names: str, **parameters: Any) -> Output:
    wanted = {"detectors": ("faces",), "blur_faces": names, "rendition": names[0], **parameters}
    return detect(inputs, DetectParameters(**wanted))


def pixels(image: Image.Image | bytes) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.asarray(open_upright(image) if isinstance(image, bytes) else image, np.int16)


def part(image: Image.Image, box: Box) -> Image.Image:
    left, top, width, height = box
    across, down = image.size
    corners = (left * across, top * down, (left + width) * across, (top + height) * down)
    return image.crop(tuple(map(round, corners)))  # type: ignore[arg-type]  # four


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Return intersection over union."""
    sides = [
        max(0, min(one[n] + one[n + 2], other[n] + other[n + 2]) - max(one[n], other[n]))
        for n in (0, 1)
    ]
    common = sides[0] * sides[1]
    return common / (one[2] * one[3] + other[2] * other[3] - common)


def noise(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    return Image.effect_noise(size, 200).convert(mode)


@pytest.mark.parametrize("photo", ["astronaut.jpg", "photographer-gray.jpg"])
def test_no_face_is_found_again(photo: str) -> None:
    given = renditions(photo)
    names = ("2048", "1280", "640", "320")
    output = blurred(given, *names)
    assert [p.name for p in output.pictures] == [f"{name}-blurred" for name in names]
    for name, picture in zip(names, output.pictures, strict=True):
        before, after = open_upright(given[name]), open_upright(picture.data)
        assert after.size == before.size == (picture.width, picture.height)
        there = faces_to_hide(before, 0.6).faces
        assert output.facts["blurred"][name] == len(there) >= 1
        again = [face["box"] for face in FACES.detect(after, {"score": 0.3})["faces"]]
        again += faces_to_hide(after, 0.3).faces
        assert not [one for one in again for other in there if overlap(one, other) > 0.1], name


def test_nothing_of_the_face_is_left() -> None:
    before = open_upright(renditions("astronaut.jpg")["640"])
    (picture,) = blurred(renditions("astronaut.jpg"), "640").pictures
    after = open_upright(picture.data)
    face, gone = part(before, FACE), part(after, FACE)
    edges = [
        float(pixels(image.convert("L").filter(ImageFilter.FIND_EDGES))[2:-2, 2:-2].mean())
        for image in (face, gone)
    ]
    assert edges[1] < edges[0] / 5
    alike = ssim(*(np.asarray(image, np.float32)[None] for image in (face, gone)))
    assert float(alike[0]) < 0.6
    # Its mean colours stay: the picture is not torn.
    means = [pixels(image).mean((0, 1)) for image in (face, gone)]
    assert np.abs(means[0] - means[1]).max() < 15


def test_only_the_region_of_the_face_changes() -> None:
    given = renditions("astronaut.jpg")["640"]
    (picture,) = blurred({"640": given}, "640").pictures
    moved = np.abs(pixels(picture.data) - pixels(given)).max(-1)
    left, top, width, height = (round(share * 512) for share in FACE)
    around = np.ones_like(moved, bool)
    rows = slice(max(0, top - height // 2), top + height * 3 // 2)
    around[rows, left - width // 2 : left + width * 3 // 2] = False
    assert moved[around].max() <= JPEG_NOISE
    assert moved[~around].max() > 100


def test_a_lossless_rendition_keeps_every_other_pixel() -> None:
    given = save(open_upright(renditions("astronaut.jpg")["640"]))
    (picture,) = blurred({"640": given}, "640").pictures
    assert picture.format == "png"
    expected = open_upright(given)
    hide(expected, faces_to_hide(expected, 0.6).faces)
    assert picture.data != given
    assert np.array_equal(pixels(picture.data), pixels(expected))


def test_within_the_region_no_pixel_says_more_than_its_cell() -> None:
    """Whatever is shuffled inside of the cells, the result is the same to the byte."""
    box = (0.25, 0.25, 0.25, 0.25)
    # 640 x 0.25 x 1.6 by 640 x 0.25 x 1.7: cells of 43 and of 39 rows.
    one = noise((640, 640))
    other = one.copy()
    levels = np.asarray(other).copy()
    levels[200:204, 240:244] = levels[200:204, 240:244].reshape(16, 3)[::-1].reshape(4, 4, 3)
    other = Image.fromarray(levels)
    assert one.tobytes() != other.tobytes()
    for image in (one, other):
        hide(image, [box])
    assert one.tobytes() == other.tobytes()


def test_the_ellipse_holds_the_whole_box_and_no_pixel_far_from_it() -> None:
    before = noise((400, 300))
    after = before.copy()
    hide(after, [(0.4, 0.4, 0.2, 0.3)])
    changed = (pixels(after) != pixels(before)).any(-1)
    assert changed[120:210, 160:240].mean() > 0.97  # by chance, some are what they were
    assert not changed[:83].any()
    assert not changed[238:].any()
    assert not changed[:, :135].any()
    assert not changed[:, 265:].any()


@pytest.mark.parametrize(
    "box",
    [
        (0.0, 0.0, 0.2, 0.2),
        (0.9, 0.9, 0.1, 0.1),
        (0.0, 0.0, 1.0, 1.0),
        (0.5, 0.5, 0.0, 0.0),
        (0.5, 0.5, 0.01, 0.01),
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_boxes_at_the_edge_and_of_any_size(box: Box, mode: str) -> None:
    for size in ((1, 1), (3, 200), (64, 48)):
        image = noise(size, mode)
        hide(image, [box])
        assert (image.size, image.mode) == (size, mode)


def test_transparency_stays() -> None:
    image = open_upright(renditions("astronaut.jpg")["640"]).convert("RGBA")
    alpha = Image.linear_gradient("L").resize(image.size).point(lambda a: max(a, 120))
    image.putalpha(alpha)
    (picture,) = blurred({"640": save(image)}, "640").pictures
    after = open_upright(picture.data)
    assert after.getchannel("A").tobytes() == alpha.tobytes()
    flat = Image.new("RGB", after.size, "grey")
    flat.paste(after, mask=after)
    assert faces_to_hide(flat, 0.4).faces == ()


def test_the_same_photo_gives_the_same_bytes() -> None:
    one, other = (blurred(renditions("astronaut.jpg"), "640", "320") for _ in range(2))
    assert one == other


def test_formats_and_encodings() -> None:
    image = open_upright(renditions("astronaut.jpg")["640"])
    webp = save(image, "WEBP", quality=80)
    (kept,) = blurred({"640": webp}, "640").pictures
    (small,) = blurred({"640": webp}, "640", blur_encoding={"quality": 30}).pictures
    (other,) = blurred({"640": webp}, "640", blur_encoding={"format": "jpeg"}).pictures
    assert (kept.format, small.format, other.format) == ("webp", "webp", "jpeg")
    assert len(small.data) < len(kept.data) * 0.7


def test_of_an_animation_the_first_frame_is_made() -> None:
    face = open_upright(renditions("astronaut.jpg")["320"])
    moving = save(face, "WEBP", save_all=True, append_images=[face.rotate(90), face], quality=80)
    (picture,) = blurred({"320": moving}, "320").pictures
    with Image.open(io.BytesIO(picture.data)) as made:
        assert getattr(made, "n_frames", 1) == 1
    assert faces_to_hide(open_upright(picture.data), 0.3).faces == ()


def test_a_rendition_that_was_cut_is_looked_at_by_itself() -> None:
    """Fractions of the whole photo would miss the face in it."""
    whole = open_upright(renditions("astronaut.jpg")["640"])
    card = whole.crop((100, 20, 400, 220))
    output = blurred({"640": renditions("astronaut.jpg")["640"], "card": save(card)}, "640", "card")
    assert output.facts["blurred"] == {"640": 1, "card": 1}
    assert faces_to_hide(open_upright(output.pictures[1].data), 0.3).faces == ()


def test_faces_in_a_thumbnail_are_found() -> None:
    """Eight pixels wide: too small for the usual look."""
    canvas = open_upright(renditions("coffee-gps.jpg")["320"])
    face = open_upright(renditions("photographer-gray.jpg")["640"]).resize((75, 75))
    canvas.paste(face, (40, 40))
    assert FACES.detect(canvas, {"score": 0.6})["faces"] == []
    output = blurred({"320": save(canvas)}, "320")
    assert output.facts["blurred"] == {"320": 1}


def test_faces_in_a_large_rendition_are_found() -> None:
    """Eighteen pixels of 2048: too small for the usual look."""
    canvas = Image.new("RGB", (2048, 1365), "white")
    face = open_upright(renditions("astronaut.jpg")["640"])
    canvas.paste(face.resize((100, 100), Image.Resampling.LANCZOS), (300, 300))
    assert FACES.detect(canvas, {"score": 0.6})["faces"] == []
    assert blurred({"2048": save(canvas)}, "2048").facts["blurred"] == {"2048": 1}


def test_a_photo_without_faces_is_published_too() -> None:
    given = renditions("coffee-gps.jpg")["640"]
    output = blurred({"640": given}, "640")
    assert output.facts["blurred"] == {"640": 0}
    moved = np.abs(pixels(output.pictures[0].data) - pixels(given))
    assert moved.mean() < 2


def test_receipts_and_metadata() -> None:
    given = renditions("coffee-gps.jpg")["640"]
    (picture,) = blurred({"640": given}, "640").pictures
    assert picture.receipt
    assert picture.receipt.violations() == ()
    parameters = DetectParameters(detectors=("faces",), blur_faces=("640",), rendition="640")
    assert STAGE.check
    stored = {picture.name: picture.data}
    assert STAGE.check({"640": given}, stored, parameters) == {picture.name: picture.receipt}
    wrong = save(open_upright(picture.data).rotate(180), "JPEG")
    (receipt,) = STAGE.check({"640": given}, {picture.name: wrong}, parameters).values()
    assert receipt.deviations


def test_copyright_stays() -> None:
    exif = Image.Exif()
    exif[0x8298] = "(c) Somebody"
    photo = save(open_upright(renditions("astronaut.jpg")["640"]), "JPEG", exif=exif)
    made = {p.name: p.data for p in resize({ORIGINAL: photo}, ResizeParameters()).pictures}
    (picture,) = blurred(made, "640").pictures
    assert picture.receipt
    assert picture.receipt.privacy.kept == {"copyright": "(c) Somebody"}


def test_without_the_model_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = replace(CLOSELY, load=lambda: Unavailable("not installed"))
    monkeypatch.setattr(hiding, "CLOSELY", absent)
    with pytest.raises(BlurUnavailableError, match="not installed") as raised:
        blurred(renditions("coffee-gps.jpg"), "640")
    assert (raised.value.code, raised.value.retryable) == ("blur_unavailable", True)
    # Off, the same photo passes.
    assert detect(renditions("coffee-gps.jpg"), DetectParameters(detectors=())).facts["colours"]


def test_where_looking_fails_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Mapping[str, Any]:
        raise RuntimeError("no such node")

    monkeypatch.setattr(hiding, "CLOSELY", replace(CLOSELY, look=fail))
    with pytest.raises(BlurUnavailableError, match="no such node"):
        blurred(renditions("coffee-gps.jpg"), "640")


def test_more_faces_than_are_looked_for_are_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = [{"box": [0.0, 0.0, 0.1, 0.1]}] * 1000
    monkeypatch.setattr(hiding, "CLOSELY", replace(CLOSELY, look=lambda *_: {"faces": crowd}))
    with pytest.raises(BlurUnavailableError, match="1000 faces"):
        blurred(renditions("coffee-gps.jpg"), "640")


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ({"blur_faces": ["640", "640"]}, "must differ"),
        ({"blur_faces": ["original"]}, "not for the original"),
        ({"blur_faces": ["640"], "detectors": ["labels"]}, "takes faces among the detectors"),
        ({"blur_faces": ["640"], "blur_score": 0.95}, "must not be above min_face"),
        ({"blur_faces": ["640"] * 17}, "at most 16"),
    ],
)
def test_faults_of_a_preset(parameters: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        DetectParameters(**parameters)


def _stages() -> dict[str, Any]:
    return {name: load(name) for name in ("resize", "watermark", "detect")}


def test_a_preset_must_make_what_it_blurs() -> None:
    with pytest.raises(InvalidPresetError, match="reads rendition '999', which no earlier stage"):
        make_presets({"p": {"detect": {"blur_faces": ["999"]}}}, _stages())


def test_a_name_must_not_be_taken() -> None:
    taken = {"resize": {"renditions": [{"name": "640-blurred", "longest_side": 64}]}}
    with pytest.raises(InvalidPresetError, match="'640-blurred', which an earlier stage makes"):
        make_presets({"p": {**taken, "detect": {"blur_faces": ["640"]}}}, _stages())


def test_only_blurred_pictures_are_served() -> None:
    names = ["1280", "1280-watermarked"]
    preset = make_presets({"p": {"detect": {"blur_faces": names}}}, _stages()).named("p")
    earlier = {"2048", "1280", "640", "320", "2048-watermarked", "1280-watermarked"}
    assert set(preset.withheld) == {ORIGINAL, PLACEHOLDER, *earlier}
    assert preset.withheld_stages == ("resize", "watermark")
    assert STAGE.writes(DetectParameters(blur_faces=names)) == (
        "1280-blurred",
        "1280-watermarked-blurred",
    )
    photo = make_photo().model_copy(update={"preset": preset})
    slot = next(iter(photo.stages.values())).model_copy(update={"facts": {PLACEHOLDER: "data:,"}})
    photo = photo.model_copy(update={"stages": {**photo.stages, photo.pipeline[0]: slot}})
    assert status_document(photo).placeholder is None
    off = make_presets({}, _stages()).named(None)
    assert off.withheld == ()
    shown = photo.model_copy(update={"preset": off})
    assert status_document(shown).placeholder == "data:,"
