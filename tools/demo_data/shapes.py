"""The packages' bodies: which point of the printed artwork each pixel of a picture shows.

A package stands upright in its own plane: y runs from 0 (top) to 1 (foot), x from -aspect/2 to aspect/2. The artwork
is a flat sheet: v runs like y, u from -1 to 1 around the package, the front from -FRONT to FRONT.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FRONT", "SHAPES", "Shape", "Surface", "View", "surface_of"]

Floats = NDArray[np.float32]

FRONT = 2 / 3
_ROUND_SPAN = 0.75 * np.pi  # the angle that u = 1 stands for on a round package


@dataclass(frozen=True)
class View:
    """Turn about the upright axis and height of the camera, in radians; where the light comes from."""

    yaw: float = 0.0
    pitch: float = 0.0
    light: float = -0.4


@dataclass(frozen=True)
class Shape:
    """A kind of package; heights are shares of the whole height, counted from the top."""

    kind: str  # round, boxed or flat
    aspect: float  # width / height
    profile: tuple[tuple[float, float], ...]  # (height, share of the full width)
    label: tuple[float, float]
    cap: tuple[float, float] | None = None
    depth: float = 0.5  # of a box, as a share of its width


@dataclass(frozen=True)
class Surface:
    """What each pixel shows; all of the pixels' shape, ``inside`` is a mask."""

    u: Floats
    v: Floats
    shade: Floats
    inside: NDArray[np.bool_]


_STRAIGHT = ((0.0, 1.0), (1.0, 1.0))

SHAPES: dict[str, Shape] = {
    "bottle": Shape(
        "round",
        0.36,
        ((0, 0.42), (0.11, 0.42), (0.115, 0.34), (0.22, 0.36), (0.34, 0.85), (0.40, 1), (0.97, 1), (1, 0.93)),
        label=(0.44, 0.88),
        cap=(0.0, 0.11),
    ),
    "box": Shape("boxed", 0.72, _STRAIGHT, label=(0.0, 1.0), depth=0.35),
    "can": Shape(
        "round", 0.54, ((0, 0.86), (0.02, 0.88), (0.07, 1), (0.94, 1), (1, 0.88)), label=(0.07, 0.94)
    ),
    "carton": Shape(
        "boxed",
        0.50,
        ((0, 0.84), (0.05, 0.84), (0.06, 0.82), (0.18, 1), (1, 1)),
        label=(0.2, 1.0),
        depth=0.8,
    ),
    "jar": Shape(
        "round",
        0.74,
        ((0, 0.84), (0.17, 0.84), (0.175, 0.78), (0.2, 0.82), (0.27, 1), (0.95, 1), (1, 0.92)),
        label=(0.34, 0.88),
        cap=(0.0, 0.17),
    ),
    "pouch": Shape(
        "flat", 0.70, ((0, 0.94), (0.07, 0.93), (0.2, 0.97), (0.5, 1), (0.85, 0.97), (1, 0.9)), label=(0.07, 1.0)
    ),
    "tub": Shape(
        "round", 1.15, ((0, 1), (0.14, 1), (0.145, 0.95), (1, 0.78)), label=(0.22, 0.95), cap=(0.0, 0.14)
    ),
    "tube": Shape(
        "round",
        0.40,
        ((0, 1), (0.05, 1), (0.4, 0.95), (0.82, 0.74), (0.825, 0.62), (1, 0.58)),
        label=(0.08, 0.78),
        cap=(0.825, 1.0),
    ),
}  # fmt: skip


def surface_of(shape: Shape, x: Floats, y: Floats, view: View) -> Surface:
    """Return what the pixels at x, y show of a package in a view."""
    return _SURFACES[shape.kind](shape, x, y, view)


