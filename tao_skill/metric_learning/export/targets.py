"""Files that an action is to write: refused before anything is computed where they would replace others."""

from collections.abc import Mapping
from pathlib import Path

from tao_skill.errors import Problem, UsageError

__all__ = ["refuse_overwriting"]


def refuse_overwriting(targets: Mapping[str, Path], force: bool, action: str) -> None:
    """Refuse to replace files; ``targets`` holds what is to be written, by spec key.

    Raises:
        UsageError: files are there and ``force`` isn't set; all are named.
    """
    there = {key: path for key, path in targets.items() if path.exists()}
    if there and not force:
        raise UsageError(
            f"{action} would overwrite {', '.join(str(path) for path in there.values())}.",
            problems=[Problem(key, str(path), "a file that isn't there yet") for key, path in there.items()],
            next_step=f"choose another name, or the same command with --force ({action}.force=true)",
        )
