from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tao_skill.errors import DataError
from tao_skill.metric_learning.data.decode import Glance, decode_image, glance, undecodable_reason

Picture = Callable[..., NDArray[np.uint8]]


def test_rgb_is_lossless_and_gray_is_luma(tmp_path: Path, picture: Picture) -> None:
    pixels = picture(1)
    Image.fromarray(pixels).save(tmp_path / "a b ☕.png")
    assert np.array_equal(decode_image(tmp_path / "a b ☕.png"), pixels)
    gray = decode_image(str(tmp_path / "a b ☕.png"), 1)
    assert gray.shape == (10, 12, 1)
    assert gray.dtype == np.uint8
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(gray[..., 0] - luma).max() <= 1


def test_alpha_is_composited_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[0, :, 3] = (0, 128, 255)
    Image.fromarray(rgba).save(tmp_path / "x.png")
    assert decode_image(tmp_path / "x.png")[0, :, 0].tolist() == [255, 127, 0]
    Image.fromarray(rgba).convert("LA").save(tmp_path / "la.png")
    assert decode_image(tmp_path / "la.png")[0, :, 0].tolist() == [255, 127, 0]
    assert decode_image(tmp_path / "x.png", 1)[0, :, 0].tolist() == [255, 127, 0]


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.save(tmp_path / "p.png")
    assert decode_image(tmp_path / "p.png").tolist() == [[[255, 0, 0], [0, 0, 255]]]
    image.save(tmp_path / "t.png", transparency=0)
    assert decode_image(tmp_path / "t.png").tolist() == [[[255, 255, 255], [0, 0, 255]]]
    image.save(tmp_path / "t2.png", transparency=b"\x00\xff")
    assert decode_image(tmp_path / "t2.png").tolist() == [[[255, 255, 255], [0, 0, 255]]]
    image.save(tmp_path / "t.gif", transparency=0)
    assert decode_image(tmp_path / "t.gif").tolist() == [[[255, 255, 255], [0, 0, 255]]]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_gray_keeps_its_upper_bits(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / f"x{suffix}")
    assert decode_image(tmp_path / f"x{suffix}", 1)[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    assert decode_image(tmp_path / f"x{suffix}").shape == (1, 5, 3)


def tiff(values: NDArray[np.uint16], bits: int) -> bytes:
    """Return a TIFF of one row of gray values of so many bits, most significant bit first, which Pillow can't write."""
    packed = "".join(f"{value:0{bits}b}" for value in values.ravel())
    packed += "0" * (-len(packed) % 8)
    pixels = int(packed, 2).to_bytes(len(packed) // 8)
    tags = {256: len(values), 257: 1, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: len(pixels)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    begin = struct.pack("<2sHI", b"II", 42, 8 + len(pixels))
    return begin + pixels + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)


def test_gray_of_as_many_bits_as_a_tiff_says(tmp_path: Path) -> None:
    """12 bits in 16 were cut to 16 shades."""
    (tmp_path / "x.tif").write_bytes(tiff(np.array([0, 15, 16, 2048, 4095], dtype=np.uint16), 12))
    assert decode_image(tmp_path / "x.tif", 1)[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    seen = glance(tmp_path / "x.tif")
    assert isinstance(seen, Glance)
    assert seen.brightest == 1.0


@pytest.mark.parametrize(("kind", "most", "share"), [("uint16", 4095, 1 / 16), ("int32", 255, 1 / 257),
                                                     ("float32", 4080.0, 16.0), ("float32", 0.5, 0.5)])  # fmt: skip
def test_a_glance_tells_how_much_of_the_range_deep_gray_fills(
    tmp_path: Path, kind: str, most: float, share: float
) -> None:
    Image.fromarray(np.array([[0, most]], dtype=kind)).save(tmp_path / "x.tif")
    seen = glance(tmp_path / "x.tif")
    assert isinstance(seen, Glance)
    assert seen.brightest == pytest.approx(share, rel=1e-3)


def test_float_cmyk_and_one_bit_images(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32)).save(tmp_path / "unit.tif")
    assert decode_image(tmp_path / "unit.tif", 1)[0, :, 0].tolist() == [0, 127, 255]
    Image.fromarray(np.array([[0.0, np.nan, 300.0]], dtype=np.float32)).save(tmp_path / "wide.tif")
    assert decode_image(tmp_path / "wide.tif", 1)[0, :, 0].tolist() == [0, 0, 255]
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "c.jpg")
    assert np.abs(decode_image(tmp_path / "c.jpg").astype(int) - [255, 0, 0]).max() <= 3
    Image.new("1", (2, 2), 1).save(tmp_path / "one.png")
    assert decode_image(tmp_path / "one.png").min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, picture: Picture, orientation: int) -> None:
    pixels = picture(2, width=16, height=8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    upright = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, -1),
        7: np.rot90(pixels, 2).transpose(1, 0, 2),
        8: np.rot90(pixels),
    }
    assert np.array_equal(decode_image(tmp_path / "x.png"), upright[orientation])


