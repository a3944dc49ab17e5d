"""Make the golden set anew: the files, and what another program makes of them, as numbers.

Not needed to run the tests. Wants libvips-tools, imagemagick, libheif-examples, libtiff-tools and
icc-profiles-free (Debian), and Pillow with its HEIC-writing plug-in for the turned one. Run it as
``python tests/golden/make.py``; references come from libvips (colours by lcms, relative
colorimetric with black point compensation), or where it cannot read a file, or reads it in another
way than the file means, from ImageMagick. SOURCES.md tells what the files show.
"""

import io
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageCms, ImageDraw

HERE: Final = Path(__file__).parent
SAMPLES: Final = HERE.parents[1] / "samples"
PROFILES: Final = Path("/usr/share/color/icc")
SRGB: Final = PROFILES / "sRGB.icc"
GRID: Final = 24  # cells along the longer side
GROUND: Final = (128, 128, 128)
BY_IMAGEMAGICK: Final = {
    "jpeg-cmyk.jpg": "libvips guesses a press where there is no profile",
    "jpeg-cmyk-bare.jpg": "likewise",
    "jpeg-ycck.jpg": "likewise",
    "tiff-cmyk.tif": "likewise",
    "bmp.bmp": "Debian's libvips has no reader",
    "bmp-palette.bmp": "likewise",
    "jpeg2000.jp2": "likewise",
}


def base() -> Image.Image:
    """A photograph with a corner of strong colours: no side and no channel is like another."""
    image = Image.open(SAMPLES / "coffee-gps.jpg").convert("RGB")
    image = image.resize((240, 160), Image.Resampling.LANCZOS)
    for i, colour in enumerate(("#e02020", "#20c040", "#2040e0", "#f0d020")):
        ImageDraw.Draw(image).rectangle((i * 20, 0, i * 20 + 19, 29), fill=colour)
    return image


# --- colour profiles (ICC.1:2001-04) -----------------------------------------------------------


def _profile(space: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr") -> bytes:
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(4 + 4 + 2 + 1 + 67),
        b"cprt": b"text\0\0\0\0CC0\0",
        b"wtpt": _xyz(0.9642, 1.0, 0.8249),
        **tags,
    }
    table, data = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, body in tags.items():
        table += name + struct.pack(">II", start + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    pcs = b"Lab " if b"A2B0" in tags else b"XYZ "
    head = struct.pack(
        ">I4sI4s4s4s12s4s", start + len(data), b"none", 0x02400000, kind, space, pcs,
        struct.pack(">6H", 2026, 1, 1, 0, 0, 0), b"acsp",
    )  # fmt: skip
    head += bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    return head[:128] + struct.pack(">I", len(tags)) + table + data


def _xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in (x, y, z)))


def _gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


def prophoto() -> bytes:
    """ROMM RGB (ISO 22028-2): primaries adapted to D50, gamma 1.8."""
    return _profile(
        b"RGB ",
        {
            b"rXYZ": _xyz(0.7977, 0.2880, 0.0), b"gXYZ": _xyz(0.1352, 0.7119, 0.0),
            b"bXYZ": _xyz(0.0313, 0.0001, 0.8249),
            b"rTRC": _gamma(1.8), b"gTRC": _gamma(1.8), b"bTRC": _gamma(1.8),
        },
    )  # fmt: skip


def grey_gamma() -> bytes:
    """Grey with gamma 1.8, far enough from sRGB's to be seen."""
    return _profile(b"GRAY", {b"kTRC": _gamma(1.8)})


