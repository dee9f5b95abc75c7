"""The printed sheet that goes around a package: body, cap, label, pattern, band, emblem, brand."""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tools.demo_data.products import COLOURS, Colour, Product
from tools.demo_data.shapes import FRONT, SHAPES, Shape

__all__ = ["draw_artwork"]

_HEIGHT = 320
_ROUND_FRONT = 0.46  # of a round package, what is seen without turning it
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels
Points = list[tuple[float, float]]


def draw_artwork(product: Product) -> NDArray[np.uint8]:
    """Return the sheet as an RGB image (height, width, 3)."""
    shape = SHAPES[product.shape]
    width = round(_HEIGHT * shape.aspect / FRONT)
    sheet = Image.new("RGB", (width, _HEIGHT), COLOURS[product.body])
    draw = ImageDraw.Draw(sheet)
    if shape.cap:
        _draw_cap(draw, (0, shape.cap[0] * _HEIGHT, width, shape.cap[1] * _HEIGHT), COLOURS[product.cap])
    elif shape.label[0] > 0:
        draw.rectangle((0, 0, width, shape.label[0] * _HEIGHT), fill=COLOURS[product.cap])
    box = (0.0, shape.label[0] * _HEIGHT, float(width), shape.label[1] * _HEIGHT)
    _draw_label(sheet, product, shape, box)
    return np.asarray(sheet)


def _draw_cap(draw: ImageDraw.ImageDraw, box: Box, colour: Colour) -> None:
    draw.rectangle(box, fill=colour)
    for left in range(0, int(box[2]), 9):
        draw.line((left, box[1], left, box[3]), fill=_mixed(colour, (0, 0, 0), 0.3), width=2)


def _draw_label(sheet: Image.Image, product: Product, shape: Shape, box: Box) -> None:
    left, top, right, bottom = box
    label, ink = COLOURS[product.label], COLOURS[product.ink]
    panel = Image.new("RGB", (round(right - left), round(bottom - top)), label)
    draw = ImageDraw.Draw(panel)
    wide, high = panel.size
    _PATTERNS[product.pattern](draw, wide, high, _mixed(label, ink, 0.55))
    foot = high * (1 - product.band)
    if product.band:
        draw.rectangle((0, foot, wide, high), fill=ink)
        draw.line((0, foot, wide, foot), fill=_mixed(label, (255, 255, 255), 0.6), width=3)
    # Brand above, emblem below; round packages show less at once.
    safe = wide * (FRONT if shape.kind != "round" else _ROUND_FRONT) * 0.46
    radius = min(safe, foot * 0.3)
    middle = (wide / 2, foot - radius * 1.25)
    plate = _mixed(label, (255, 255, 255), 0.82)
    draw.ellipse(_around(middle, radius * 1.16), fill=plate, outline=ink, width=3)
    _draw_emblem(draw, product.emblem, middle, radius * 0.88, ink=_on(plate, label, ink), ground=plate)
    space = middle[1] - radius * 1.16
    _draw_brand(
        draw, product.brand.upper(), (wide / 2, space * 0.52), width=safe * 1.9, height=space * 0.62, label=label
    )
    sheet.paste(panel, (round(left), round(top)))


def _draw_brand(
    draw: ImageDraw.ImageDraw, text: str, middle: tuple[float, float], *, width: float, height: float, label: Colour
) -> None:
    font = _font(max(8, min(int(height), int(width / (0.68 * len(text))))))
    ink, rim = ((255, 255, 255), (20, 20, 24)) if sum(label) < 420 else ((20, 20, 24), (255, 255, 255))
    draw.text(middle, text, fill=ink, font=font, anchor="mm", stroke_width=3, stroke_fill=rim)


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    # Pillow brings this font along; fonts of the machine would differ from one to the next.
    return ImageFont.load_default(size)


