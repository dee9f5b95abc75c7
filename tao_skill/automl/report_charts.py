"""The drawings of a report, as SVG: small, readable without a network, and every text in them escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from tao_skill.automl.history import SearchHistory, Trial
from tao_skill.automl.report_scale import Axis, axis_of, endings_of, nice_range, short

__all__ = ["curves_chart", "history_chart", "importance_chart", "parallel_chart"]

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 960, 70, 30, 20, 44
_NAME = 22


def history_chart(history: SearchHistory, baseline: float | None) -> str:
    """Draw each trial's best value, the best so far, and the baseline."""
    height = 320
    scored = [trial for trial in history.trials if trial.best_value is not None and trial.state != "failed"]
    values = [trial.best_value for trial in scored if trial.best_value is not None]
    frame = _Frame(height, Axis(-0.5, max(len(history.trials), 1) - 0.5), nice_range(values))
    parts = [*frame.grid(), *frame.numbers([trial.number for trial in history.trials], "trial")]
    if baseline is not None:
        y = frame.y(baseline)
        parts.append(f'<line class="baseline" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(_text(_WIDTH - _RIGHT, y - 5, f"baseline {short(baseline)}", "baseline-name", "end"))
    parts.append(_best_so_far(history, scored, frame))
    for trial in history.trials:
        mark = _mark(history, trial, frame)
        parts.append(f'<a href="#trial-{trial.number}"><title>{escape(told(history, trial))}</title>{mark}</a>')
    return _svg(height, f"{history.metric} of each trial, and the best so far", parts)


def curves_chart(history: SearchHistory) -> str:
    """Draw the metric of each trial over its epochs."""
    height = 300
    lines = {
        trial.number: [(one.epoch, one.value) for one in sorted(trial.reports, key=lambda one: one.epoch)
                       if one.value is not None]
        for trial in history.trials
    }  # fmt: skip
    values = [value for line in lines.values() for _, value in line]
    last = max([1, *(epoch for line in lines.values() for epoch, _ in line)])
    # A full training may have many more than the time allowed.
    frame = _Frame(height, Axis(0.5, last + 0.5), nice_range(values))
    parts = [*frame.grid(), *frame.numbers(range(1, last + 1), f"epoch (a full training has {history.full_epochs})")]
    upper = _upper_half(history)
    for trial in sorted(history.trials, key=lambda one: (one.number == history.winner, one.number in upper)):
        points = " ".join(f"{frame.x(epoch)},{frame.y(value)}" for epoch, value in lines[trial.number])
        if points:
            shape = "polyline" if " " in points else ""
            title = f"<title>{escape(told(history, trial))}</title>"
            name = _line_class(history, trial, upper)
            if shape:
                parts.append(
                    f'<polyline class="{name}" data-trial="{trial.number}" points="{points}">{title}</polyline>'
                )
            else:
                x, y = points.split(",")
                parts.append(
                    f'<circle class="{name}" data-trial="{trial.number}" cx="{x}" cy="{y}" r="3">{title}</circle>'
                )
    return _svg(height, f"{history.metric} of each trial, epoch by epoch", parts)


def parallel_chart(history: SearchHistory) -> str:
    """Draw each trial as a line through its values and its metric."""
    height = 380
    scored = [trial for trial in history.trials if trial.best_value is not None and trial.state != "failed"]
    axes: list[tuple[str, Axis]] = [(one["key"], axis_of(one)) for one in history.space]
    axes.append((history.metric, nice_range(one.best_value for one in scored if one.best_value is not None)))
    endings = endings_of([one["key"] for one in history.space])
    width = max(_WIDTH, 150 * len(axes))
    room = (width - 2 * 75) / max(len(axes) - 1, 1)
    places = [75 + room * place for place in range(len(axes))]
    top, bottom = 56, height - 24
    parts = []
    upper = _upper_half(history)
    for trial in sorted(scored, key=lambda one: (one.number == history.winner, one.number in upper)):
        points = []
        for x, (name, axis) in zip(places, axes, strict=True):
            place = axis.place(trial.best_value if name == history.metric else trial.values.get(name))
            if place is not None:
                points.append(f"{x:.1f},{bottom - place * (bottom - top):.1f}")
        parts.append(
            f'<polyline class="{_line_class(history, trial, upper)}" data-trial="{trial.number}" '
            f'points="{" ".join(points)}"><title>{escape(told(history, trial))}</title></polyline>'
        )
    for number, (x, (name, axis)) in enumerate(zip(places, axes, strict=True)):
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>')
        parts += [_text(x + 5, bottom - place * (bottom - top) + 4, said[:16], "tick") for place, said in axis.ticks()]
        # Every other name stands higher, so that long ones don't meet.
        y = 18 if number % 2 else 36
        if number < len(history.space):
            parts.append(_text(x, y, _end_of(endings[name]), "", "middle", title=name))
        else:  # what the search is about is told whole
            parts.append(_text(width - 5, y, name, "", "end"))
    return _svg(height, "Values of all trials", parts, width)


def importance_chart(shares: Mapping[str, float]) -> str:
    """Draw the share of each parameter as a bar."""
    row, left = 28, 330
    height = row * len(shares) + 12
    largest = max(shares.values(), default=1.0) or 1.0
    parts = []
    for number, (key, share) in enumerate(shares.items()):
        y = 6 + row * number
        size = (_WIDTH - left - 80) * share / largest
        parts.append(_text(left - 10, y + 17, key if len(key) <= 46 else f"…{key[-45:]}", "", "end", title=key))
        parts.append(f'<rect class="bar" x="{left}" y="{y + 3}" width="{size:.1f}" height="{row - 8}" rx="3"/>')
        parts.append(_text(left + size + 8, y + 17, f"{share:.0%}", "tick"))
    return _svg(height, "Importance of each parameter", parts)


def told(history: SearchHistory, trial: Trial) -> str:
    """Return what a trial came to, in a line."""
    value = "no value" if trial.best_value is None else f"{history.metric} {short(trial.best_value)}"
    endings = endings_of(list(trial.values))
    held = ", ".join(f"{endings[key]} {short(one)}" for key, one in trial.values.items())
    return f"trial {trial.number}, {trial.state}: {value}; {held}"


class _Frame:
    """The axes of a chart."""

    def __init__(self, height: int, across: Axis, up: Axis) -> None:
        self._height, self._across, self._up = height, across, up

    def x(self, value: float) -> float:
        return round(_LEFT + (self._across.place(value) or 0.0) * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        bottom = self._height - _BOTTOM
        return round(bottom - (self._up.place(value) or 0.0) * (bottom - _TOP), 1)

    @property
    def bottom(self) -> int:
        return self._height - _BOTTOM

    def grid(self) -> list[str]:
        parts = []
        for place, said in self._up.ticks():
            y = round(self.bottom - place * (self.bottom - _TOP), 1)
            parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
            parts.append(_text(_LEFT - 8, y + 4, said, "tick", "end"))
        return parts

    def numbers(self, counted: Sequence[int], name: str) -> list[str]:
        every = max(1, -(-len(counted) // 20))
        parts = [_text(self.x(number), self.bottom + 16, str(number), "tick", "middle") for number in counted[::every]]
        return [*parts, _text((_LEFT + _WIDTH - _RIGHT) / 2, self._height - 8, name, "", "middle")]


def _best_so_far(history: SearchHistory, scored: Sequence[Trial], frame: _Frame) -> str:
    best: float | None = None
    corners: list[str] = []
    for trial in scored:
        assert trial.best_value is not None
        if corners and best is not None:
            corners.append(f"{frame.x(trial.number)},{frame.y(best)}")
        if history.better(trial.best_value, best):
            best = trial.best_value
        assert best is not None
        corners.append(f"{frame.x(trial.number)},{frame.y(best)}")
    return f'<polyline class="best" points="{" ".join(corners)}"/>'


def _mark(history: SearchHistory, trial: Trial, frame: _Frame) -> str:
    x = frame.x(trial.number)
    y = frame.bottom - 6
    if trial.state == "failed":
        return f'<path class="cross" data-trial="{trial.number}" d="M{x - 5} {y - 5}l10 10m0 -10l-10 10"/>'
    if trial.best_value is None:
        return f'<circle class="dot valueless" data-trial="{trial.number}" cx="{x}" cy="{y}" r="5"/>'
    kind = "winner" if trial.number == history.winner else trial.state
    return (
        f'<circle class="dot {kind}" data-trial="{trial.number}" cx="{x}" cy="{frame.y(trial.best_value)}" '
        f'r="{7 if kind == "winner" else 5}"/>'
    )


def _upper_half(history: SearchHistory) -> set[int]:
    scored = [(one.best_value, one.number) for one in history.trials if one.best_value is not None]
    ranked = sorted(scored, reverse=history.direction == "maximize")
    return {number for _, number in ranked[: (len(ranked) + 1) // 2]}


def _line_class(history: SearchHistory, trial: Trial, upper: set[int]) -> str:
    if trial.number == history.winner:
        return "trial winner"
    return "trial upper" if trial.number in upper else "trial"


def _end_of(name: str) -> str:
    """Return the end of a dotted key, which tells more than its beginning."""
    return name if len(name) <= _NAME else f"…{name[-_NAME + 1 :]}"


def _text(x: float, y: float, said: str, kind: str, anchor: str = "start", *, title: str = "") -> str:
    shown = f"<title>{escape(title)}</title>" if title else ""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}{shown}</text>'


def _svg(height: int, title: str, parts: Sequence[str], width: int = _WIDTH) -> str:
    label = escape(title, quote=True)
    # A drawing that is wider than the page keeps its size, so that its words can be read; it is scrolled.
    size = f'class="wide" width="{width}" height="{height}" ' if width > _WIDTH else ""
    return f'<svg {size}viewBox="0 0 {width} {height}" role="group" aria-label="{label}">{"".join(parts)}</svg>'
