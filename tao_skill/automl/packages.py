"""The packages that a search needs beside those of the package itself: extras."""

from __future__ import annotations

from importlib.util import find_spec

from tao_skill.errors import NotAvailableError, Problem
from tao_skill.installation import install_command

__all__ = ["lack_of_packages"]


def lack_of_packages(algorithm: str, platform: str) -> NotAvailableError | None:
    """Return what to tell where a search lacks packages on this machine; None where it has them all."""
    # A population needs nothing but the history.
    needed = {} if algorithm == "pbt" else {"optuna": "automl"}
    needed |= {"ray": "ray"} if platform == "ray" else {}
    missing = [name for name in needed if find_spec(name) is None]
    if not missing:
        return None
    extras = ",".join(needed[name] for name in missing)
    setting, had, instead = "automl_policy", "on", "--automl-policy off to train directly"
    if missing == ["ray"]:
        setting, had, instead = "automl_platform", "ray", "--platform local"
    return NotAvailableError(
        f"The search needs {' and '.join(missing)}, not installed here.",
        problems=[Problem(setting, had, "another, or what it needs installed")],
        next_step=f"{install_command(extras)}, or {instead}",
    )
