"""Keep a prefix on a server equal to local folders, file by file, as they change."""

import fnmatch
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tao_skill.errors import StorageError
from tao_skill.storage.backends import store_for
from tao_skill.storage.locate import join
from tao_skill.storage.objects import UnreachableError
from tao_skill.storage.progress import Progress

__all__ = ["FolderUpload", "Uploaded", "is_excluded"]

STATE_FILE = ".uploaded.json"
# A file this young may still be written to; small ones (logs, records) are sent as they stand.
_SETTLED_SECONDS = 2.0
_SMALL = 4 * 1024 * 1024
_THREADS = 4


@dataclass
class Uploaded:
    """What is on the server, and what is not, with the first reason why.

    ``unreachable`` is what kept the last files from being tried at all.
    """

    files: int = 0
    bytes: int = 0
    missing: list[str] = field(default_factory=list)
    error: str = ""
    unreachable: UnreachableError | None = None


class FolderUpload:
    """Send what is new or has changed in ``roots``, pairs of a folder and its place below ``uri`` ("" for itself).

    What was sent is remembered in the first folder, so that another process can go on. Hidden and temporary files
    and links to folders stay here.
    """

    def __init__(self, roots: Sequence[tuple[Path, str]], uri: str, excludes: Sequence[str] = ()) -> None:
        self.uri = uri
        self._roots, self._excludes = list(roots), list(excludes)
        self._state_path = self._roots[0][0] / STATE_FILE
        self._sent = self._read_state()
        self._unreachable: UnreachableError | None = None

    def sync(self, *, final: bool = False, held_back: Sequence[str] = ()) -> Uploaded:
        """Send what changed since the last time; ``final`` sends all, ``held_back`` names stay for another call.

        Once the server can't be reached for a file, no other is tried: each would wait as long. Small ones go first: a
        large one that takes the server too long keeps none of them.
        """
        found = self._found()
        self._unreachable = None
        due = [name for name, path in found.items() if name not in held_back and self._is_due(name, path, final)]
        waiting = {name: found[name] for name in sorted(due, key=lambda name: _size(found[name]))}
        error = ""
        if waiting:
            progress = Progress(
                self.uri, sum(_size(path) for path in waiting.values()), verb="uploaded", quiet=not final
            )
            with ThreadPoolExecutor(_THREADS) as pool:
                errors = list(pool.map(lambda name: self._send(name, waiting[name], progress), waiting))
            error = next((one for one in errors if one), "")
            progress.end()
            self._write_state()
        return self._outcome(found, error)

    def untried(self, unreachable: UnreachableError) -> Uploaded:
        """Return what was sent and what wasn't, and send nothing, as the server can't be reached."""
        self._unreachable = unreachable
        return self._outcome(self._found(), unreachable.message)

    def _outcome(self, found: dict[str, Path], error: str) -> Uploaded:
        there = {name: self._sent[name] for name in found if name in self._sent}
        missing = sorted(name for name, path in found.items() if self._sent.get(name) != _stamp(path))
        return Uploaded(len(there), sum(size for size, _ in there.values()), missing, error, self._unreachable)

    def _send(self, name: str, path: Path, progress: Progress) -> str:
        stamp = _stamp(path)
        if stamp is None or self._unreachable is not None:
            return ""
        try:
            store_for(self.uri).write(path, join(self.uri, name))
        except StorageError as error:
            if isinstance(error, UnreachableError):
                self._unreachable = error
            return error.message
        except OSError as error:
            return f"{path} can't be read: {error.strerror or error}" if path.exists() else ""
        self._sent[name] = stamp
        progress.add(stamp[0])
        return ""

    def _is_due(self, name: str, path: Path, final: bool) -> bool:
        stamp = _stamp(path)
        if stamp is None or self._sent.get(name) == stamp:
            return False
        return final or stamp[0] <= _SMALL or time.time() - stamp[1] / 1e9 > _SETTLED_SECONDS

    def _found(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for root, place in self._roots:
            for folder, folders, names in os.walk(root):
                inner = Path(folder).relative_to(root).as_posix()
                folders[:] = sorted(
                    name
                    for name in folders
                    if not name.startswith(".") and not is_excluded(_below(inner, name) + "/", self._excludes)
                )
                for name in sorted(names):
                    relative = _below(inner, name)
                    path = Path(folder) / name
                    hidden = name.startswith(".") or name.endswith(".tmp") or not path.is_file()
                    if not hidden and not is_excluded(relative, self._excludes):
                        found[f"{place}/{relative}" if place else relative] = path
        return found

    def _read_state(self) -> dict[str, tuple[int, int]]:
        try:
            document = json.loads(self._state_path.read_text(encoding="utf-8"))
            if document.get("uri") == self.uri:
                return {str(name): (int(one[0]), int(one[1])) for name, one in document["sent"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            pass
        return {}

    def _write_state(self) -> None:
        temporary = self._state_path.with_name(f"{STATE_FILE}.{os.getpid()}.tmp")
        try:
            temporary.write_text(json.dumps({"uri": self.uri, "sent": dict(self._sent)}), encoding="utf-8")
            temporary.replace(self._state_path)
        except OSError:
            temporary.unlink(missing_ok=True)  # then a later process sends once more


def is_excluded(name: str, patterns: Sequence[str]) -> bool:
    """Say whether a path below the results, with a slash at its end if a folder, is to stay here.

    ``inputs/`` is that folder with all in it, at the top or in an action's folder; any other pattern is a shell
    pattern for the whole path.
    """
    for pattern in patterns:
        if pattern.endswith("/"):
            if name.startswith(pattern) or f"/{name}".find(f"/{pattern}") >= 0:
                return True
        elif fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name.rstrip("/"), pattern):
            return True
    return False


def _below(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder}/{name}"


def _size(path: Path) -> int:
    stamp = _stamp(path)
    return stamp[0] if stamp else 0


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns
