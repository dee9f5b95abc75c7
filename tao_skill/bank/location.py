"""Where the skills are: the folder named by the environment, the installed wheel, or the checkout."""

import os
from pathlib import Path

import tao_skill
from tao_skill.config.folders import at_home
from tao_skill.errors import Problem, SkillError
from tao_skill.installation import install_command

BANK_PATH_VARIABLE = "TAO_SKILL_BANK_PATH"
SKILL_DOCUMENT = "SKILL.md"


def bank_root() -> Path:
    """Return the folder that holds ``skills/``, ``schemas/`` and ``references/``.

    ``$TAO_SKILL_BANK_PATH`` wins; then the package data of a wheel; then the checkout around the package. The
    checkout comes last: beside an installed package, a folder called ``skills`` may be anybody's.

    Raises:
        SkillError: no such folder, or it holds no ``skills/``.
    """
    named = os.environ.get(BANK_PATH_VARIABLE, "").strip()
    if named:
        return _checked(at_home(named).absolute())
    package = Path(tao_skill.__path__[0]).resolve()
    for candidate in (package / "_bank", package.parent):
        if (candidate / "skills").is_dir():
            return candidate
    raise SkillError(
        f"This installation carries no skills: there is no {package / '_bank' / 'skills'}.",
        next_step=f"{install_command('', '--force-reinstall')}, or set {BANK_PATH_VARIABLE} to a checkout",
    )


def skill_directories() -> list[Path]:
    """Return the folders of all agent skills in the bank, by name."""
    skills = bank_root() / "skills"
    return sorted(path.parent for path in skills.glob(f"*/{SKILL_DOCUMENT}"))


def _checked(root: Path) -> Path:
    if (root / "skills").is_dir():
        return root
    raise SkillError(
        f"{BANK_PATH_VARIABLE} names a folder without skills.",
        problems=[Problem(BANK_PATH_VARIABLE, str(root), "a folder that holds skills/<name>/SKILL.md")],
        next_step=f"unset {BANK_PATH_VARIABLE}, or set it to the root of a checkout",
    )
