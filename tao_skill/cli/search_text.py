"""What is said of a search before it begins: its plan, and the review of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["review_lines", "search_lines", "values_text"]


def search_lines(search: Mapping[str, Any]) -> list[str]:
    """Return what a plan says of its search: algorithm, budget, and every parameter."""
    settings = search["settings"]
    limit = settings["automl_max_minutes"]
    time = f", {limit:g} minutes" if limit else ""
    target = settings.get("automl_target")
    time += f", until {search['metric']} is {target:g}" if target is not None else ""
    time += f", {search['at_once']} at the same time" if (search["at_once"] or 1) > 1 else ""
    lines = [
        f"  search: {search['algorithm']}, {settings['automl_max_recommendations']} trials of up to "
        f"{search['full_epochs']} epochs{time}; {search['direction']} {search['metric']}",
    ]
    for one in search["space"]:
        held = one.get("choices") or f"{one['low']:g} to {one['high']:g}{', log' if one['log'] else ''}"
        lines.append(f"    {one['key']}: {held} (now {one['default']})")
    return lines + [f"    not searched: {key} ({why})" for key, why in search["left_out"].items()]


def review_lines(found: Mapping[str, Any]) -> list[str]:
    """Return what a review says: data, search, first trials, what was measured of them, and what all of it takes."""
    measured, estimate = found["measured"], found["estimate"]
    lines = [f"{found['skill']} on the {found['device']}, by {found['program']}"]
    for key, places in found["data"].items():
        lines += [f"  {key}: {place['uri']}, {_samples(place)}" for place in places]
    lines += search_lines(found["search"])
    lines += [
        f"  trial {one['trial']} ({one['origin']}): {values_text(one['values'])}" for one in found["first_proposals"]
    ]
    if "seconds" in measured:
        lines.append(f"  measured: {measured['state']} in {measured['seconds']:.1f} s, start included{_why(measured)}")
    if "seconds_per_epoch" in measured:
        minutes = estimate["minutes_per_trial"]
        lines.append(f"  an epoch takes about {measured['seconds_per_epoch']:.3g} s, a trial {minutes:.2g} minutes")
    if estimate["minutes_at_most"] is not None:
        lines.append(f"  at most {estimate['epochs_at_most']} epochs, {estimate['minutes_at_most']:.1f} minutes")
    return lines + [f"  note: {note}" for note in found["warnings"]]


def values_text(values: Mapping[str, Any]) -> str:
    """Return values on one line, by the last parts of their keys."""
    return " ".join(
        f"{key.split('.', 1)[-1]}={value:.3g}" if isinstance(value, float) else f"{key.split('.', 1)[-1]}={value}"
        for key, value in values.items()
    )


def _samples(place: Mapping[str, Any]) -> str:
    files, folders = place["files"], place["folders"]
    if files is None:
        return "not counted"
    return f"{files} files" if folders < 2 else f"{files} files in {folders} folders"


def _why(measured: Mapping[str, Any]) -> str:
    return f": {measured['reason']}" if "reason" in measured else ""
