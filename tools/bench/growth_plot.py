"""Draw curves side by side as SVG: what was measured over the left axis, memory dashed over the right one."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from math import ceil, floor, log10
from textwrap import fill

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

__all__ = ["Curve", "plotted"]

_COLUMNS, _CELL = 2, (5.2, 3.7)
_BLUE, _ORANGE, _GREY = "#1f5fa8", "#b8500f", "#555555"
# Letters stay letters (small, searchable), and equal curves make equal bytes whatever the reader's own style is.
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "growth",
    "text.parse_math": False,
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "lines.markersize": 5,
    "grid.color": "#e4e4e4",
}
# On an axis from 0 to the highest value, one below this part of it lies within its own mark of the floor.
_LOWEST_SEEN = 1 / 30


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
    rows = ceil(len(curves) / _COLUMNS)
    picture = StringIO()
    with style.context(_STYLE, after_reset=True):
        figure = Figure(figsize=(_COLUMNS * _CELL[0], rows * _CELL[1]))
        figure.set_layout_engine("constrained", h_pad=0.12, w_pad=0.1)
        for number, curve in enumerate(curves, 1):
            _draw(figure.add_subplot(rows, _COLUMNS, number), curve)
        figure.savefig(picture, format="svg", metadata={"Date": None, "Creator": None})
    return "".join(f"{line.rstrip()}\n" for line in picture.getvalue().splitlines())


def _draw(left: Axes, curve: Curve) -> None:
    sizes, values, memory = zip(*curve.points, strict=True)
    right = left.twinx()
    left.plot(sizes, values, "o-", color=_BLUE, clip_on=False)
    right.plot(sizes, memory, "s--", color=_ORANGE, clip_on=False)
    _scale(left, values, room=1.1)
    # More room, so that two costs that hardly change don't lie upon each other.
    _scale(right, memory, room=1.6)
    _name(left, sizes, curve)
    left.grid(axis="y")
    left.set_ylabel(curve.unit, color=_BLUE)
    right.set_ylabel("peak memory, MB (dashed)", color=_ORANGE)
    left.tick_params("y", labelcolor=_BLUE)
    right.tick_params("y", labelcolor=_ORANGE)


def _name(axes: Axes, sizes: Sequence[int], curve: Curve) -> None:
    if min(sizes) > 0:
        axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sizes, nbins=8))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel(curve.size)
    axes.set_title(fill(curve.title, 50), loc="left", fontsize=10, fontweight="bold")
    axes.annotate(
        fill(curve.note, 70),
        xy=(0, 0),
        xycoords="axes fraction",
        xytext=(0, -36),
        textcoords="offset points",
        va="top",
        color=_GREY,
        fontsize=8,
    )


def _scale(axes: Axes, values: Sequence[float], room: float) -> None:
    """Let the axis begin at 0; where the lowest value could not be told from 0 there, let it span whole decades."""
    low, high = min(values), max(values)
    if 0 < low < high * _LOWEST_SEEN:
        axes.set_yscale("log")
        axes.set_ylim(10 ** floor(log10(low)), 10 ** ceil(log10(high)))
        axes.yaxis.set_major_locator(LogLocator(10))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(0, room * high or 1)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
