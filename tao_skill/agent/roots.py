"""The places that an agent may reach: folders and URIs that whoever starts the program allows."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tao_skill.errors import TaoSkillError, UsageError
from tao_skill.storage.locate import is_remote, local_path, redact, scheme_of
from tao_skill.storage.s3_client import with_bucket

__all__ = ["ALLOWED_VARIABLE", "Roots"]

ALLOWED_VARIABLE = "TAO_SKILL_ALLOWED_ROOTS"
# Neither a colon, which URIs hold, nor a blank, which folders hold.
_SEPARATOR = ";"
_LONGEST = 4096
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class Roots:
    """Allowed folders, without links in them, and allowed URI prefixes as scheme, host and path."""

    folders: tuple[Path, ...]
    prefixes: tuple[tuple[str, str, tuple[str, ...]], ...]

    @classmethod
    def of(cls, allowed: Sequence[str]) -> Roots:
        """Return the roots that are named; without any, those of the environment, else the working folder.

        Raises:
            UsageError: a root that is no existing folder and no URI.
        """
        from_environment = os.environ.get(ALLOWED_VARIABLE, "").split(_SEPARATOR)
        named = [one.strip() for one in allowed or from_environment if one.strip()]
        folders, prefixes = [], []
        for one in named or [str(Path.cwd())]:
            if is_remote(one):
                prefixes.append(_parts(one))
                continue
            folder = local_path(one)
            if not folder.is_dir():
                raise UsageError(f"--allow-root {one} is no folder.", next_step="name an existing folder, or a URI")
            folders.append(Path(os.path.realpath(folder)))
        return cls(tuple(folders), tuple(prefixes))

    def with_root(self, place: str) -> Roots:
        """Return these roots and one more, which need not exist yet."""
        if is_remote(place):
            return Roots(self.folders, (*self.prefixes, _parts(with_bucket(place))))
        real = Path(os.path.realpath(local_path(place)))
        return self if self._hold(real) else Roots((*self.folders, real), self.prefixes)

    def refusal(self, place: str) -> str:
        """Say what is allowed in place of a path or URI; empty where it is. Links are followed before it is judged."""
        if len(place) > _LONGEST or _CONTROL.search(place):
            return f"a path of at most {_LONGEST} letters, without control characters"
        if place.startswith("~"):
            return "an absolute path, or one relative to the working folder; ~ stands for nothing here"
        return self._remote_refusal(place) if is_remote(place) else self._local_refusal(place)

    def _local_refusal(self, place: str) -> str:
        try:
            path = local_path(place)
            real = Path(os.path.realpath(path))
        except TaoSkillError as error:
            return error.message
        except (OSError, ValueError) as error:
            return f"a path that can be looked at: {error}"
        if not self._hold(real):  # what is there, or isn't, is no business of whoever may not go there
            through = " once its links are followed" if self._hold(Path(os.path.normpath(Path.cwd() / path))) else ""
            return f"a place below {self}{through}"
        try:
            path.lstat()
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"a path that can be looked at: {error}"
        return ""

    def __str__(self) -> str:
        shown = [str(folder) for folder in self.folders]
        shown += [redact(f"{scheme}://{'/'.join((host, *path))}") for scheme, host, path in self.prefixes]
        return ", ".join(shown) or "no folder at all"

    def _hold(self, real: Path) -> bool:
        return any(real.is_relative_to(folder) for folder in self.folders)

    def _remote_refusal(self, uri: str) -> str:
        try:
            scheme, host, path = _parts(uri)
        except UsageError as error:
            return error.message
        for known_scheme, known_host, known_path in self.prefixes:
            below = path[: len(known_path)] == known_path
            if scheme == known_scheme and known_host in ("", host) and below:
                return ""
        return f"a place below {self}"


def _parts(uri: str) -> tuple[str, str, tuple[str, ...]]:
    """Return scheme, host and path of a URI, which may hold nothing that is read in two ways."""
    scheme = scheme_of(uri)
    if uri.partition("://")[2].startswith("/"):  # in the bucket of the environment; a scheme alone stands for all of it
        uri = with_bucket(uri)
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise UsageError(f"a URI that can be read: {error}") from error
    host = parts.netloc.lower() if scheme in ("http", "https") else parts.netloc
    pieces = [one for one in parts.path.split("/") if one]
    if scheme == "s3":  # names are taken to the letter: ?, # and % belong to them, and so do empty segments
        host, *pieces = uri.partition("://")[2].rstrip("/").split("/")
    plain = [unquote(one) for one in pieces]
    if "@" in host or "\\" in uri or any(one in (".", "..") or "/" in one for one in plain):
        raise UsageError("a URI without a user, backslashes, dot segments and encoded slashes")
    segments = tuple(pieces if scheme == "s3" else plain)
    return scheme, host, segments
