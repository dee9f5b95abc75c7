"""What stands behind a product: shelves with price rails, wooden counters, belts."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

__all__ = ["counter", "shelf"]

Colour = tuple[int, int, int]


def _gray(level: float, warmth: float = 0.0) -> Colour:
    return int(level + warmth), int(level), int(level - warmth)


def shelf(size: int, foot: float, rng: np.random.Generator) -> Image.Image:
    """Return a shelf whose board is at height ``foot`` (0 to 1 from the top): back wall, board, rail, price tags."""
    wall = rng.uniform(40, 190)
    warmth = rng.uniform(-12, 25)
    picture = Image.new("RGB", (size, size), _gray(wall, warmth))
    draw = ImageDraw.Draw(picture)
    if rng.random() < 0.5:
        # A perforated back wall.
        for top in range(0, size, 18):
            for left in range(9 * (top // 18 % 2), size, 18):
                draw.ellipse((left, top, left + 4, top + 4), fill=_gray(wall * 0.7, warmth))
    else:
        _silhouettes(draw, size, foot, wall, rng)
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(1, 3)))
    draw = ImageDraw.Draw(picture)
    board = int((foot - 0.035) * size)
    level = rng.uniform(110, 235)
    draw.rectangle((0, board, size, size), fill=_gray(level, warmth / 2))
    rail = board + int(size * rng.uniform(0.07, 0.1))
    colour = _rail_colour(rng)
    draw.rectangle((0, rail, size, rail + int(size * 0.13)), fill=colour)
    for left in range(int(rng.uniform(-60, 0)), size, int(rng.uniform(80, 120))):
        _price_tag(draw, left, rail + 6, size, rng)
    under = rail + int(size * 0.13)
    draw.rectangle((0, under, size, max(size, under)), fill=_gray(level * 0.3))
    return picture


def _silhouettes(draw: ImageDraw.ImageDraw, size: int, foot: float, wall: float, rng: np.random.Generator) -> None:
    """Draw the packages of the row behind: blurred blocks of colour."""
    left = int(rng.uniform(-40, 0))
    while left < size:
        width, height = int(rng.uniform(30, 70)), rng.uniform(0.35, 0.8) * size
        red, green, blue = (int(value * wall / 200) for value in rng.uniform(40, 230, size=3))
        draw.rectangle((left, foot * size - height, left + width, foot * size), fill=(red, green, blue))
        draw.rectangle(
            (left, foot * size - height * 0.6, left + width, foot * size - height * 0.3), fill=(blue, red, green)
        )
        left += width + int(rng.uniform(2, 14))


def _rail_colour(rng: np.random.Generator) -> Colour:
    choices: list[Colour] = [(200, 30, 40), (30, 80, 170), (240, 240, 240), (60, 60, 64), (240, 200, 40), (30, 130, 70)]
    return choices[int(rng.integers(len(choices)))]


def _price_tag(draw: ImageDraw.ImageDraw, left: int, top: int, size: int, rng: np.random.Generator) -> None:
    width, height = int(size * 0.22), int(size * 0.09)
    draw.rectangle((left, top, left + width, top + height), fill=(250, 250, 245))
    draw.rectangle((left + 5, top + 4, left + width * 0.55, top + 10), fill=(40, 40, 40))
    for bar in range(int(left + width * 0.62), left + width - 4, 3):
        if rng.random() < 0.6:
            draw.line((bar, top + 4, bar, top + height - 4), fill=(20, 20, 20))


def counter(size: int, rng: np.random.Generator) -> Image.Image:
    """Return a surface seen from above: wooden boards, a dark belt, or tiles, with a thing or two lying about."""
    kind = int(rng.integers(3))
    if kind == 0:
        picture = _wood(size, rng)
    elif kind == 1:
        grain = rng.normal(0, 7, size=(size, size)).astype(np.float32)
        values = rng.uniform(25, 70) + grain + 5 * np.sin(np.arange(size, dtype=np.float32) / 3)[None, :]
        picture = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).convert("RGB")
    else:
        level = rng.uniform(150, 230)
        picture = Image.new("RGB", (size, size), _gray(level, rng.uniform(-8, 15)))
        draw = ImageDraw.Draw(picture)
        shift, step = int(rng.uniform(0, 60)), int(rng.uniform(55, 95))
        for line in range(shift, size, step):
            draw.line((line, 0, line, size), fill=_gray(level * 0.75), width=3)
            draw.line((0, line, size, line), fill=_gray(level * 0.75), width=3)
    _litter(picture, size, rng)
    return picture


def _wood(size: int, rng: np.random.Generator) -> Image.Image:
    rows = np.repeat(rng.normal(0, 9, size=size // 2), 2)[:, None]
    planks = rng.normal(0, 8, size=5)[np.arange(size) * 5 // size][:, None]
    wave = 4 * np.sin(np.arange(size) / 37)[None, :]
    tone = (rows + planks + wave)[:, :, None]
    base = np.array([166, 116, 70]) * rng.uniform(0.55, 1.25)
    return Image.fromarray(np.clip(base + tone, 0, 255).astype(np.uint8))


def _litter(picture: Image.Image, size: int, rng: np.random.Generator) -> None:
    """Lay coloured cards and coins near the edges."""
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(0, 4))):
        angle, radius = rng.uniform(0, 2 * np.pi), size * rng.uniform(0.45, 0.62)
        x, y = size / 2 + radius * np.cos(angle), size / 2 + radius * np.sin(angle)
        red, green, blue = (int(value) for value in rng.uniform(30, 240, size=3))
        half = rng.uniform(0.06, 0.16) * size
        if rng.random() < 0.4:
            draw.ellipse((x - half, y - half, x + half, y + half), fill=(red, green, blue))
        else:
            turn = rng.uniform(0, np.pi / 2)
            corners = [
                (x + half * 1.4 * np.cos(turn + step), y + half * 1.4 * np.sin(turn + step))
                for step in (0, 0.8 * np.pi / 2, np.pi, np.pi + 0.8 * np.pi / 2)
            ]
            draw.polygon(corners, fill=(red, green, blue))
