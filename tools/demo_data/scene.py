"""Pictures of products: clean ones for the catalogue, and what a camera sees on shelves and counters."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from tools.demo_data.artwork import draw_artwork
from tools.demo_data.backgrounds import counter, shelf
from tools.demo_data.products import Product, make_strangers
from tools.demo_data.shapes import SHAPES, View, surface_of

__all__ = ["SIZE", "Studio"]

SIZE = 128
_FINE = 2 * SIZE  # pictures are composed at twice their size, which smooths all edges
_STRANGERS = 24


@dataclass(frozen=True)
class Pose:
    """Where a product stands in a picture whose sides are 1 long, and how it is seen."""

    centre: tuple[float, float] = (0.5, 0.5)
    height: float = 0.8
    roll: float = 0.0  # radians
    slant: tuple[float, float] = (0.0, 0.0)  # perspective across and down
    view: View = field(default_factory=View)


class Studio:
    """Take pictures; artwork is drawn once for each product."""

    def __init__(self, seed: int) -> None:
        self._sheets: dict[Product, NDArray[np.uint8]] = {}
        rng = np.random.default_rng([seed, 3])
        self._neighbours = [self._neighbour(product, rng) for product in make_strangers(_STRANGERS, seed)]

    def catalogue(self, product: Product, rng: np.random.Generator) -> Image.Image:
        """Return a clean picture on white, from the front or nearly so."""
        view = View(yaw=rng.uniform(-0.15, 0.15), pitch=rng.uniform(0.05, 0.15))
        pose = Pose(height=_fitting(product, 0.8), view=view)
        picture = Image.new("RGB", (_FINE, _FINE), (252, 252, 252))
        _drop_shadow(picture, pose, SHAPES[product.shape].aspect, 60)
        picture.paste(*self._cut_out(product, pose))
        return picture.reduce(2)

    def in_store(self, product: Product, rng: np.random.Generator) -> Image.Image:
        """Return what a camera sees: pose, neighbours, something in front, light, blur and noise at random."""
        on_shelf = rng.random() < 0.7
        pose = _shelf_pose(product, rng) if on_shelf else _counter_pose(product, rng)
        foot = pose.centre[1] + pose.height / 2
        picture = shelf(_FINE, foot, rng) if on_shelf else counter(_FINE, rng)
        if on_shelf:
            self._stand_beside(picture, pose, product, rng)
        cut_out = self._cut_out(product, pose)
        if on_shelf:
            _drop_shadow(picture, pose, SHAPES[product.shape].aspect, int(rng.uniform(60, 150)))
        else:
            _cast_shadow(picture, cut_out[2], rng)
        picture.paste(*cut_out)
        if rng.random() < 0.45:
            self._put_in_front(picture, pose, product, rng)
        return _photographed(picture.reduce(2), rng)

    def _cut_out(self, product: Product, pose: Pose) -> tuple[Image.Image, tuple[int, int], Image.Image]:
        """Return the product alone, where it goes, and its mask."""
        sheet = self._sheets.get(product)
        if sheet is None:
            sheet = self._sheets[product] = draw_artwork(product)
        colours, inside = _render(sheet, product, pose)
        return Image.fromarray(colours), (0, 0), Image.fromarray(inside.astype(np.uint8) * 255)

    def _neighbour(self, product: Product, rng: np.random.Generator) -> Image.Image:
        view = View(yaw=rng.uniform(-0.5, 0.5), pitch=0.1)
        colours, _, mask = self._cut_out(product, Pose(height=_fitting(product, 0.9), view=view))
        colours.putalpha(mask)
        return colours.crop(colours.getbbox())

    def _stand_beside(self, picture: Image.Image, pose: Pose, product: Product, rng: np.random.Generator) -> None:
        half = pose.height * SHAPES[product.shape].aspect / 2
        for side in (-1, 1):
            if rng.random() < 0.8:
                edge = pose.centre[0] + side * (half + rng.uniform(-0.02, 0.08))
                self._place(picture, edge, side, pose, rng=rng)

    def _put_in_front(self, picture: Image.Image, pose: Pose, product: Product, rng: np.random.Generator) -> None:
        """Hide a part: a price flag, or another package that stands before it."""
        half = pose.height * SHAPES[product.shape].aspect / 2
        side = int(rng.choice([-1, 1]))
        if rng.random() < 0.5:
            self._place(picture, pose.centre[0] + side * half * rng.uniform(0.45, 0.8), side, pose, rng=rng, down=0.06)
            return
        draw = ImageDraw.Draw(picture)
        x = (pose.centre[0] + side * half * rng.uniform(0.5, 1.0)) * _FINE
        y = (pose.centre[1] + pose.height * rng.uniform(-0.4, 0.4)) * _FINE
        size = rng.uniform(0.06, 0.11) * _FINE
        colour = tuple(int(value) for value in rng.choice([[250, 220, 0], [230, 30, 30], [250, 250, 250]]))
        draw.ellipse((x - size, y - size, x + size, y + size), fill=colour)
        draw.line((x - size * 0.5, y, x + size * 0.5, y), fill=(30, 30, 30), width=int(size * 0.4))

    def _place(
        self,
        picture: Image.Image,
        edge: float,
        side: int,
        pose: Pose,
        *,
        rng: np.random.Generator,
        down: float = 0.0,
    ) -> None:
        """Stand some other package with its near edge at ``edge``, on the same board."""
        neighbour = self._neighbours[int(rng.integers(len(self._neighbours)))]
        scale = pose.height * rng.uniform(0.8, 1.15) * _FINE / neighbour.height
        size = max(1, round(neighbour.width * scale)), max(1, round(neighbour.height * scale))
        small = neighbour.resize(size, Image.Resampling.BILINEAR)
        left = edge * _FINE - (small.width if side < 0 else 0)
        top = (pose.centre[1] + pose.height / 2 + down) * _FINE - small.height
        picture.paste(small, (round(left), round(top)), small)


def _render(sheet: NDArray[np.uint8], product: Product, pose: Pose) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the colours (pixels, pixels, 3) and the mask of a product in a pose."""
    grid = (np.arange(_FINE, dtype=np.float32) + 0.5) / _FINE
    right, down = grid[None, :] - pose.centre[0], grid[:, None] - pose.centre[1]
    depth = 1 + pose.slant[0] * right + pose.slant[1] * down
    cosine, sine = math.cos(pose.roll) / pose.height, math.sin(pose.roll) / pose.height
    x = (cosine * right + sine * down) * depth
    y = (cosine * down - sine * right) * depth + 0.5
    shape = SHAPES[product.shape]
    surface = surface_of(shape, x.astype(np.float32), y.astype(np.float32), pose.view)
    rows, columns = np.nonzero(surface.inside)
    high, wide, _ = sheet.shape
    across = np.clip((surface.u[rows, columns] + 1) / 2, 0, 1) * (wide - 1)
    print_ = sheet[(surface.v[rows, columns] * (high - 1)).astype(np.int32), across.astype(np.int32)]
    colours = np.zeros((_FINE, _FINE, 3), np.uint8)
    colours[rows, columns] = np.clip(print_ * surface.shade[rows, columns, None], 0, 255).astype(np.uint8)
    return colours, surface.inside


