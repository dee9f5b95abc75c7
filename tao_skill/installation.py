"""Where this package was installed from, which no index knows: what adds an extra has to name the same place."""

import json
import shlex
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["install_command"]

_NAME = "tao-skill"
_PACKAGE = Path(__file__).resolve().parent


def install_command(extras: str = "", *options: str) -> str:
    """Return the command that adds ``extras``, such as ``"deploy,openvino"``, to this installation."""
    asked = f"[{extras}]" if extras else ""
    return shlex.join(["pip", "install", *options, *_what(asked)])


def _what(extras: str) -> list[str]:
    if (_PACKAGE.parent / "pyproject.toml").is_file():  # a checkout, installed so that it can be edited, or not at all
        return ["-e", f"{_PACKAGE.parent}{extras}"]
    origin = _origin()
    address = str(origin.get("url", ""))
    if "vcs_info" in origin:
        told = origin["vcs_info"]
        return [f"{_NAME}{extras} @ {told.get('vcs')}+{address}@{told.get('commit_id')}"]
    if not address.startswith("file:"):
        return [f"{_NAME}{extras} @ {address}" if address else f"{_NAME}{extras}"]
    return [f"{unquote(urlsplit(address).path)}{extras}"]


def _origin() -> dict[str, dict[str, str]]:
    """Return what the installer noted (PEP 610); empty where it noted nothing, as of a package from an index."""
    from importlib import metadata  # costs more than most commands have

    try:
        noted = metadata.distribution(_NAME).read_text("direct_url.json")
        found = json.loads(noted or "{}")
    except (metadata.PackageNotFoundError, ValueError, OSError):
        return {}
    return found if isinstance(found, dict) else {}
