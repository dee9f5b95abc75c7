"""Templates of the actions that a TensorRT engine serves."""

from typing import Any

from tao_skill.config.action_names import DEPLOY_ACTIONS
from tao_skill.config.keys import set_leaf
from tao_skill.config.schema import template
from tao_skill.errors import UsageError

__all__ = ["deploy_template"]


def deploy_template(action: str) -> dict[str, Any]:
    """Return the template of a deploy action: where the action's own asks for a checkpoint, it asks for an engine.

    Raises:
        UsageError: engines don't serve the action.
    """
    if action not in DEPLOY_ACTIONS:
        raise UsageError(f"There is no deploy action {action!r}; they are {', '.join(DEPLOY_ACTIONS)}.")
    spec = template(action)
    if action != "gen_trt_engine":
        set_leaf(spec, f"{action}.checkpoint", "")
        set_leaf(spec, f"{action}.trt_engine", "???")
    return spec
