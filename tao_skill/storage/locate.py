"""Tell local paths from remote ones, and keep secrets out of what is said of them."""

import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from tao_skill.config.folders import at_home
from tao_skill.errors import NotAvailableError, Problem, StorageError

SCHEMES = ("file", "s3", "http", "https")
HIDDEN = "hidden"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+._-]*)://")
# What ends a sentence after a link is no part of it.
_LINK = re.compile(r"([A-Za-z][A-Za-z0-9+._-]{0,31}://[^\s\"'<>]*[^\s\"'<>.,:;])([.,:;]*)")
# A user and a password; in what should be a password there may be slashes.
_USER = re.compile(r"[^/?#]*@|[^/?#@:\[\]]*:(?!\d*(?:[/?#]|$))[^@\s]*@")
_PARTS = re.compile(r"([^?#]*)(\?[^#]*)?(.*)", re.DOTALL)


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
        StorageError: a ``file://`` URI that names another machine or no absolute path, or the home of nobody.
    """
    text = str(uri)
    scheme = scheme_of(text)
    if scheme == "":
        path = at_home(text)
        if path.parts[:1] and path.parts[0].startswith("~"):
            raise _nobodys(text)
        return path.absolute()
    if scheme != "file":
        raise NotAvailableError(
            f"{scheme}:// is no local path.",
            problems=[Problem(redact(text), scheme, "a plain path, or file:///path")],
            next_step="copy the data to this machine and give the local path",
        )
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise StorageError(
            f"{text} names another machine, or no path.",
            problems=[Problem(text, parts.netloc, "file:///absolute/path, with three slashes")],
            next_step="write file:///path, or the plain path",
        )
    return Path(unquote(parts.path))


def _nobodys(text: str) -> StorageError:
    user = text.partition("/")[0]
    return StorageError(
        f"{text} is in nobody's home.",
        problems=[Problem(text, user, f"~ or the ~NAME of a user of this machine; ./{user} for a plain folder")],
        next_step="write the whole path",
    )


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
    return f"{without_slash(root)}/{relative}"


def without_slash(uri: str) -> str:
    """Return a path or URI without slashes at its end; those behind its scheme stay (``s3:///`` becomes ``s3://``)."""
    scheme, mark, rest = uri.partition("://") if scheme_of(uri) else ("", "", uri)
    return f"{scheme}{mark}{rest.rstrip('/')}"


def has_query(uri: str) -> bool:
    """Say whether a link says more than where something is, as signed ones do; in s3 URIs that belongs to the name."""
    return scheme_of(uri) in ("http", "https") and bool(_parts(uri.partition("://")[2])[1])


def redact(uri: str) -> str:
    """Return ``uri`` with `hidden` for what may be secret: a query (signatures, tokens), a user and a password."""
    scheme = scheme_of(uri)
    if scheme in ("", "file"):
        return uri
    rest = uri.partition("://")[2]
    user = _USER.match(rest)
    rest = rest[user.end() :] if user else rest
    # The query and fragment of an s3 URI belong to its name: keys may hold ? and #.
    if scheme != "s3":
        path, query, _ = _parts(rest)
        rest = f"{path}?{HIDDEN}" if len(query) > 1 else path
    return f"{scheme}://{HIDDEN + '@' if user else ''}{rest}"


def is_redacted(uri: str) -> bool:
    """Say whether ``redact`` has hidden something, so that the URI can't be followed again."""
    rest = uri.partition("://")[2] if is_remote(uri) else ""
    return rest.startswith(f"{HIDDEN}@") or (scheme_of(uri) != "s3" and rest.endswith(f"?{HIDDEN}"))


def redact_text(text: str) -> str:
    """Return a text with every link and other URI in it redacted."""
    return _LINK.sub(lambda match: redact(match[1]) + match[2], text)


def name_of(uri: str) -> str:
    """Return the last part of a path or URI, as a file would be called."""
    scheme = scheme_of(uri)
    if scheme in ("", "file"):
        return local_path(uri).name
    path = uri.partition("://")[2].partition("/")[2]
    if scheme in ("http", "https"):
        path = _parts(path)[0]
    last = path.rstrip("/").rpartition("/")[2]
    return unquote(last) if scheme in ("http", "https") else last


def _parts(rest: str) -> tuple[str, str, str]:
    """Return the host and path, the query and the fragment of what stands behind a scheme, malformed or not."""
    match = _PARTS.fullmatch(rest)
    assert match is not None
    return match[1], match[2] or "", match[3]
