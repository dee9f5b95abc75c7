"""Files that mean nothing without another one beside them: an engine's facts, the large tensors of an ONNX file."""

import functools
import hashlib
import logging

from tao_skill.storage.locate import has_query, is_remote, local_path, redact
from tao_skill.storage.objects import DeniedError, ObjectFacts, ObjectStore
from tao_skill.storage.small import patiently

__all__ = ["find_companions", "identity_of"]

_log = logging.getLogger(__name__)
# What is added to the whole name of a file that ends so.
_ADDED = {
    ".engine": (".json",),
    ".trt": (".json",),
    ".plan": (".json",),
    ".onnx": (".data", "_data"),
}


def find_companions(store: ObjectStore, uri: str, facts: ObjectFacts) -> list[ObjectFacts]:
    """Return what the server holds beside an object that belongs to it, in order of the names.

    A signed link is good for one object alone, so nothing is asked for beside one.
    """
    if not is_remote(uri) or has_query(uri):
        return []
    added = next((names for ending, names in _ADDED.items() if facts.name.lower().endswith(ending)), ())
    found = [patiently(functools.partial(_find, store, f"{uri}{name}")) for name in added]
    return [one for one in found if one is not None]


def _find(store: ObjectStore, uri: str) -> ObjectFacts | None:
    """Return what the server states; None too where it doesn't say whether there is such an object.

    Who may not list a bucket is denied what isn't there. What is there and may not be read is missed by what needs it.
    """
    try:
        return store.find(uri)
    except DeniedError as error:
        _log.debug("%s", error)
        return None


def identity_of(uri: str, facts: ObjectFacts, companions: list[ObjectFacts]) -> str:
    """Return what tells this state of this object, and of what belongs to it, from every other."""
    # A server that states nothing of an object's state doesn't tell one query's answer from another's either.
    place = (redact(uri) if facts.is_stated else uri) if is_remote(uri) else str(local_path(uri).resolve())
    own = facts.identity(place)
    if not companions:
        return own
    return hashlib.sha256("\0".join([own, *(one.identity(one.name) for one in companions)]).encode()).hexdigest()