def test_damaged_exif_data_does_not_make_an_image_bad(tmp_path: Path, picture: Picture) -> None:
    Image.fromarray(picture(3)).save(tmp_path / "x.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    with pytest.warns(UserWarning, match="EXIF"):  # Pillow's, which goes to stderr in a run
        assert decode_image(tmp_path / "x.jpg").shape == (10, 12, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_an_orientation_counts_beside_tags_that_are_odd(
    tmp_path: Path, picture: Picture, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow's own function writes the other tags anew, and where that failed the picture stayed lying."""
    path = tmp_path / f"x{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(2, width=16, height=8)).save(path, exif=exif)

    def refuse(*_: object) -> bytes:
        raise ValueError("a tag that can't be written")

    monkeypatch.setattr(Image.Exif, "tobytes", refuse)
    assert decode_image(path).shape == (16, 8, 3)


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:Description tiff:Orientation="6"/></x:xmpmeta>'


def test_an_orientation_counts_in_xmp_and_behind_other_headers(tmp_path: Path, picture: Picture) -> None:
    pixels = picture(2, width=16, height=8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "xmp.jpg", xmp=XMP)
    assert decode_image(tmp_path / "xmp.jpg").shape == (16, 8, 3)
    Image.fromarray(pixels).save(tmp_path / "far.jpg", exif=exif)
    whole = (tmp_path / "far.jpg").read_bytes()
    comments = (b"\xff\xfe" + (60_002).to_bytes(2) + bytes(60_000)) * 2
    (tmp_path / "far.jpg").write_bytes(whole[:2] + comments + whole[2:])
    assert decode_image(tmp_path / "far.jpg").shape == (16, 8, 3)


def damaged_files(folder: Path, pixels: NDArray[np.uint8]) -> dict[Path, str]:
    Image.fromarray(pixels).save(folder / "good.jpg")
    Image.fromarray(pixels).save(folder / "good.png")
    whole = (folder / "good.jpg").read_bytes()
    png = (folder / "good.png").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "cut.png").write_bytes(png[: len(png) * 2 // 3])
    (folder / "flipped.png").write_bytes(png[:60] + bytes(byte ^ 255 for byte in png[60:90]) + png[90:])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("hello")
    (folder / "script.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    (folder / "dangling.jpg").symlink_to(folder / "nothing")
    names = {
        "cut.jpg": "truncated",
        "cut.png": "",
        "flipped.png": "",
        "empty.jpg": "0 bytes",
        "text.jpg": "not an image",
    }
    names |= {"script.jpg": "not an image", "dangling.jpg": "link to nothing", "absent.jpg": "no such file"}
    return {folder / name: reason for name, reason in names.items()}


def test_damaged_files_are_data_errors_that_name_the_file(tmp_path: Path, picture: Picture) -> None:
    for path, reason in damaged_files(tmp_path, picture(4, 200, 150)).items():
        with pytest.raises(DataError, match=path.name) as caught:
            decode_image(path)
        assert reason in str(caught.value)
        assert reason in (undecodable_reason(path) or "")
        assert undecodable_reason(path)
    assert undecodable_reason(tmp_path / "good.jpg") is None
    assert undecodable_reason(tmp_path / "good.png") is None


def test_a_decompression_bomb_is_refused(tmp_path: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(picture(5)).save(tmp_path / "x.png")
    for limit in (119, 59, 10):  # Pillow warns from 1 to 2 times its limit and raises beyond
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(DataError, match="pixels"):
            decode_image(tmp_path / "x.png")
        assert "pixels" in (undecodable_reason(tmp_path / "x.png") or "")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 120)
    assert decode_image(tmp_path / "x.png").shape == (10, 12, 3)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_plain_jpegs_have_pillows_pixels(tmp_path: Path, picture: Picture, subsampling: int, progressive: bool) -> None:
    path = tmp_path / "x.jpg"
    Image.fromarray(picture(3, 61, 47)).save(path, quality=85, subsampling=subsampling, progressive=progressive)
    expected = np.asarray(Image.open(path)).astype(int)
    assert np.abs(decode_image(path) - expected).max() <= 1
    Image.open(path).convert("L").save(path)
    gray = np.asarray(Image.open(path)).astype(int)
    assert np.abs(decode_image(path, 1)[..., 0] - gray).max() <= 1
    assert np.abs(decode_image(path, 3) - gray[..., None]).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_jpegs_stand_upright(tmp_path: Path, picture: Picture, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture(1, 32, 16)).save(tmp_path / "x.jpg", exif=exif, quality=95)
    with Image.open(tmp_path / "x.jpg") as image:
        expected = np.asarray(ImageOps.exif_transpose(image)).astype(int)
    got = decode_image(tmp_path / "x.jpg")
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 1


def test_a_cut_off_jpeg_is_refused_with_pillows_reason(tmp_path: Path, picture: Picture) -> None:
    path = tmp_path / "x.jpg"
    Image.fromarray(picture(1, 64, 64)).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="truncated"):
        decode_image(path)
