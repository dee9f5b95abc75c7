"""Next commands to type, made to find the jobs of the command before."""

from __future__ import annotations

import re
import shlex

__all__ = ["with_results_root"]

# The commands that look for a job, up to their first word that is no verb.
_COMMAND = re.compile(r"python -m tao_skill (?:run [a-z_]+|jobs [a-z]+|automl [a-z]+|deploy compare|gallery build)")


def with_results_root(step: str, results_root: str | None) -> str:
    """Return a next step whose commands name the results root that was given, where they don't name one."""
    if not results_root or "--results-root" in step:
        return step
    return _COMMAND.sub(lambda found: f"{found[0]} --results-root {shlex.quote(results_root)}", step)