def applied(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    """Return *image* transformed."""
    made = ImageCms.applyTransform(image, transform)
    if made is None:
        raise AssertionError("only in place")
    return made


def press() -> bytes:
    """A press of four inks that multiply, each a little dirty: 3 x 3 x 3 x 3 steps to Lab."""
    inks = np.array([[0.15, 0.55, 0.8], [0.75, 0.15, 0.4], [0.95, 0.85, 0.1], [0.1, 0.1, 0.1]])
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    steps = [(c, m, y, k) for c in range(3) for m in range(3) for y in range(3) for k in range(3)]
    shades = [
        np.prod([1 - (1 - ink) * n / 2 for ink, n in zip(inks, step, strict=True)], axis=0)
        for step in steps
    ]
    row = Image.fromarray((np.array([shades]) * 255).round().astype(np.uint8))
    lab = np.frombuffer(applied(row, to_lab).tobytes(), np.uint8).reshape(-1, 3)
    ramp = bytes(range(256))
    # Pillow's a and b are signed bytes, the tag's are offset by 128.
    signed = lab[:, 1:].astype(np.int8).astype(np.int16) + 128
    table = np.column_stack([lab[:, 0], signed[:, 0], signed[:, 1]])
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 3, 0]) + identity + ramp * 4
    lut += table.astype(np.uint8).tobytes() + ramp * 3
    return _profile(b"CMYK", {b"A2B0": lut, b"A2B1": lut}, b"prtr")


# --- files --------------------------------------------------------------------------------------


def save(name: str, image: Image.Image, format_: str, **options: Any) -> None:
    """Write *image* as Pillow does."""
    image.save(HERE / name, format_, **options)


def told(*command: str | Path) -> str:
    """Run another program and return what it says."""
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


run = told


def exif(orientation: int) -> Image.Exif:
    """Return EXIF that says no more than the orientation."""
    made = Image.Exif()
    made[0x0112] = orientation
    return made


UNDO: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}  # fmt: skip


def converted(image: Image.Image, profile: bytes, mode: str = "RGB") -> Image.Image:
    """Return *image* with the numbers that mean its colours by *profile* (matrix profiles)."""
    transform = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(profile)), "RGB", mode,
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )  # fmt: skip
    made = ImageCms.applyTransform(image, transform)
    assert made is not None  # only in place
    return made


def sixteen_bits(image: Image.Image, path: Path) -> None:
    """Write *image* with 16 bits a channel, which Pillow cannot."""
    with tempfile.TemporaryDirectory() as folder:
        plain, wide = Path(folder, "a.png"), Path(folder, "b.v")
        image.save(plain)
        run("vips", "colourspace", plain, wide, "grey16" if image.mode == "L" else "rgb16")
        run("vips", "pngsave", wide, path)


def cut_out(image: Image.Image) -> Image.Image:
    """Return *image* with soft and hard transparency."""
    cut = image.convert("RGBA")
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).ellipse((30, 10, 220, 150), fill=255)
    mask.paste(Image.linear_gradient("L").resize((60, 160)), (180, 0))
    cut.putalpha(mask)
    return cut


def make_jpegs(image: Image.Image, grey: Image.Image) -> None:
    """Write the JPEGs."""
    save("jpeg.jpg", image, "JPEG", quality=90)
    save("jpeg-progressive.jpg", image, "JPEG", quality=90, progressive=True)
    save("jpeg-grey.jpg", grey, "JPEG", quality=90)
    inks = image.convert("CMYK")
    save("jpeg-cmyk.jpg", inks, "JPEG", quality=90)
    run(
        "convert",
        HERE / "jpeg.jpg",
        "-colorspace",
        "CMYK",
        "-quality",
        "90",
        HERE / "jpeg-ycck.jpg",
    )
    # Without the marker of APP14 inks are inverted all the same, for every program there is.
    data = (HERE / "jpeg-cmyk.jpg").read_bytes()
    at = data.index(b"\xff\xee\x00\x0eAdobe")
    (HERE / "jpeg-cmyk-bare.jpg").write_bytes(data[:at] + data[at + 16 :])
    save("jpeg-cmyk-profile.jpg", inks, "JPEG", quality=90, icc_profile=press())
    for orientation, method in UNDO.items():
        save(
            f"jpeg-turn-{orientation}.jpg",
            image.transpose(method),
            "JPEG",
            quality=88,
            exif=exif(orientation),
        )
    save(
        "jpeg-mpo.jpg", image, "MPO", save_all=True, append_images=[grey.convert("RGB")], quality=88
    )


