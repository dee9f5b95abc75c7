"""What products there are: families of three that differ in one thing only."""

from dataclasses import dataclass, replace

import numpy as np

from tools.demo_data.shapes import SHAPES

__all__ = ["COLOURS", "EMBLEMS", "PATTERNS", "VARIANTS", "Colour", "Product", "make_families", "make_strangers"]

Colour = tuple[int, int, int]

COLOURS: dict[str, Colour] = {
    "red": (205, 32, 40),
    "orange": (240, 130, 20),
    "yellow": (246, 208, 38),
    "green": (40, 150, 62),
    "teal": (18, 160, 160),
    "blue": (30, 84, 190),
    "purple": (118, 52, 160),
    "pink": (240, 130, 180),
    "brown": (120, 72, 40),
    "white": (244, 243, 238),
    "cream": (243, 226, 184),
    "black": (34, 34, 40),
    "silver": (176, 182, 190),
}
EMBLEMS = ("star", "heart", "leaf", "diamond", "moon", "flower", "crown", "drop", "sun", "tree")
PATTERNS = ("plain", "pinstripes", "hoops", "diagonals", "dots", "checks", "zigzag")
# The sizes of the band at the foot of a label, as shares of its height.
BANDS = {"no-band": 0.0, "slim-band": 0.17, "wide-band": 0.42}
# Colours that stay apart under any lamp; a family in three flavours takes three of one row.
_FLAVOURS = (("red", "green", "blue"), ("orange", "purple", "teal"), ("yellow", "pink", "brown"))
_BODIES = ("white", "cream", "black", "silver", "brown", "green", "blue", "red", "yellow")
_SYLLABLES = ("va", "lo", "mi", "tra", "ne", "ko", "zu", "bel", "fi", "dor", "pa", "ri", "sun", "ola", "ge", "tik")
VARIANTS = 3
_AXES = ("flavour", "emblem", "pattern", "band", "cap")


@dataclass(frozen=True)
class Product:
    """Everything that tells how a product looks; colours by their names in `COLOURS`."""

    brand: str
    variant: str
    shape: str
    body: str
    label: str
    ink: str
    cap: str
    pattern: str
    emblem: str
    band: float

    @property
    def name(self) -> str:
        """Return the name of the product's class folder."""
        return f"{self.brand}-{self.shape}-{self.variant}"


def make_families(count: int, seed: int) -> list[list[Product]]:
    """Return families of products, the same for the same seed; the first families of a longer list are the same."""
    rng = np.random.default_rng([seed, 1])
    brands: set[str] = set()
    return [_family(number, _new_brand(brands, rng), rng) for number in range(count)]


def make_strangers(count: int, seed: int) -> list[Product]:
    """Return products that belong to no family; they stand around as clutter."""
    rng = np.random.default_rng([seed, 2])
    return [_base(_brand(rng), number, rng) for number in range(count)]


def _new_brand(taken: set[str], rng: np.random.Generator) -> str:
    while (brand := _brand(rng)) in taken:
        pass
    taken.add(brand)
    return brand


def _brand(rng: np.random.Generator) -> str:
    return "".join(rng.choice(_SYLLABLES, size=2))


def _base(brand: str, number: int, rng: np.random.Generator) -> Product:
    shapes = sorted(SHAPES)
    body = str(rng.choice(_BODIES))
    label = str(rng.choice([name for name in COLOURS if name not in (body, "silver")]))
    return Product(
        brand=brand,
        variant="only",
        shape=shapes[number % len(shapes)],
        body=body,
        label=label,
        ink=str(rng.choice([name for name in COLOURS if name != body and _contrast(name, label) > 200])),
        cap=str(rng.choice([name for name in COLOURS if name != body])),
        pattern=str(rng.choice(PATTERNS)),
        emblem=str(rng.choice(EMBLEMS)),
        band=float(rng.choice(list(BANDS.values()))),
    )


def _contrast(one: str, other: str) -> int:
    """Return how far apart two colours are: the sum of the differences of their channels."""
    return sum(abs(a - b) for a, b in zip(COLOURS[one], COLOURS[other], strict=True))


def _family(number: int, brand: str, rng: np.random.Generator) -> list[Product]:
    base = _base(brand, number, rng)
    # Shapes come round every len(SHAPES) families: the shift gives each shape each axis in turn.
    axis = _AXES[(number + number // len(SHAPES)) % len(_AXES)]
    if axis == "cap" and not SHAPES[base.shape].cap:
        axis = "flavour"
    if axis == "flavour":
        colours = _FLAVOURS[int(rng.integers(len(_FLAVOURS)))]
        base = replace(base, body=str(rng.choice(["white", "black", "silver"])))
        return [replace(base, variant=name, label=name, ink=_ink(name)) for name in colours]
    if axis == "cap":
        colours = _FLAVOURS[int(rng.integers(len(_FLAVOURS)))]
        return [replace(base, variant=f"{name}-cap", cap=name) for name in colours]
    if axis == "emblem":
        chosen = rng.choice(EMBLEMS, size=VARIANTS, replace=False)
        return [replace(base, variant=str(name), emblem=str(name)) for name in chosen]
    if axis == "pattern":
        chosen = rng.choice(PATTERNS, size=VARIANTS, replace=False)
        base = replace(base, ink=_ink(base.label))
        return [replace(base, variant=str(name), pattern=str(name)) for name in chosen]
    return [replace(base, variant=name, band=share) for name, share in BANDS.items()]


def _ink(label: str) -> str:
    return "white" if sum(COLOURS[label]) < 400 else "black"