def _mixed(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a * (1 - share) + b * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _on(ground: Colour, *candidates: Colour) -> Colour:
    """Return the candidate that stands out most from the ground."""
    return max(candidates, key=lambda colour: sum(abs(a - b) for a, b in zip(colour, ground, strict=True)))


def _around(middle: tuple[float, float], radius: float) -> Box:
    return middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius


def _polar(middle: tuple[float, float], radii: list[float], start: float = -math.pi / 2) -> Points:
    step = 2 * math.pi / len(radii)
    return [
        (middle[0] + radius * math.cos(start + i * step), middle[1] + radius * math.sin(start + i * step))
        for i, radius in enumerate(radii)
    ]


def _placed(points: Points, middle: tuple[float, float], radius: float) -> Points:
    return [(middle[0] + x * radius, middle[1] + y * radius) for x, y in points]


_HEART = [
    (0.062 * 16 * math.sin(t) ** 3,
     -0.062 * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)))
    for t in np.linspace(0, 2 * math.pi, 40)
]  # fmt: skip
_DROP = [(0.62 * math.sin(t) * math.sin(t / 2) ** 1.5 * 1.3, -math.cos(t)) for t in np.linspace(0, 2 * math.pi, 40)]
_LEAF = [(side * 0.55 * (1 - y * y), side * y) for side in (1, -1) for y in np.linspace(-1, 1, 20)]
_LEAF = [(0.75 * (x - y), 0.75 * (y + x)) for x, y in _LEAF]  # leans to the right
_CROWN = [(-0.9, 0.7), (-0.95, -0.6), (-0.45, 0.0), (0.0, -0.85), (0.45, 0.0), (0.95, -0.6), (0.9, 0.7)]
_DIAMOND = [(0.0, -1.0), (0.62, 0.0), (0.0, 1.0), (-0.62, 0.0)]
_TREE = [
    (0, -1), (0.5, -0.35), (0.25, -0.35), (0.75, 0.45), (0.16, 0.45), (0.16, 0.95),
    (-0.16, 0.95), (-0.16, 0.45), (-0.75, 0.45), (-0.25, -0.35), (-0.5, -0.35),
]  # fmt: skip
_POLYGONS: dict[str, Points] = {
    "heart": _HEART,
    "drop": _DROP,
    "leaf": _LEAF,
    "crown": _CROWN,
    "diamond": _DIAMOND,
    "tree": _TREE,
}


def _draw_emblem(
    draw: ImageDraw.ImageDraw, name: str, middle: tuple[float, float], radius: float, *, ink: Colour, ground: Colour
) -> None:
    if name in _POLYGONS:
        draw.polygon(_placed(_POLYGONS[name], middle, radius), fill=ink)
    elif name == "star":
        draw.polygon(_polar(middle, [radius, radius * 0.4] * 5), fill=ink)
    elif name == "sun":
        draw.polygon(_polar(middle, [radius, radius * 0.6] * 14), fill=ink)
        draw.ellipse(_around(middle, radius * 0.3), fill=ground)
    elif name == "flower":
        for petal in _polar(middle, [radius * 0.58] * 5):
            draw.ellipse(_around(petal, radius * 0.4), fill=ink)
    else:
        # The moon: a disc with a bite.
        outer = np.linspace(0.35 * math.pi, 1.65 * math.pi, 30)
        inner = np.linspace(1.60 * math.pi, 0.40 * math.pi, 30)
        points = [(math.cos(t), math.sin(t)) for t in outer]
        points += [(0.42 + 0.80 * math.cos(t), 0.80 * math.sin(t)) for t in inner]
        draw.polygon(_placed(points, middle, radius), fill=ink)


def _plain(draw: ImageDraw.ImageDraw, wide: int, high: int, ink: Colour) -> None:
    """Print nothing."""


def _pinstripes(draw: ImageDraw.ImageDraw, wide: int, high: int, ink: Colour) -> None:
    for left in range(0, wide, 22):
        draw.rectangle((left, 0, left + 8, high), fill=ink)


def _hoops(draw: ImageDraw.ImageDraw, wide: int, high: int, ink: Colour) -> None:
    for top in range(0, high, 30):
        draw.rectangle((0, top, wide, top + 12), fill=ink)


def _diagonals(draw: ImageDraw.ImageDraw, wide: int, high: int, ink: Colour) -> None:
    for start in range(-high, wide, 36):
        draw.line((start, high, start + high, 0), fill=ink, width=13)


def _dots(draw: ImageDraw.ImageDraw, wide: int, high: int, ink: Colour) -> None:
    for row, top in enumerate(range(10, high, 28)):
        for left in range(10 + 16 * (row % 2), wide, 32):
            draw.ellipse(_around((left, top), 8), fill=ink)


def _checks(draw: ImageDraw.ImageDraw, wide: int, high: int, ink: Colour) -> None:
    for row, top in enumerate(range(0, high, 22)):
        for left in range(22 * (row % 2), wide, 44):
            draw.rectangle((left, top, left + 21, top + 21), fill=ink)


def _zigzag(draw: ImageDraw.ImageDraw, wide: int, high: int, ink: Colour) -> None:
    for top in range(0, high + 40, 40):
        points = [(left, top - 18 * (step % 2)) for step, left in enumerate(range(0, wide + 22, 22))]
        draw.line(points, fill=ink, width=10, joint="curve")


_PATTERNS: dict[str, Callable[[ImageDraw.ImageDraw, int, int, Colour], None]] = {
    "plain": _plain,
    "pinstripes": _pinstripes,
    "hoops": _hoops,
    "diagonals": _diagonals,
    "dots": _dots,
    "checks": _checks,
    "zigzag": _zigzag,
}
