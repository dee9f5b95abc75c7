"""Tell local paths from remote ones."""

import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from tao_skill.errors import NotAvailableError, Problem, StorageError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+._-]*)://")


def scheme_of(uri: str) -> str:
    """Return the scheme of ``uri`` in lower case; "" for a plain path."""
    match = _SCHEME.match(uri)
    return match[1].lower() if match else ""


def is_remote(uri: str) -> bool:
    """Say whether ``uri`` lies on another machine."""
    return scheme_of(uri) not in ("", "file")


def local_path(uri: str | Path) -> Path:
    """Return the absolute local path of a plain path (``~`` is home) or a ``file://`` URI.

    Raises:
        NotAvailableError: another scheme.
        StorageError: a ``file://`` URI that names another machine or no absolute path.
    """
    text = str(uri)
    scheme = scheme_of(text)
    if scheme == "":
        return Path(text).expanduser().absolute()
    if scheme != "file":
        raise NotAvailableError(
            f"{scheme}:// is not supported yet.",
            problems=[Problem(text, scheme, "a plain path, or file:///path")],
            next_step="copy the data to this machine and give the local path",
        )
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise StorageError(
            f"{text} names another machine, or no path.",
            problems=[Problem(text, parts.netloc, "file:///absolute/path, with three slashes")],
        )
    return Path(unquote(parts.path))


def exists(uri: str | Path) -> bool:
    """Say whether a local path or ``file://`` URI exists; raises as ``local_path`` does."""
    return local_path(uri).exists()


def join(root: str, relative: str) -> str:
    """Return ``relative`` below ``root``, which may be a path or a URI with or without a slash at its end.

    Raises:
        StorageError: ``relative`` is absolute or climbs out with ``..``.
    """
    if PurePosixPath(relative).is_absolute() or ".." in PurePosixPath(relative).parts:
        raise StorageError(
            f"{relative} does not lie below the root {root}.",
            problems=[Problem(relative, relative, "a relative path without ..")],
        )
    return f"{root.rstrip('/')}/{relative}"
