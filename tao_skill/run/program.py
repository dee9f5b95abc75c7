"""The program that runs an action of a skill: this package's trainer, the skill's own script, or its command."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tao_skill.bank.skill import Skill
from tao_skill.errors import Problem, SkillError
from tao_skill.run.devices import has_several_processes
from tao_skill.run.dispatch import trainer_command

__all__ = ["CommandFor", "Program", "command_of", "program_of"]

CommandFor = Callable[[str, Path], Sequence[str]]
"""Gives the command line that runs an action with the file of its spec."""
CONFIG_PATH = "{config_path}"


@dataclass(frozen=True)
class Program:
    """A Python script, which a warm process can run again and again, or else a command line."""

    arguments: tuple[str, ...]
    script: str = ""
    config_format: str = "yaml"

    def filled(self, spec_file: Path) -> list[str]:
        """Return the arguments with the path of the spec's file in them."""
        return [word.replace(CONFIG_PATH, str(spec_file)) for word in self.arguments]

    def command(self, spec_file: Path) -> list[str]:
        """Return the command line that runs it in a process of its own."""
        return self.in_own_process().filled(spec_file)

    def in_own_process(self) -> Program:
        """Return the same program as a command line."""
        if not self.script:
            return self
        return replace(self, arguments=(sys.executable, self.script, *self.arguments), script="")

    def for_worker(self, spec: Mapping[str, Any]) -> Program:
        """Return it as a process can run it that runs others after it; ``spec`` is flat, by dotted key.

        Processes that train together leave connections and settings of their environment behind.
        """
        return self.in_own_process() if has_several_processes(spec) else self


def command_of(skill: Skill) -> CommandFor:
    """Return what gives the command line of each action of a skill."""
    if skill.is_own:
        return trainer_command
    return lambda action, spec_file: program_of(skill, action).command(spec_file)


def program_of(skill: Skill, action: str) -> Program:
    """Return the program of an action.

    Raises:
        SkillError: skill_info.yaml names none, or a script that isn't there.
    """
    fact = skill.info.actions[action]
    if fact.execution is not None:
        script = skill.directory / fact.execution.script
        if not script.is_file():
            raise SkillError(
                f"The script of {skill.name} is not there.",
                problems=[Problem(f"skill_info.yaml: actions.{action}.execution.script", str(script), "a file")],
                next_step="correct skill_info.yaml, or reinstall the skill",
            )
        args = tuple(fact.execution.args)
        _check_spec_is_handed_over(skill, f"skill_info.yaml: actions.{action}.execution.args", args)
        return Program(args, str(script), fact.spec_format)
    if skill.is_own:
        return Program((sys.executable, "-m", "tao_skill.cli.ml_recog", action, "-e", CONFIG_PATH))
    words = tuple(shlex.split(fact.command))
    if not words:
        raise SkillError(
            f"{skill.name} doesn't say how its {action} is started.",
            problems=[Problem(f"skill_info.yaml: actions.{action}", None, "execution (a script) or command")],
            next_step="correct skill_info.yaml",
        )
    _check_spec_is_handed_over(skill, f"skill_info.yaml: actions.{action}.command", words)
    return Program(words, config_format=fact.spec_format)


def _check_spec_is_handed_over(skill: Skill, key: str, words: Sequence[str]) -> None:
    if not any(CONFIG_PATH in word for word in words):
        raise SkillError(
            f"The program of {skill.name} is given no spec: nothing stands for the file.",
            problems=[Problem(key, list(words), f"words with {CONFIG_PATH} among them")],
            next_step=f"put {CONFIG_PATH} where the program expects the path of its spec",
        )
