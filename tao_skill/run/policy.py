"""Decide whether a training goes to AutoML: from the flag, else from the user's words, else on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tao_skill.errors import Problem, UsageError

__all__ = ["Policy", "find_off_words", "resolve_policy"]

_SEARCH = (
    r"(?:auto[ -]?ml|hpo|hyper[ -]?param(?:eter)?s?[ -](?:search|tuning|optimi[sz]ation|sweep)s?|"
    r"automated machine learning)(?!['’]s?\b|[\w-])"
)
_ANY = r"(?:(?:the|any|all|its|your|this|use of|using)\s+)*"
# Texts, compiled when a request is read: most runs have none.
_OFF_PHRASES = (
    rf"\b(?:turn|switch|toggle)(?:ing|ed|es|s)?\s+off\s+{_ANY}{_SEARCH}",
    rf"\b(?:turn|switch|toggle)(?:ing|ed|es|s)?\s+{_ANY}{_SEARCH}\s+off\b",
    rf"\b(?:disabl|deactivat|bypass|skip|avoid|omit)(?:e|es|ed|ing|ping|ped|ted|ting|s)?\s+{_ANY}{_SEARCH}",
    rf"\b(?:no|without|w/o|minus)\s+{_ANY}{_SEARCH}",
    rf"\b(?:do not|don't|dont|never)\s+(?:(?:use|run|do|want|need|apply|enable|start|launch)\s+)+(?:to\s+)?"
    rf"(?:(?:use|run|do|apply|enable|start|launch)\s+)?{_ANY}{_SEARCH}",
    rf"{_SEARCH}(?:[ _]policy)?\s*(?:[:=]\s*|\s(?:(?:should|must|to|can|may)\s+be\s+|be\s+|is\s+)?)"
    rf"(?:turned off|switched off|disabled|off)\b",
    r"\bautoml_policy\s*(?:[:=]|\s)\s*[\"'`]?off\b",
    r"\bplain\s+(?:model\s+)?(?:training|train)\b",
)
_NEGATION = (
    r"\b(?:do not|don't|dont|does not|doesn't|did not|didn't|never|not|no|nor|neither|without|cannot|can't|won't|"
    r"shouldn't|mustn't|needn't|wouldn't|rather than|instead of)\b"
)
# What goes before one of these doesn't govern what comes after; "or" it does, as in "don't change it or turn it off".
_BOUNDARY = (
    r"[,.;:!?\n()]|\s[-–—]\s|—|"
    r"\b(?:but|so|then|therefore|instead(?!\s+of)|please|(?<!\bgo )(?<!\bgo ahead )(?<!\btry )and)\b"
)
_REACH = 4  # words between a negation and the phrase that it turns around: "not under any circumstances turn off"


@dataclass(frozen=True)
class Policy:
    """`on` or `off`, for this run only, with the reason."""

    value: Literal["on", "off"]
    reason: str


def resolve_policy(flag: str | None, override: str | None, request: str | None) -> Policy:
    """Return the policy of this run.

    Raises:
        UsageError: a value other than on and off, or a flag and an override that contradict each other.
    """
    given = {"--automl-policy": _checked("--automl-policy", flag), "automl_policy": _checked("automl_policy", override)}
    said = {name: value for name, value in given.items() if value is not None}
    if len(set(said.values())) > 1:
        raise UsageError(
            "automl_policy is given twice, with different values.",
            problems=[
                Problem(name, value, "the same value in both places, or only one of them")
                for name, value in said.items()
            ],
        )
    for name, value in said.items():
        return Policy(value, f"given by {name}")
    words = find_off_words(request or "")
    if words:
        return Policy("off", f"the request says {words!r}")
    return Policy("on", "the default")


def find_off_words(request: str) -> str:
    """Return the words of a request that switch AutoML off; empty where none do, or where they are negated."""
    text = re.sub(r"[ \t]+", " ", request.replace("’", "'").lower())
    for phrase in _OFF_PHRASES:
        for match in re.finditer(phrase, text):
            if not _negated(text[: match.start()]):
                return " ".join(match[0].split())
    return ""


def _negated(before: str) -> bool:
    clause = re.split(_BOUNDARY, before)[-1]
    found = list(re.finditer(_NEGATION, clause))
    return bool(found) and len(clause[found[-1].end() :].split()) < _REACH


def _checked(name: str, value: str | None) -> Literal["on", "off"] | None:
    match value.strip().lower() if value is not None else None:
        case None:
            return None
        case "on":
            return "on"
        case "off":
            return "off"
    raise UsageError(
        f"{name} can't be {value!r}: only on and off exist.",
        problems=[Problem(name, value, "on or off")],
        next_step="--automl-policy off trains directly; without it AutoML decides",
    )
