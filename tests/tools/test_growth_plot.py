"""The plot of how cost grows: its axes begin where a reader expects, and equal curves make equal bytes."""

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from tools.bench.growth_plot import Curve, _scale, plotted

TWO = Curve("Two points", "files", "seconds", [(10, 1.0, 102.0), (20, 2.0, 102.0)], "Costs $1 and $2.")
CONSTANT = Curve("A constant", "threads", "images/s", [(0, 5.0, 102.0), (1, 5.0, 102.0), (2, 5.0, 102.0)])
ONE = Curve("One point", "files", "seconds", [(1_000, 0.0, 102.0)])


@pytest.mark.parametrize(
    ("values", "scale", "limits"),
    [
        ((102.0, 102.0), "linear", (0, 204)),
        ((0.0, 0.0), "linear", (0, 1)),
        ((0.0, 500.0), "linear", (0, 1_000)),
        ((1.0, 30.0), "linear", (0, 60)),
        ((1.0, 31.0), "log", (1, 100)),
        ((0.007, 3.0), "log", (0.001, 10)),
    ],
)
def test_an_axis_begins_at_0_or_spans_whole_decades(
    values: tuple[float, ...], scale: str, limits: tuple[float, float]
) -> None:
    axes = Figure().add_subplot()
    _scale(axes, values, room=2)
    assert axes.get_yscale() == scale
    assert axes.get_ylim() == pytest.approx(limits)


def test_the_picture_names_sizes_units_and_notes() -> None:
    picture = plotted([TWO, CONSTANT, ONE])
    named = ("Two points", "files", "seconds", "images/s", "Costs $1 and $2.", "1,000", "peak memory, MB (dashed)")
    for words in named:
        assert f">{words}</text>" in picture


def test_equal_curves_make_equal_bytes_whatever_the_reader_s_style() -> None:
    first = plotted([TWO, CONSTANT])
    with mpl.rc_context({"font.size": 20, "svg.fonttype": "path"}):
        assert plotted([TWO, CONSTANT]) == first
    assert "dc:date" not in first
