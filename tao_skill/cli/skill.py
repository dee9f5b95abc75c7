"""`skill`: the facts of one skill, or a copy of it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tao_skill.cli.arguments import skill_place
from tao_skill.cli.outcome import Outcome

if TYPE_CHECKING:
    from tao_skill.bank.skill import Skill

__all__ = ["add_to"]


def add_to(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "skill",
        help="show or install one skill",
        description="Show one skill, or copy it to where an agent looks.",
        parents=parents,
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True, dest="verb")
    show = verbs.add_parser("show", help="its actions, data sources and inference functions", parents=parents)
    show.add_argument("name", nargs="?", type=skill_place, help="skill, or its folder (default: the recognition skill)")
    show.set_defaults(call=_show)
    install = verbs.add_parser("install", help="copy a skill, whole, to a folder of skills", parents=parents)
    install.add_argument("name", help="name of the skill")
    install.add_argument("--to", required=True, metavar="DIR", help="folder of skills, such as ~/.claude/skills")
    install.add_argument("--replace", action="store_true", help="replace one that is there")
    install.set_defaults(call=_install)


def _show(options: argparse.Namespace) -> Outcome:
    from tao_skill.bank.skill import find_skill

    skill = find_skill(options.name)
    runnable, reason = skill.automl_runnable()
    document = skill.info.model_dump(mode="json") | {
        "skill_dir": str(skill.directory),
        "automl_runnable": runnable,
        "automl_not_runnable_because": reason,
        "data_sources": [asdict(row) for row in skill.data_sources],
        "inference_functions": [asdict(row) for row in skill.inference],
    }
    return Outcome(document, _text(skill, runnable, reason))


def _install(options: argparse.Namespace) -> Outcome:
    from tao_skill.bank.install import install_skill

    target = install_skill(options.name, Path(options.to), replace=options.replace)
    return Outcome({"name": options.name, "skill_dir": str(target)}, f"{options.name} is in {target}.")


def _text(skill: Skill, runnable: bool, reason: str) -> str:
    enabled = "enabled" if skill.info.automl_enabled else "off"
    lines = [skill.name, f"  {skill.info.description}", f"  folder   {skill.directory}"]
    lines.append(f"  AutoML   {enabled}{'' if runnable else ', but not runnable: ' + reason}")
    for action, fact in skill.info.actions.items():
        needed = [key for key, one in fact.inputs.items() if not one.optional]
        lines.append(
            f"  {action:<15}reads {', '.join(needed) or 'nothing'}; writes {', '.join(fact.outputs) or 'nothing'}"
        )
    shorthands = ", ".join(f"{short} = {key}" for short, key in skill.info.spec_shorthand_keys.items())
    lines.append(f"  short    {shorthands}")
    lines.append("Next: python -m tao_skill template train")
    return "\n".join(lines)
