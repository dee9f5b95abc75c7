"""Decode image files to arrays, whatever their colour mode; say why a file can't be decoded."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tao_skill.errors import DataError, Problem

__all__ = ["IMAGE_FORMATS", "Glance", "decode_image", "glance", "undecodable_reason"]

#: Pillow's names of the formats that are tried. The list is closed because some of Pillow's other plugins start
#: external programs (EPS starts Ghostscript), which a data set must not be able to do.
IMAGE_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")

_ORIENTATION_TAG, _BITS_TAG = 0x0112, 0x0102
# By EXIF's orientation: what makes the picture stand upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_JPEG, _START_OF_SCAN = b"\xff\xd8\xff", b"\xda"
# What tells an orientation, in EXIF and in XMP.
_ORIENTATION_WORDS = (b"Exif\x00\x00", b"tiff:Orientation")
# By channels: the colour spaces of files that need no more than decoding, and what they are decoded to.
_COLOURS, _DECODED = {3: ("YCbCr", "Gray"), 1: ("Gray",)}, {3: "RGB", 1: "GRAY"}
_WHITE = (255, 255, 255, 255)


def decode_image(path: str | Path, channels: int = 3) -> NDArray[np.uint8]:
    """Decode a file to ``(height, width, channels)`` uint8: RGB for 3 channels, luma (ITU-R 601) for 1.

    The orientation of EXIF or XMP is applied; alpha is composited on white; gray of more bits keeps its upper 8, of as
    many as a TIFF says it has; of an animation the first frame is taken.

    Raises:
        DataError: the file can't be read, is no image of a known format, is cut off, or has more pixels than
            ``PIL.Image.MAX_IMAGE_PIXELS``.
    """
    try:
        data = Path(path).read_bytes()
        pixels = _plain_jpeg(data, channels)
        if pixels is not None:
            return pixels
        with _open(io.BytesIO(data)) as image:
            image.load()
            return _pixels(image, channels, _turn(image))
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file.
        reason = _reason(path, error)
        raise DataError(
            f"{path} can't be decoded: {reason}",
            problems=[Problem(str(path), reason, "an image file that decodes")],
            next_step="replace or remove the file, or set dataset.on_bad_image=skip",
        ) from error


@dataclass(frozen=True)
class Glance:
    """What a file holds: the picture's size as stored, its format, and RGB pixels, perhaps at a reduced size.

    ``brightest`` is the largest gray value as a share of white, for gray of more than 8 bits: far below 1 few shades
    are left of it, and what is above 1 is cut off.
    """

    width: int
    height: int
    format: str
    small: NDArray[np.uint8]
    brightest: float = 1.0


def glance(path: str | Path, at_least: int = 1) -> Glance | str:
    """Read all of a file but decode as few pixels as possible; return why where it can't be decoded.

    JPEGs are decoded at down to an eighth of their size, but not below ``at_least`` pixels on a side where they have
    so many.
    """
    try:
        with _open(path) as image:
            width, height, kind = image.width, image.height, image.format or ""
            image.draft("RGB", (max(at_least, width // 8), max(at_least, height // 8)))
            image.load()
            return Glance(width, height, kind, _pixels(image, 3), _brightest(image))
    except Exception as error:  # as above
        return _reason(path, error)


def undecodable_reason(path: str | Path) -> str | None:
    """Return why the file can't be decoded, or None: all of it is read, JPEGs at an eighth of their size."""
    seen = glance(path)
    return seen if isinstance(seen, str) else None


def _plain_jpeg(data: bytes, channels: int) -> NDArray[np.uint8] | None:
    """Decode a sound JPEG that needs no more than that, in half of Pillow's time; None leaves it to Pillow."""
    if not data.startswith(_JPEG) or (_may_be_turned(data) and _is_turned(data)):
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours not in _COLOURS[channels] or height * width > (Image.MAX_IMAGE_PIXELS or height * width):
            return None
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, _DECODED[channels])
    except (ValueError, MemoryError):  # damaged, perhaps: Pillow says how, or takes it
        return None
    return pixels


def _may_be_turned(data: bytes) -> bool:
    """Look for an orientation before a JPEG's pixels; where they can't be found, in all of it."""
    at = len(_JPEG) - 1
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] not in (_START_OF_SCAN, b""):
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    end = at if data[at : at + 1] == b"\xff" else len(data)
    return any(data.find(word, 0, end) >= 0 for word in _ORIENTATION_WORDS)


def _is_turned(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return _turn(image) is not None
    except Exception:  # Pillow decides on damaged files
        return True


def _open(path: str | Path | io.BytesIO) -> Image.Image:
    image = Image.open(path, formats=IMAGE_FORMATS)
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        size = f"{image.width}x{image.height}"
        image.close()
        raise Image.DecompressionBombError(f"{size} pixels are more than the limit of {limit}")
    return image


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return what makes an image stand upright; damaged EXIF data counts as none: the picture itself is sound."""
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION_TAG, 1))
    except (OSError, ValueError, SyntaxError, KeyError, TypeError, struct.error):
        return None


def _gray_bits(image: Image.Image) -> int:
    """Return how many bits the values of a deep gray image have: 16, unless a TIFF says that there are fewer."""
    told: tuple[int, ...] = getattr(image, "tag_v2", {}).get(_BITS_TAG, ())
    return told[0] if told and 8 < told[0] < 16 else 16


def _brightest(image: Image.Image) -> float:
    if image.mode.startswith("I"):
        return float(np.asarray(image).max(initial=0)) / ((1 << _gray_bits(image)) - 1)
    if image.mode == "F":
        most = float(np.nan_to_num(np.asarray(image)).max(initial=0.0))
        return most if most <= 1.0 else most / 255.0
    return 1.0


def _pixels(image: Image.Image, channels: int, turn: Image.Transpose | None = None) -> NDArray[np.uint8]:
    mode = "L" if channels == 1 else "RGB"
    if image.mode.startswith("I"):
        bits = _gray_bits(image)
        image = Image.fromarray((np.asarray(image).clip(0, 2**bits - 1) >> bits - 8).astype(np.uint8))
    elif image.mode == "F":
        image = Image.fromarray(_float_to_bytes(np.asarray(image)))
    elif image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, _WHITE), rgba)
    if image.mode != mode:
        image = image.convert("RGB").convert(mode)
    if turn is not None:
        image = image.transpose(turn)
    pixels: NDArray[np.uint8] = np.asarray(image, dtype=np.uint8)
    return pixels.reshape(image.height, image.width, channels)


def _float_to_bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Map a float image to bytes: 0..1 where no value is above 1, else 0..255; NaN becomes black."""
    values = np.nan_to_num(values)
    scale = 255.0 if values.max(initial=0.0) <= 1.0 else 1.0
    return (values * scale).clip(0, 255).astype(np.uint8)


def _reason(path: str | Path, error: Exception) -> str:
    file = Path(path)
    if not file.exists():
        return "a link to nothing" if file.is_symlink() else "no such file"
    if file.is_file() and file.stat().st_size == 0:
        return "the file is empty (0 bytes)"
    if isinstance(error, UnidentifiedImageError):
        return f"not an image (tried {', '.join(IMAGE_FORMATS)})"
    if file.is_dir():
        return "a folder, not a file"
    text = f"{error}" or type(error).__name__
    return f"the file is truncated ({text})" if "truncated" in text.lower() else text
