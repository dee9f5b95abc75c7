"""Values that follow from others where only those were given."""

from collections.abc import Mapping
from typing import Any

from tao_skill.config.keys import MISSING, get_leaf
from tao_skill.config.loss import LOSSES_WITHOUT_MINER

__all__ = ["derived_values"]


def derived_values(action: str, given: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    """Return the keys that follow from what was given, each with its value and the reason.

    ``given`` holds only what a user set, nested: a default must not look like a choice.
    """
    derived: dict[str, tuple[Any, str]] = {}
    number = get_leaf(given, f"{action}.num_gpus", MISSING)
    ids = get_leaf(given, f"{action}.gpu_ids", MISSING)
    if isinstance(number, int) and number > 0 and ids is MISSING:
        derived[f"{action}.gpu_ids"] = (list(range(number)), f"follows {action}.num_gpus = {number}")
    if number is MISSING and isinstance(ids, list) and ids:
        derived[f"{action}.num_gpus"] = (len(ids), f"follows the {len(ids)} entries of {action}.gpu_ids")
    loss = get_leaf(given, "train.loss.name", MISSING)
    if action == "train" and loss in LOSSES_WITHOUT_MINER and get_leaf(given, "train.miner.name", MISSING) is MISSING:
        derived["train.miner.name"] = ("none", f"follows train.loss.name = {loss}, which weighs all pairs itself")
    return derived
