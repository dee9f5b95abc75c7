"""Read and list what is small: records, not data."""

import time
from collections.abc import Callable
from typing import TypeVar

from tao_skill.errors import Problem, StorageError
from tao_skill.storage.backends import store_for
from tao_skill.storage.locate import redact
from tao_skill.storage.objects import ObjectFacts, TransferError

__all__ = ["list_objects", "patiently", "read_bytes"]

_MOST = 64 * 1024 * 1024
_WAITS = (0.5, 2.0)
Answer = TypeVar("Answer")


def read_bytes(uri: str) -> bytes | None:
    """Return the content of one object; None where there is none.

    Raises:
        StorageError: it can't be read, or is no small object.
    """
    return patiently(lambda: _read(uri))


def list_objects(uri: str) -> list[ObjectFacts]:
    """Return all objects below a prefix."""
    return patiently(lambda: store_for(uri).list(uri))


def patiently(ask: Callable[[], Answer]) -> Answer:
    """Return what ``ask`` returns; ask again, twice at most, where the way to the server broke."""
    for pause in _WAITS:
        try:
            return ask()
        except TransferError:
            time.sleep(pause)
    return ask()


def _read(uri: str) -> bytes | None:
    store = store_for(uri)
    facts = store.find(uri)
    if facts is None:
        return None
    if (facts.size or 0) > _MOST:
        shown = redact(uri)
        raise StorageError(
            f"{shown} is no small file.", problems=[Problem(shown, facts.size, f"at most {_MOST} bytes")]
        )
    with store.read(facts, 0, facts.size) as pieces:
        content = b"".join(pieces)
    if facts.size is not None and len(content) != facts.size:
        raise TransferError(f"{redact(uri)}: the answer ended early.", next_step="run the command again")
    return content
