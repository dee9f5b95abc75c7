"""Before anything moves: is every place of a run there, may it be read or written, and is there room?"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tao_skill.config.cache_folder import cache_directory
from tao_skill.errors import Problem, StorageError, TaoSkillError
from tao_skill.jobs.store import JobStore
from tao_skill.run.remote_jobs import MirroredJobStore
from tao_skill.storage.cache_care import cache_limit
from tao_skill.storage.locate import redact
from tao_skill.storage.progress import in_words
from tao_skill.storage.survey import Survey, check_writable, survey

__all__ = ["check_places", "find_trouble"]

_THREADS = 16


def check_places(inputs: Mapping[str, Sequence[str]], store: JobStore | None) -> None:
    """Look at all inputs and at the results root, at the same time.

    Raises:
        StorageError: everything that is wrong, each with its key.
        NotAvailableError: all that is wrong is schemes that aren't supported.
    """
    problems, kinds = find_trouble(inputs, store)
    if problems:
        count = "An input" if len(problems) == 1 else f"{len(problems)} inputs or places"
        kind = kinds.pop() if len(kinds) == 1 else StorageError
        raise kind(
            f"{count} of this run can't be used; nothing was moved.",
            problems=problems,
            next_step="correct them all, then run the command again",
        )


def find_trouble(
    inputs: Mapping[str, Sequence[str]], store: JobStore | None, *, write: bool = True
) -> tuple[list[Problem], set[type[TaoSkillError]]]:
    """Return what is wrong, and the kinds of errors; ``write`` tries to write to a remote results root."""
    cache = cache_directory()
    asked = [(key, uri) for key, uris in inputs.items() for uri in uris]
    problems: list[Problem] = []
    kinds: set[type[TaoSkillError]] = set()
    answers: dict[str, Survey] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        root = pool.submit(_write_to, store) if write else None
        for (key, uri), answer in zip(asked, pool.map(lambda one: _look(one[1], cache), asked), strict=True):
            if isinstance(answer, TaoSkillError):
                problems.append(_problem(key, uri, answer))
                kinds.add(type(answer) if not isinstance(answer, StorageError) else StorageError)
            else:
                answers[uri] = answer
        if root is not None and (error := root.result()) is not None:
            problems.append(_problem("--results-root", getattr(store, "uri", ""), error))
            kinds.add(StorageError)
    try:
        cache_limit(cache)
    except StorageError as error:
        problems += error.problems
        kinds.add(StorageError)
    if (room := _too_little_room(cache, answers)) is not None:
        problems.append(room)
        kinds.add(StorageError)
    return problems, kinds


def _look(uri: str, cache: Path) -> Survey | TaoSkillError:
    try:
        return survey(uri, cache)
    except TaoSkillError as error:
        return error


def _write_to(store: JobStore | None) -> TaoSkillError | None:
    if isinstance(store, MirroredJobStore):
        try:
            check_writable(store.uri)
        except TaoSkillError as error:
            return error
    return None


def _problem(key: str, uri: str, error: TaoSkillError) -> Problem:
    expected = "; ".join(one.expected for one in error.problems)
    return Problem(key, redact(uri), f"{error.message} Expected: {expected}" if expected else error.message)


def _too_little_room(cache: Path, answers: Mapping[str, Survey]) -> Problem | None:
    needed = sum(one.disk for one in answers.values())
    free = shutil.disk_usage(cache).free
    if needed <= free:
        return None
    expected = f"at least {in_words(needed)} for what will be fetched and extracted; {in_words(free)} are free"
    return Problem("free disk", str(cache), f"{expected}; make room, or set TAO_SKILL_CACHE to a larger disk")