def make_pngs(image: Image.Image, grey: Image.Image) -> None:
    """Write the PNGs."""
    cut = cut_out(image)
    save("png.png", image, "PNG")
    sixteen_bits(image, HERE / "png-16.png")
    sixteen_bits(grey, HERE / "png-16-grey.png")
    save("png-palette.png", image.quantize(64), "PNG")
    clear = image.quantize(64)
    save("png-palette-alpha.png", clear, "PNG", transparency=bytes(range(0, 256, 4)))
    save("png-alpha.png", cut, "PNG")
    save("png-grey-alpha.png", cut.convert("LA"), "PNG")
    run("convert", HERE / "png.png", "-interlace", "PNG", HERE / "png-interlaced.png")
    save(
        "png-animated.png",
        image,
        "PNG",
        save_all=True,
        append_images=[grey.convert("RGB")],
        duration=90,
    )
    save("png-turn-6.png", image.transpose(UNDO[6]), "PNG", exif=exif(6))


def make_moving(image: Image.Image, grey: Image.Image) -> None:
    """Write WebPs and GIFs."""
    cut = cut_out(image)
    save("webp.webp", image, "WEBP", quality=90)
    save("webp-lossless.webp", image, "WEBP", lossless=True)
    save("webp-alpha.webp", cut, "WEBP", quality=90)
    save(
        "webp-animated.webp",
        image,
        "WEBP",
        save_all=True,
        append_images=[grey.convert("RGB")],
        duration=90,
        quality=85,
    )
    save("webp-turn-8.webp", image.transpose(UNDO[8]), "WEBP", quality=90, exif=exif(8))
    save("gif.gif", image.quantize(128), "GIF")
    save("gif-transparent.gif", image.quantize(63), "GIF", transparency=5)
    frames = [image.quantize(64), image.transpose(UNDO[2]).quantize(64), image.quantize(32)]
    save(
        "gif-disposal.gif",
        frames[0],
        "GIF",
        save_all=True,
        append_images=frames[1:],
        disposal=[3, 2, 1],
        duration=70,
    )


def make_others(image: Image.Image, grey: Image.Image) -> None:
    """Write TIFFs and the rest."""
    inks = image.convert("CMYK")
    save(
        "tiff-pages.tif",
        image,
        "TIFF",
        save_all=True,
        append_images=[grey.convert("RGB")],
        compression="tiff_deflate",
    )
    save("tiff-lzw.tif", image, "TIFF", compression="tiff_lzw")
    run(
        "vips",
        "tiffsave",
        HERE / "png.png",
        HERE / "tiff-tiled.tif",
        "--tile",
        "--tile-width",
        "64",
        "--tile-height",
        "64",
        "--compression",
        "deflate",
    )
    save("tiff-cmyk.tif", inks, "TIFF", compression="tiff_lzw")
    run("vips", "tiffsave", HERE / "png-16.png", HERE / "tiff-16.tif", "--compression", "deflate")
    run(
        "vips",
        "tiffsave",
        HERE / "png-16-grey.png",
        HERE / "tiff-16-grey.tif",
        "--compression",
        "deflate",
    )
    save("tiff-turn-7.tif", image.transpose(UNDO[7]), "TIFF", exif=exif(7), compression="tiff_lzw")
    save("bmp.bmp", image, "BMP")
    save("bmp-palette.bmp", image.quantize(128), "BMP")
    save("avif.avif", image, "AVIF", quality=85)
    save("avif-turn-6.avif", image.transpose(UNDO[6]), "AVIF", quality=85, exif=exif(6))
    run("heif-enc", "-q", "85", "-o", HERE / "heic.heic", HERE / "png.png")
    save("jpeg2000.jp2", image, "JPEG2000", quality_mode="rates", quality_layers=[12])