def _half_width(shape: Shape, y: Floats) -> Floats:
    heights, shares = zip(*shape.profile, strict=True)
    # A table of 512 rows is quicker than np.interp on each pixel.
    table = np.interp(np.linspace(0, 1, 512), heights, shares).astype(np.float32) * (shape.aspect / 2)
    rows = np.clip(y * 511, 0, 511).astype(np.int32)
    widths: Floats = table[rows]
    return widths


def _round(shape: Shape, x: Floats, y: Floats, view: View) -> Surface:
    half = _half_width(shape, y)
    across = np.clip(x / half, -1, 1)
    angle = np.arcsin(across)
    facing = np.sqrt(1 - across * across)
    rise = np.float32(np.sin(view.pitch)) * half
    v = y + rise * (1 - facing)
    within = np.abs(x) < half
    # Seen from above, the lid is an ellipse behind the front rim.
    lid = within & (v < 0) & (y > -rise * (1 + facing))
    shade = 0.5 + 0.55 * np.cos(angle - view.light)
    gloss = np.exp(-(((angle - view.light * 1.4) / 0.16) ** 2)) * 0.28
    shade = np.where(lid, np.float32(1.2), shade + gloss)
    u = (angle + np.float32(view.yaw)) / np.float32(_ROUND_SPAN)
    return Surface(u, np.clip(v, 0, 1), shade, (within & (v >= 0) & (v <= 1)) | lid)


def _boxed(shape: Shape, x: Floats, y: Floats, view: View) -> Surface:
    turn = abs(view.yaw)
    front = shape.aspect * np.cos(turn)
    side = shape.aspect * shape.depth * np.sin(turn)
    # Work as if the side face shows on the right; the other case is its mirror image, but for the print.
    mirrored = view.yaw < 0
    across = (-x if mirrored else x) + (front + side) / 2
    on_side = across > front
    # Both faces shrink away from the edge they share.
    away = np.where(on_side, (across - front) * np.sin(turn), (front - across) * np.sin(turn) * 0.5)
    v = (y - 0.5 + np.float32(view.pitch) * 0.3) * (1 + away * 0.5) + 0.5 - np.float32(view.pitch) * 0.3
    taper = _half_width(shape, v) / (shape.aspect / 2)
    place = np.where(on_side, (across - front) / max(side, 1e-6), across / front)
    within = (across > 0) & (across < front + side) & (v > 0) & (v < 1)
    within &= np.where(on_side, place < 1 - (1 - taper) * 2, place > (1 - taper) * 0.6)
    u = np.where(on_side, FRONT + place * (1 - FRONT), (place * 2 - 1) * FRONT)
    if mirrored:
        u = -u
    lit = 1.0 + 0.12 * np.sign(-view.light * view.yaw)
    shade = np.where(on_side, 0.62 * lit, 1.0) * np.where(v < shape.label[0], 1.08, 1.0)
    return Surface(u.astype(np.float32), np.clip(v, 0, 1), shade.astype(np.float32), within)


def _flat(shape: Shape, x: Floats, y: Floats, view: View) -> Surface:
    half = _half_width(shape, y) * np.float32(np.cos(view.yaw))
    across = x / half
    within = (np.abs(across) < 1) & (y > 0) & (y < 1)
    # A filled bag bulges: bright towards the light, dark at the rim, with a crimped edge at the top.
    bulge = np.cos(np.clip(across, -1, 1) * 1.35 - view.light * 0.6) * np.cos((y - 0.55) * 1.7)
    creases = np.sin(across * 9 + y * 5) * np.sin(y * 23 - across * 4) * 0.06
    shade = 0.52 + 0.55 * bulge + creases
    crimp = y < shape.label[0]
    shade = np.where(crimp, 0.85 + 0.15 * np.sign(np.sin(y * 260)), shade)
    return Surface((across * FRONT).astype(np.float32), np.clip(y, 0, 1), shade.astype(np.float32), within)


_SURFACES: dict[str, Callable[[Shape, Floats, Floats, View], Surface]] = {
    "round": _round,
    "boxed": _boxed,
    "flat": _flat,
}
