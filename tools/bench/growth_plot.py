"""Draw curves side by side as SVG: what was measured in blue, memory in orange, all axes logarithmic."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

__all__ = ["Curve", "plotted"]

Point = tuple[float, float]
_WIDE, _HIGH, _EDGE, _COLUMNS = 330, 190, 44, 2
_BLUE, _ORANGE = "#1f5fa8", "#c8641e"


@dataclass(frozen=True)
class Curve:
    """One cost over one size: points are (size, what was measured, memory in MB); ``note`` explains bends."""

    title: str
    size: str
    unit: str
    points: list[tuple[int, float, float]]
    note: str = ""


def plotted(curves: Sequence[Curve]) -> str:
    """Return the curves as one picture."""
    cell = _WIDE + _EDGE, _HIGH + 2 * _EDGE
    places = [((number % _COLUMNS) * cell[0], (number // _COLUMNS) * cell[1]) for number in range(len(curves))]
    frames = "".join(_frame(curve, *place) for curve, place in zip(curves, places, strict=True))
    width, height = _COLUMNS * cell[0] + _EDGE, -(-len(curves) // _COLUMNS) * cell[1] + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11"><rect width="100%" height="100%" fill="white"/>{frames}</svg>\n'
    )


def _frame(curve: Curve, left: int, top: int) -> str:
    floor, ceiling = top + _HIGH + _EDGE - 12, top + _EDGE + 14
    across = _scaled([max(size, 0.5) for size, _, _ in curve.points], left + _EDGE, left + _WIDE - 10)
    down = _scaled([value for _, value, _ in curve.points], floor, ceiling)
    memory = _scaled([size for _, _, size in curve.points], floor, ceiling)
    sizes = "".join(
        _text(x, top + _HIGH + _EDGE + 4, f"{size:,}") for x, (size, _, _) in zip(across, curve.points, strict=True)
    )
    values = [f"{value:.3g}" for _, value, _ in curve.points]
    megabytes = [f"{size:.0f}" for _, _, size in curve.points]
    return (
        f'<rect x="{left + _EDGE - 24}" y="{top + 24}" width="{_WIDE - 6}" height="{_HIGH + 8}" fill="none" '
        f'stroke="#ddd"/><text x="{left + _EDGE - 24}" y="{top + 16}" font-weight="bold">{curve.title}</text>'
        f'<text x="{left + _EDGE - 24}" y="{top + _HIGH + _EDGE + 18}">over {curve.size}: '
        f'<tspan fill="{_BLUE}">{curve.unit}</tspan>, <tspan fill="{_ORANGE}">peak memory in MB (dashed)</tspan></text>'
        + _line(list(zip(across, memory, strict=True)), megabytes, _ORANGE, below=True)
        + _line(list(zip(across, down, strict=True)), values, _BLUE, below=False)
        + sizes
    )


def _line(points: Sequence[Point], words: Sequence[str], colour: str, *, below: bool) -> str:
    line = " ".join(f"{x:.0f},{y:.0f}" for x, y in points)
    dashes = ' stroke-dasharray="4 3"' if below else ""
    marks = "".join(
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="{colour}"/>{_text(x, y + (14 if below else -7), word, colour)}'
        for (x, y), word in zip(points, words, strict=True)
    )
    return f'<polyline points="{line}" fill="none" stroke="{colour}"{dashes}/>{marks}'


def _text(x: float, y: float, words: str, colour: str = "black") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle" fill="{colour}">{words}</text>'


def _scaled(values: Sequence[float], start: float, end: float) -> list[float]:
    logs = [log(value) for value in values]
    span = max(logs) - min(logs)
    return [start + (end - start) * ((value - min(logs)) / span if span else 0.5) for value in logs]
