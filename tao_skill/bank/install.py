"""Copy a skill out of the bank, so that an agent's host finds it in a folder of its own."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tao_skill.bank.location import skill_directories
from tao_skill.config.folders import at_home
from tao_skill.errors import Problem, SkillError, StorageError

__all__ = ["install_skill"]


def install_skill(name: str, folder: Path, *, replace: bool = False) -> Path:
    """Copy a skill to ``folder/<name>`` and return that; whole, or not at all.

    Raises:
        SkillError: the bank has no skill of that name.
        StorageError: it is there already (unless ``replace``), or the folder can't be written.
    """
    known = {path.name: path for path in skill_directories()}
    if name not in known:
        raise SkillError(
            f"There is no skill {name!r}.",
            problems=[Problem("name", name, f"one of {', '.join(known)}")],
            next_step="python -m tao_skill skills",
        )
    target = at_home(folder).absolute() / name
    if (target.exists() or target.is_symlink()) and not replace:
        raise StorageError(
            f"{target} is there already.",
            problems=[Problem("--to", str(folder), "a folder without it, or --replace")],
            next_step=f"python -m tao_skill skill install {name} --to {folder} --replace",
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}.") as scratch:
            copied = Path(scratch) / name
            shutil.copytree(known[name], copied, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
            for path in (copied, *copied.rglob("*")):  # a read-only bank must not make a read-only copy
                path.chmod(path.stat().st_mode | 0o200)
            if target.is_dir() and not target.is_symlink():
                target.rename(Path(scratch) / "before")
            elif target.exists() or target.is_symlink():
                target.unlink()
            copied.rename(target)
    except OSError as error:
        raise StorageError(
            f"{target} can't be written: {error.strerror or error}.",
            problems=[Problem("--to", str(folder), "a folder that can be written, with space left")],
        ) from error
    return target
