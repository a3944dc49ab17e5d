"""Text in the bundled typefaces."""
# ruff: noqa: RUF001  # letters of many scripts are the point

import hashlib
import io
import re
import unicodedata
from importlib.resources import files

import pytest
from PIL import ImageFont, features

from photo_pipeline.imaging.lettering import (
    TYPEFACES,
    can_shape,
    fitting_size,
    letters,
    missing_glyphs,
    needs_shaping,
    ranges,
)
from photo_pipeline.stages.watermark import WatermarkParameters

FOLDER = files("photo_pipeline.imaging").joinpath("typefaces")
README = FOLDER.joinpath("README.md").read_text()

LINES = {
    "Latin": "© Zoë Łukasz Ğ",
    "Greek": "Φωτογραφία",
    "Cyrillic": "Фотография",
    "Armenian": "Լուսանկար",
    "Georgian": "ფოტო",
    "Hebrew": "צילום: דוד",
    "Arabic": "تصوير فوتوغرافي",
    "Persian": "عکس\u200cها",
    "Japanese": "© 山田太郎 フォト 2026",
    "Chinese": "摄影：王小明",
    "Korean": "사진 김철수",
}


def characters(typeface: str) -> set[int]:
    return {code for first, last in ranges(typeface) for code in range(first, last + 1)}


def test_the_files_are_those_that_the_readme_names() -> None:
    told = dict(re.findall(r"^\| `(\S+)` \| [\d,]+ \| `(\w+)` \|$", README, re.MULTILINE))
    found = {name: FOLDER.joinpath(name).read_bytes() for name in TYPEFACES}
    assert told == {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}
    for name in TYPEFACES:
        assert FOLDER.joinpath(f"LICENSE-{name.removesuffix('.ttf')}.txt").read_text()


def test_the_readme_tells_which_characters_there_are() -> None:
    rows = re.findall(
        r"^\| .+ \| `(\w+)-(\w+)` \| (\d*) ?\| (\d*) ?\|$", README.split("\n## ")[1], re.MULTILINE
    )
    assert len(rows) > 80
    for place, typeface in enumerate(TYPEFACES):
        has = characters(typeface)
        seen = set()
        for row in rows:
            block = has & set(range(int(row[0], 16), int(row[1], 16) + 1))
            assert len(block) == int(row[2 + place] or 0), (typeface, row)
            seen |= block
        assert all(unicodedata.category(chr(code)) == "Co" for code in has - seen)


@pytest.mark.parametrize("typeface", TYPEFACES)
def test_what_is_in_the_ranges_is_drawn_and_nothing_else(typeface: str) -> None:
    """Against what FreeType draws for the noncharacter that no typeface has."""
    data = io.BytesIO(FOLDER.joinpath(typeface).read_bytes())
    font = ImageFont.truetype(data, 20, layout_engine=ImageFont.Layout.BASIC)
    nothing = bytes(font.getmask("\uffff"))
    has = characters(typeface)
    for code in range(0x21, 0x3000, 7):
        if chr(code).isprintable() and unicodedata.category(chr(code))[0] in "LNS":
            drawn = bytes(font.getmask(chr(code)))
            assert (drawn != nothing) == (code in has), hex(code)


@pytest.mark.parametrize("script", LINES)
def test_lines_of_many_scripts_are_drawn(script: str) -> None:
    text = LINES[script]
    assert missing_glyphs(text) == ""
    WatermarkParameters(text=text)
    mask = letters(text, 40)
    assert mask.mode == "L"
    assert mask.width > 20 * len(text) / 3
    assert 20 < mask.height < 80
    box = mask.getbbox()
    assert box is not None
    assert box == (0, 0, *mask.size), "as large as its ink"


def test_characters_of_no_typeface_are_named_once_and_in_order() -> None:
    assert missing_glyphs("aไbทไ😀🎞") == "ไท🎞"


def test_arabic_letters_join_and_run_from_right_to_left() -> None:
    assert can_shape(), "the tests need FriBiDi (Debian: libfribidi0)"
    word = letters("بيت", 60)
    apart = sum(letters(char, 60).width for char in "بيت")
    assert word.width < 0.8 * apart, "letters in the middle are narrower than alone"
    # The last letter, with its two dots above, is at the left; the first, with one below, right.
    ink = word.point(lambda value: 255 * (value > 128))
    right = ink.crop((word.width * 2 // 3, 0, word.width, word.height)).getbbox()
    left = ink.crop((0, 0, word.width // 3, word.height)).getbbox()
    assert left is not None
    assert right is not None
    assert left[1] < right[1]
    assert left[3] < right[3]


def test_hebrew_runs_from_right_to_left() -> None:
    """Yod, which hangs above the line, is read after alef: it is at the left."""
    mask = letters("אי", 60).point(lambda value: 255 * (value > 128))
    left = mask.crop((0, 0, letters("י", 60).width, mask.height)).getbbox()
    right = mask.crop((mask.width // 2, 0, mask.width, mask.height)).getbbox()
    assert left is not None
    assert right is not None
    assert left[3] < 0.75 * mask.height
    assert right[3] == mask.height


def test_an_accent_that_is_a_character_of_its_own_is_the_same() -> None:
    assert letters("cafe\u0301", 40).tobytes() == letters("café", 40).tobytes()
    assert not needs_shaping("cafe\u0301")


def test_only_letters_that_need_it_are_shaped() -> None:
    shaped = {script for script, text in LINES.items() if needs_shaping(text)}
    assert shaped == {"Hebrew", "Arabic", "Persian"}
    assert needs_shaping("x\u0331"), "there is no such letter in one character"


def test_without_fribidi_text_that_needs_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check_feature", lambda _: False)
    WatermarkParameters(text=LINES["Japanese"])
    with pytest.raises(ValueError, match="FriBiDi"):
        WatermarkParameters(text=LINES["Arabic"])


@pytest.mark.parametrize("text", ["© Photo", "山田", "© 山田 2026"])
def test_a_text_fills_its_box(text: str) -> None:
    size = fitting_size(text, (300, 80), 0)
    mask = letters(text, size)
    assert mask.width <= 302
    assert mask.height <= 82
    assert mask.width >= 290 or mask.height >= 76
