"""What a command came to: a document for machines, a text for people, and an exit code for shells."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import Any, TextIO

from tao_skill.cli.next_command import with_results_root
from tao_skill.errors import InternalError, TaoSkillError

__all__ = ["INTERRUPTED", "Outcome", "error_outcome", "exit_code_of", "print_outcome"]

INTERRUPTED = 130
BROKEN_PIPE = 141


@dataclass(frozen=True)
class Outcome:
    """``document`` goes to stdout with --json, ``text`` without; ``message`` goes to stderr without --json."""

    document: Any
    text: str = ""
    exit_code: int = 0
    message: str = ""


def error_outcome(error: BaseException, debug: bool = False, results_root: str | None = None) -> Outcome:
    """Return the outcome of a command that failed; a traceback only where ``debug`` asks for it.

    ``results_root`` is the one that the command was given.
    """
    if debug:
        import traceback

        from tao_skill.storage.locate import redact_text

        _write(sys.stderr, redact_text("".join(traceback.format_exception(error))))
    if isinstance(error, KeyboardInterrupt):
        document = {"code": "canceled", "message": "Interrupted.", "problems": [], "next_step": ""}
        return Outcome({"error": document}, exit_code=INTERRUPTED, message="Interrupted.")
    if isinstance(error, TaoSkillError):
        known = error
    else:
        line = " ".join(str(error).split())[:500]
        known = InternalError(
            f"Unexpected {type(error).__name__}{': ' + line if line else ''}",
            next_step="the same command with --debug shows where; please report it",
        )
    known.next_step = with_results_root(known.next_step or _next_step(known), results_root)
    return _without_secrets(known)


def _without_secrets(known: TaoSkillError) -> Outcome:
    """Return the outcome of an error; a value that was refused may be a signed link."""
    from tao_skill.run.redaction import redacted
    from tao_skill.storage.locate import redact_text

    document = {"error": redacted(known.document())}
    return Outcome(document, exit_code=known.exit_code, message=redact_text(f"error: {known}"))


def _next_step(error: TaoSkillError) -> str:
    """Return what to do about an error that doesn't say so itself."""
    if not error.problems:
        return "the same command with --debug shows where it came from"
    keys = list(dict.fromkeys(problem.key for problem in error.problems))
    return f"correct {', '.join(keys[:5])}{' …' if len(keys) > 5 else ''}, then give the same command again"


def exit_code_of(code: str) -> int:
    """Return the exit code that belongs to the code of a recorded error."""
    if code == "canceled":
        return INTERRUPTED
    kinds = [TaoSkillError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return next((kind.exit_code for kind in kinds if kind.code == code), 1)


def print_outcome(outcome: Outcome, as_json: bool) -> int:
    """Print and return the exit code; a reader that went away is no failure to complain about."""
    try:
        if as_json:
            from tao_skill.config.finite import finite

            document = finite(outcome.document)
            text = json.dumps(document, indent=2, ensure_ascii=False, default=str)
            if not _is_fit(sys.stdout, text):
                text = json.dumps(document, indent=2, default=str)
            _write(sys.stdout, text)
        else:
            _write(sys.stdout, outcome.text)
            _write(sys.stderr, outcome.message)
    except BrokenPipeError:
        # Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return outcome.exit_code


def _write(stream: TextIO, text: str) -> None:
    if text:
        if not _is_fit(stream, text):
            text = text.encode(stream.encoding, "backslashreplace").decode(stream.encoding)
        stream.write(text if text.endswith("\n") else f"{text}\n")
        stream.flush()


def _is_fit(stream: TextIO, text: str) -> bool:
    """Say whether a stream can show a text: words of a command line may hold any bytes, a terminal may lack letters."""
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
