"""Run one command line from its words to its exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from tao_skill.cli.outcome import error_outcome, print_outcome
from tao_skill.cli.parser import asks_for_json, build_parser

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    # Looking for pydantic's plugins reads the facts of every installed package, at each start; none is used here.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug, options = "--debug" in words, None
    try:
        _refuse_other_letters(words)
        options = build_parser().parse_args(words)
        outcome = options.call(options)
    except (Exception, KeyboardInterrupt) as error:
        outcome = error_outcome(error, debug, getattr(options, "results_root", None))
    return print_outcome(outcome, asks_for_json(words))


def _refuse_other_letters(words: Sequence[str]) -> None:
    """Refuse words that no record could hold: bytes that are no UTF-8, as in names of files of older systems."""
    wrong = [word for word in words if not _is_utf8(word)]
    if wrong:
        from tao_skill.errors import Problem, UsageError

        expected = "UTF-8; rename a file that is called so"
        raise UsageError(
            "Some words are no UTF-8.",
            problems=[Problem(f"word {words.index(word) + 1}", word, expected) for word in wrong],
        )


def _is_utf8(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
