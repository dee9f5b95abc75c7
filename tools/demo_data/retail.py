"""The retail data set: which products are known, and how many pictures of each go where."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tools.demo_data.layout import ImageCounts, Picture
from tools.demo_data.products import Product, make_families
from tools.demo_data.scene import Studio

__all__ = ["RetailSize", "retail_pictures"]


@dataclass(frozen=True, kw_only=True)
class RetailSize(ImageCounts):
    """Families of three products each, and pictures of each product.

    Training sees the known families alone. References are clean catalogue pictures, of which training has a few too;
    all others are taken in the store.
    """

    known_families: int = 30
    unknown_families: int = 10
    reference: int = 2
    train: int = 12
    train_catalogue: int = 2
    val: int = 2
    test: int = 3
    unknown_test: int = 8


def retail_pictures(size: RetailSize, seed: int) -> Iterator[Picture]:
    """Yield all pictures; the same for the same size and seed."""
    studio = Studio(seed)
    families = make_families(size.known_families + size.unknown_families, seed)
    products = [(product, number < size.known_families) for number, family in enumerate(families) for product in family]
    for number, (product, known) in enumerate(products):
        for part, count in size.parts(known).items():
            for index in range(count):
                rng = np.random.default_rng([seed, number, *part.encode(), index])
                clean = part.endswith("reference") or (part.endswith("train") and index < size.train_catalogue)
                yield Picture(part, product.name, f"{index:03d}.jpg", _take(studio, product, clean, rng))


def _take(studio: Studio, product: Product, clean: bool, rng: np.random.Generator) -> bytes:
    if clean:
        return _jpeg(studio.catalogue(product, rng), 92)
    return _jpeg(studio.in_store(product, rng), int(rng.integers(45, 90)))


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return stream.getvalue()