def make_profiled(image: Image.Image, grey: Image.Image) -> None:
    """Write files with colour profiles."""
    cut = cut_out(image)
    adobe = (PROFILES / "compatibleWithAdobeRGB1998.icc").read_bytes()
    p3 = Image.open(SAMPLES / "brushes-display-p3.jpg").info["icc_profile"]
    for name, profile in (("adobe", adobe), ("p3", p3), ("prophoto", prophoto())):
        save(f"icc-{name}.jpg", converted(image, profile), "JPEG", quality=92, icc_profile=profile)
        save(f"icc-{name}.png", converted(image, profile), "PNG", icc_profile=profile)
    save("icc-grey.jpg", grey, "JPEG", quality=90, icc_profile=grey_gamma())
    save("icc-grey-alpha.png", cut.convert("LA"), "PNG", icc_profile=grey_gamma())
    save("icc-broken.jpg", image, "JPEG", quality=90, icc_profile=adobe[:300])


# --- references ----------------------------------------------------------------------------------


def by_vips(path: Path, folder: Path) -> Image.Image:
    """Return what libvips shows of *path*, on the ground."""
    steps = [folder / f"{n}.v" for n in range(4)]
    run("vips", "autorot", path, steps[0])
    fields = told("vipsheader", "-a", steps[0])
    if "icc-profile-data" in fields and "broken" not in path.name:
        run(
            "vips",
            "icc_transform",
            steps[0],
            steps[1],
            PROFILES / "sRGB.icc",
            "--embedded",
            "--intent",
            "relative",
            "--black-point-compensation",
        )
    else:
        run("vips", "colourspace", steps[0], steps[1], "srgb")
    out = folder / "out.png"
    if told("vipsheader", "-f", "bands", steps[1]).strip() in {"2", "4"}:
        run("vips", "flatten", steps[1], steps[2], "--background", " ".join(map(str, GROUND)))
        run("vips", "cast", steps[2], steps[3], "uchar")
        run("vips", "pngsave", steps[3], out)
    else:
        run("vips", "cast", steps[1], steps[3], "uchar")
        run("vips", "pngsave", steps[3], out)
    return Image.open(out).convert("RGB")


def by_imagemagick(path: Path, folder: Path) -> Image.Image:
    """Return what ImageMagick shows of *path*, on the ground."""
    out = folder / "out.png"
    ground = f"rgb({GROUND[0]},{GROUND[1]},{GROUND[2]})"
    flat = ["-colorspace", "sRGB", "-background", ground, "-flatten", "-strip"]
    run("convert", f"{path}[0]", "-auto-orient", *flat, out)
    return Image.open(out).convert("RGB")


def reference(path: Path) -> dict[str, Any]:
    """Return size and colours of *path*, as the other program sees it."""
    tool = by_imagemagick if path.name in BY_IMAGEMAGICK else by_vips
    with tempfile.TemporaryDirectory() as folder:
        image = tool(path, Path(folder))
        size = (GRID, round(GRID * image.height / image.width))
        if image.height > image.width:
            size = (round(GRID * image.width / image.height), GRID)
        cells = image.resize(size, Image.Resampling.BOX)
    return {
        "by": "ImageMagick" if tool is by_imagemagick else "libvips",
        "size": image.size,
        "grid": size,
        "cells": cells.tobytes().hex(),
    }


def main() -> None:
    """Write files and references."""
    for make in (make_jpegs, make_pngs, make_moving, make_others, make_profiled):
        make(base(), base().convert("L"))
    kept = {"make.py", "SOURCES.md", "references.json"}
    paths = sorted(path for path in HERE.iterdir() if path.is_file() and path.name not in kept)
    found = {}
    for path in paths:
        try:
            found[path.name] = reference(path)
        except subprocess.CalledProcessError as error:
            sys.exit(f"{path.name}: {error.stderr.decode()}")
    text = json.dumps(found, indent=1, sort_keys=True)
    (HERE / "references.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
