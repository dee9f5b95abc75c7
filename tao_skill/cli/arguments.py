"""Arguments that several commands take."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_action", "add_results_root", "add_skill", "skill_place"]

_ACTIONS = "train, evaluate, inference, export or gen_trt_engine"


def add_action(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add the action: as the first word, or under the ``names`` of an option that must be there."""
    if names:
        parser.add_argument(*names, required=True, help=_ACTIONS)
    else:
        parser.add_argument("action", help=_ACTIONS)


def add_skill(parser: argparse.ArgumentParser) -> None:
    """Add the skill that is used."""
    parser.add_argument(
        "--skill", "--skill-dir", metavar="NAME|DIR", type=skill_place,
        help="skill, or its folder (default: that of the parent job, if there is one, or the recognition skill)",
    )  # fmt: skip


def skill_place(text: str) -> str:
    """Return what names a skill: a name as it is, unless only a folder here is called so: then the path of that folder.

    Only a person at a shell means a folder by a plain name; for programs, a name is a skill of the bank and no path.
    """
    from tao_skill.bank.location import SKILL_DOCUMENT, skill_directories
    from tao_skill.bank.skill import SKILL_INFO
    from tao_skill.errors import SkillError

    folder = Path(text)
    if "/" in text or not any((folder / name).is_file() for name in (SKILL_DOCUMENT, SKILL_INFO)):
        return text
    try:
        known = [path.name for path in skill_directories()]
    except SkillError:  # told where the skill is looked for
        return text
    return text if text in known else str(folder.absolute())


def add_results_root(parser: argparse.ArgumentParser) -> None:
    """Add where the jobs are."""
    parser.add_argument(
        "--results-root", metavar="URI", help="folder of all jobs (default: $TAO_RESULTS_ROOT, ./results)"
    )
