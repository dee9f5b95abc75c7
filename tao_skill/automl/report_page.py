"""A search's report as one HTML file: no network, no scripts but its own, readable in light and dark.

It is rendered from the report's document alone. Everything that comes from there is escaped, and the page's own policy
lets no other script or style run: what a program or a language model said can't become part of the page.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.resources import files
from typing import Any

from tao_skill.automl.documents import SearchReport
from tao_skill.automl.history import Trial
from tao_skill.automl.report_charts import curves_chart, history_chart, importance_chart, parallel_chart
from tao_skill.automl.report_scale import endings_of, short

__all__ = ["render_report"]


def render_report(report: SearchReport) -> str:
    """Return the page."""
    history = report.history
    style, script = _own("report.css"), _own("report.js")
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'"
    title = f"AutoML search of {history.skill}"
    body = [
        f"<h1>{_safe(title)}</h1>",
        f'<p class="soft">Job {_safe(history.job_id)}, begun {_safe(history.started_at)}, {_safe(history.state)}.</p>',
        _cards(report),
        *(f"<p>{_safe(note)}</p>" for note in ([history.end_reason] if history.end_reason else []) + history.notes),
        _figure("History", "Every point leads to its row; a hollow one was stopped early, a cross failed, "
                "a dashed ring has no value.",
                history_chart(history, report.baseline)),
        _figure("Epoch by epoch", "The winner is thick; the better half is coloured.", curves_chart(history)),
        _figure("Parallel coordinates", "A line is a trial, through its values to its result.",
                parallel_chart(history)),
        _importance(report),
        _table(report),
        _details(report),
    ]  # fmt: skip
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_safe(title)}</title>\n<style>{style}</style></head>\n<body><main>\n"
        + "\n".join(body)
        + f"\n</main>\n<script>{script}</script></body></html>\n"
    )
    # A text may hold halves of characters, which no file can.
    return page.encode("utf-8", errors="replace").decode("utf-8")


def _cards(report: SearchReport) -> str:
    history = report.history
    gain = "none" if report.gain is None else f"{report.gain:+.4g}"
    winner = "none" if history.winner is None else f"trial {history.winner}"
    shown = {
        f"Best {history.metric}": _value(report.best),
        "Baseline": _value(report.baseline),
        "Gain": gain,
        "Winner": winner,
        "Trials": str(len(history.trials)),
        "Algorithm": history.algorithm,
        "Wall clock": _clock(history.seconds),
        "Epochs trained": str(report.epochs),
    }
    cards = "".join(f"<div><dt>{_safe(name)}</dt><dd>{_safe(value)}</dd></div>" for name, value in shown.items())
    return f'<dl class="cards">{cards}</dl>'


def _importance(report: SearchReport) -> str:
    if not report.importance:
        why = (
            "Told when the search has ended."
            if report.history.state == "running"
            else "Too few trials with a value, or all alike, to tell which parameter mattered."
        )
        return f"<h2>Importance</h2><p>{why}</p>"
    said = "Share of each parameter in what makes a trial one of the best (PED-ANOVA); of few trials, a hint at most."
    return _figure("Importance", said, importance_chart(report.importance))


def _figure(title: str, said: str, chart: str) -> str:
    label = _safe(title)
    return (
        f'<h2>{label}</h2><p class="soft">{_safe(said)}</p>'
        f'<figure class="scroll" tabindex="0" role="group" aria-label="{label}">{chart}</figure>'
    )


def _table(report: SearchReport) -> str:
    history = report.history
    keys = [one["key"] for one in history.space]
    endings = endings_of(keys)
    names = [
        "Trial", "State", history.metric, "Gain over baseline", "Epochs", *keys, "Seconds", "Proposed by", "Why"
    ]  # fmt: skip
    texts = {"State", "Proposed by", "Why"}
    heads = "".join(
        f'<th scope="col"{" class=text" if name in texts else ""}><button type="button" title="{_safe(name)}">'
        f"{_safe(endings.get(name, name))}</button></th>"
        for name in names
    )
    rows = "".join(_row(report, trial, keys) for trial in history.trials)
    return (
        '<h2>Trials</h2><div class="scroll" tabindex="0" role="region" aria-label="Table of trials"><table>'
        f"<caption>All trials. A heading sorts by its column.</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(report: SearchReport, trial: Trial, keys: list[str]) -> str:
    history = report.history
    kind = "winner" if trial.number == history.winner else trial.state
    gain = history.gain(trial.best_value)
    cells = [
        _cell(trial.state, "text"),
        _cell(trial.best_value),
        _cell(gain, shown="" if gain is None else f"{gain:+.4g}"),
        _cell(trial.last_epoch),
        *(_cell(trial.values.get(key)) for key in keys),
        _cell(round(trial.seconds, 1)),
        _cell(trial.origin, "text"),
        _cell(_why(trial), "wide"),
    ]
    label = f'<th scope="row" data-sort="{trial.number}"><a href="#trial-{trial.number}">{trial.number}</a></th>'
    return f'<tr id="trial-{trial.number}" class="{kind}" data-trial="{trial.number}">{label}{"".join(cells)}</tr>'


def _cell(value: Any, kind: str = "", shown: str | None = None) -> str:
    said = ("" if value is None else short(value)) if shown is None else shown
    name = f' class="{kind}"' if kind else ""
    sort = "" if value is None else repr(value) if isinstance(value, float) else str(value)
    return f'<td{name} data-sort="{_safe(sort)}">{_safe(said)}</td>'


def _why(trial: Trial) -> str:
    failed = f"{trial.failure.kind}: {trial.failure.message}" if trial.failure else ""
    again = f"started {trial.attempts} times" if trial.attempts > 1 else ""
    return "; ".join(part for part in (trial.reason, failed, again) if part)


def _details(report: SearchReport) -> str:
    history = report.history
    facts: dict[str, Any] = {"Skill": history.skill_dir, "Direction": history.direction, "Disk": history.disk_bound}
    facts |= {"Seconds per epoch": short(report.seconds_per_epoch), "Proposals that broke a rule": history.rejected}
    for name, held in (history.final_evaluation or {}).items():
        pairs = held.items() if isinstance(held, dict) else [(name, held)]
        facts |= {f"Final evaluation: {key}": short(value) for key, value in pairs}
    left_out = "".join(f"<dt>{_safe(key)}</dt><dd>{_safe(why)}</dd>" for key, why in history.left_out.items())
    return (
        f"<h2>More</h2><dl class=plain>{_pairs(facts)}</dl>"
        + (f"<h2>Not searched</h2><dl class=plain>{left_out}</dl>" if left_out else "")
        + f"<details><summary>Settings of the search</summary><dl class=plain>{_pairs(history.settings)}</dl></details>"
    )


def _pairs(facts: dict[str, Any]) -> str:
    return "".join(
        f"<dt>{_safe(key)}</dt><dd>{_safe('not set' if value in (None, '') else value)}</dd>"
        for key, value in facts.items()
    )


def _value(value: float | None) -> str:
    return "none" if value is None else short(value)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _safe(value: Any) -> str:
    return escape(str(value), quote=True)


def _own(name: str) -> str:
    return files("tao_skill.automl").joinpath(name).read_text(encoding="utf-8").strip()


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
