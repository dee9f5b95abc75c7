"""Where an action writes, and what of a path is there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tao_skill.config.keys import get_leaf
from tao_skill.config.placeholder import is_given

__all__ = ["action_folder", "at_home", "nearest_existing", "trouble_with_path"]


def action_folder(action: str, spec: Mapping[str, Any], results_dir: str | Path) -> Path:
    """Return where an action writes: ``<action>.results_dir`` of the nested spec, else ``<results_dir>/<action>``."""
    own = get_leaf(spec, f"{action}.results_dir")
    return Path(str(own)) if is_given(own) else Path(results_dir) / action


def at_home(path: str | Path) -> Path:
    """Return a path with the home that ~ or ~NAME stands for; as it is, as in a shell, where nobody has that name."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def nearest_existing(path: Path) -> Path:
    """Return the path itself, or else the nearest of its parents that exists and may be looked at."""
    absolute = path.absolute()
    return next(place for place in (absolute, *absolute.parents) if place == place.parent or _is_there(place))


def trouble_with_path(path: Path) -> str:
    """Return why nothing can be seen of a path: it is not there, or can't be named or reached; empty where it is."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return f"there is no {path}, and the nearest is {nearest_existing(path)}"
    except (OSError, ValueError) as error:  # a part that is too long, a folder that may not be entered, a null byte
        return f"{path}: {getattr(error, 'strerror', None) or error}"
    return ""


def _is_there(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:
        return False