def _fitting(product: Product, height: float) -> float:
    """Return a height at which the package is not too wide for the picture."""
    return min(height, 0.8 / SHAPES[product.shape].aspect)


def _shelf_pose(product: Product, rng: np.random.Generator) -> Pose:
    height = _fitting(product, rng.uniform(0.58, 0.84))
    return Pose(
        centre=(0.5 + rng.uniform(-0.07, 0.07), 0.5 + rng.uniform(-0.04, 0.04)),
        height=height,
        roll=rng.normal(0, 0.05),
        slant=(rng.uniform(-0.35, 0.35), rng.uniform(-0.2, 0.2)),
        view=View(yaw=rng.uniform(-0.6, 0.6), pitch=rng.uniform(0.0, 0.3), light=rng.uniform(-0.9, 0.9)),
    )


def _counter_pose(product: Product, rng: np.random.Generator) -> Pose:
    return Pose(
        centre=(0.5 + rng.uniform(-0.06, 0.06), 0.5 + rng.uniform(-0.06, 0.06)),
        height=_fitting(product, rng.uniform(0.55, 0.78)),
        roll=rng.uniform(-0.7, 0.7),
        slant=(rng.uniform(-0.3, 0.3), rng.uniform(-0.4, 0.4)),
        view=View(yaw=rng.uniform(-0.4, 0.4), pitch=rng.uniform(0.0, 0.1), light=rng.uniform(-0.9, 0.9)),
    )


def _drop_shadow(picture: Image.Image, pose: Pose, aspect: float, strength: int) -> None:
    x, y = pose.centre[0] * _FINE, (pose.centre[1] + pose.height / 2) * _FINE
    half = pose.height * aspect / 2 * _FINE * 1.12
    shadow = Image.new("L", picture.size, 0)
    ImageDraw.Draw(shadow).ellipse((x - half, y - half * 0.22, x + half, y + half * 0.22), fill=strength)
    picture.paste((0, 0, 0), (0, 0), shadow.reduce(4).filter(ImageFilter.GaussianBlur(1.5)).resize(picture.size))


def _cast_shadow(picture: Image.Image, mask: Image.Image, rng: np.random.Generator) -> None:
    """Darken the ground beside a package that lies on it."""
    small = mask.reduce(4).filter(ImageFilter.GaussianBlur(1.5)).point([int(value * 0.55) for value in range(256)])
    offset = int(rng.integers(-10, 11)), int(rng.integers(2, 10))
    picture.paste((0, 0, 0), offset, small.resize(mask.size))


def _photographed(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the picture under some lamp, through some lens and sensor."""
    if rng.random() < 0.6:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.1)))
    values = np.asarray(picture, np.float32)
    slope = np.linspace(-1, 1, SIZE, dtype=np.float32)
    light = 1 + rng.uniform(-0.3, 0.3) * slope[None, :, None] + rng.uniform(-0.25, 0.25) * slope[:, None, None]
    lamp = rng.uniform(0.55, 1.2) * (1 + rng.uniform(-0.1, 0.1) * np.array([1.0, 0.0, -1.0], np.float32))
    contrast = rng.uniform(0.75, 1.1)
    noise = rng.standard_normal(values.shape, np.float32) * rng.uniform(0, 9)
    values = (values * light * lamp - 110) * contrast + 110 + noise
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
