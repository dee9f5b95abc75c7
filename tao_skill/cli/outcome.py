"""What a command came to: a document for machines, a text for people, and an exit code for shells."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import dataclass
from typing import Any, TextIO

from tao_skill.cli.next_command import with_results_root
from tao_skill.errors import InternalError, StorageError, TaoSkillError, UsageError

__all__ = [
    "BROKEN_PIPE",
    "CANCELED",
    "INTERRUPTED",
    "INVALID_ARGUMENTS",
    "Outcome",
    "error_outcome",
    "exit_code_of",
    "json_text",
    "print_outcome",
]

INTERRUPTED = 130
BROKEN_PIPE = 141
CANCELED = "canceled"
INVALID_ARGUMENTS = "invalid_arguments"


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
        document = {"code": CANCELED, "message": "Interrupted.", "problems": [], "next_step": ""}
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
    if code == CANCELED:
        return INTERRUPTED
    if code == INVALID_ARGUMENTS:
        return UsageError.exit_code
    kinds = [TaoSkillError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return next((kind.exit_code for kind in kinds if kind.code == code), 1)


def print_outcome(outcome: Outcome, as_json: bool) -> int:
    """Print and return the exit code; a reader that went away is no failure to complain about."""
    try:
        if as_json:
            from tao_skill.config.finite import finite

            _write(sys.stdout, json_text(finite(outcome.document)))
        else:
            _write(sys.stdout, outcome.text)
            _write(sys.stderr, outcome.message)
    except OSError as error:
        # Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return BROKEN_PIPE
        with contextlib.suppress(OSError):
            _write(sys.stderr, f"error: The output can't be written: {error.strerror or error}.")
        return outcome.exit_code or StorageError.exit_code
    return outcome.exit_code


def json_text(document: Any) -> str:
    """Return a document as JSON that stdout can show: escaped where it lacks letters."""
    text = json.dumps(document, indent=2, ensure_ascii=False, default=str)
    return text if _is_fit(sys.stdout, text) else json.dumps(document, indent=2, default=str)


def _write(stream: TextIO | None, text: str) -> None:
    if text and stream is not None:  # a shell may have closed it
        if not _is_fit(stream, text):
            text = text.encode(stream.encoding, "backslashreplace").decode(stream.encoding)
        stream.write(text if text.endswith("\n") else f"{text}\n")
        stream.flush()


def _is_fit(stream: TextIO | None, text: str) -> bool:
    """Say whether a stream can show a text: words of a command line may hold any bytes, a terminal may lack letters."""
    if stream is None:
        return True
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
