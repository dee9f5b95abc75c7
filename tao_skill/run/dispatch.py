"""Decide who does the work, and say how it is started."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tao_skill.run.policy import Policy

__all__ = [
    "AUTOML",
    "NOT_RUNNABLE",
    "TRAINER",
    "Dispatch",
    "choose_dispatch",
    "trainer_command",
]

Target = Literal["trainer", "tao-run-automl"]
TRAINER: Target = "trainer"
AUTOML: Target = "tao-run-automl"
NOT_RUNNABLE = "AutoML is enabled but not runnable for this model until schemas are generated"


@dataclass(frozen=True)
class Dispatch:
    """Who does the work, why, and what the user should be told of it."""

    target: Target
    reason: str
    warning: str = ""


def choose_dispatch(action: str, policy: Policy, automl_enabled: bool, trouble: str) -> Dispatch:
    """Return who runs the action; ``trouble`` says why the packaged train schema or template can't be used."""
    if action != "train":
        return Dispatch(TRAINER, "only train goes to AutoML")
    if policy.value == "off":
        return Dispatch(TRAINER, f"automl_policy is off: {policy.reason}")
    if not automl_enabled:
        return Dispatch(TRAINER, "skill_info.yaml says automl_enabled: false")
    if trouble:
        return Dispatch(TRAINER, NOT_RUNNABLE, f"{NOT_RUNNABLE}; training directly. {trouble}")
    return Dispatch(AUTOML, f"automl_policy is on: {policy.reason}")


def trainer_command(action: str, spec_file: Path) -> list[str]:
    """Return the command line that runs an action in a process of its own; its results are told by who started it."""
    return [sys.executable, "-m", "tao_skill.cli.ml_recog", action, "-e", str(spec_file), "--brief"]
