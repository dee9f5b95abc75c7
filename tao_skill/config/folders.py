"""Where an action writes, and what of a path is there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tao_skill.config.keys import get_leaf
from tao_skill.config.placeholder import is_given

__all__ = ["action_folder", "nearest_existing"]


def action_folder(action: str, spec: Mapping[str, Any], results_dir: str | Path) -> Path:
    """Return where an action writes: ``<action>.results_dir`` of the nested spec, else ``<results_dir>/<action>``."""
    own = get_leaf(spec, f"{action}.results_dir")
    return Path(str(own)) if is_given(own) else Path(results_dir) / action


def nearest_existing(path: Path) -> Path:
    """Return the path itself, or else the nearest of its parents that exists."""
    absolute = path.absolute()
    return next(place for place in (absolute, *absolute.parents) if place.exists() or place == place.parent)
