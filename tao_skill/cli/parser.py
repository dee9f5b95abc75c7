"""The parser of the command line; each command adds its own part."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

import tao_skill
from tao_skill.cli import (
    automl,
    call,
    data,
    deploy,
    doctor,
    gallery,
    jobs,
    mcp,
    run,
    schema,
    skill,
    skills,
    template,
    tools,
    validate,
)
from tao_skill.errors import UsageError

__all__ = ["Parser", "build_parser", "common_options"]

_OF_SEARCH = re.compile(r"(?!automl_policy=)(automl_|llm_)")
_SETTING = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*=.*")
_COMMANDS = (
    run,
    automl,
    jobs,
    data,
    deploy,
    gallery,
    skills,
    skill,
    schema,
    template,
    validate,
    tools,
    call,
    mcp,
    doctor,
)


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviations and reports what is wrong as an error of the project."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **({"allow_abbrev": False} | kwargs))

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing, so that --json holds for wrong usage too."""
        from tao_skill.config.secrets import masked_text

        # A word that stands in the wrong place is quoted: KEY=VALUE may hold a secret.
        said = f"{self.prog}: {masked_text(message)}"
        settings = [word for word in said.split() if _SETTING.fullmatch(word)]
        if settings and "unrecognized arguments" in message:
            raise _misplaced(said, settings)
        raise UsageError(said, next_step=f"{self.prog} --help")


def _misplaced(said: str, settings: Sequence[str]) -> UsageError:
    """Return the error of settings that stand alone, with the option that they belong to."""
    words = " ".join(settings)
    if all(map(_OF_SEARCH.match, settings)):
        return UsageError(
            f"{said}. Settings of a search stand behind --automl.",
            next_step=f"the same with --automl {words}: run train, automl run or automl resume",
        )
    return UsageError(
        f"{said}. Settings stand behind --overrides.", next_step=f"python -m tao_skill run ACTION --overrides {words}"
    )


def common_options() -> argparse.ArgumentParser:
    """Return the options that every command takes."""
    options = argparse.ArgumentParser(add_help=False)
    # SUPPRESS, so that an option before the command isn't undone by the default of the one after it.
    options.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print exactly one JSON document on stdout"
    )
    options.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show where an error came from"
    )
    return options


def build_parser() -> Parser:
    """Return the parser of ``python -m tao_skill``."""
    common = common_options()
    parser = Parser(
        prog="python -m tao_skill",
        description="Train, evaluate and use a model that recognises things by comparing them with examples.",
        parents=[common],
    )
    parser.add_argument("--version", action="version", version=f"tao-skill {tao_skill.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="command")
    for command in _COMMANDS:
        command.add_to(commands, [common])
    return parser


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Say whether --json is among the arguments, even where they can't be parsed."""
    return "--json" in arguments
