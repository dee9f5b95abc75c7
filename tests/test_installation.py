"""The command that adds an extra, wherever the package came from."""

import json
import shlex
from pathlib import Path

import pytest

from tao_skill import installation
from tao_skill.installation import install_command

ROOT = Path(__file__).parents[1]


class _Installed:
    def __init__(self, noted: str | None) -> None:
        self._noted = noted

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self._noted


def test_a_checkout_names_itself() -> None:
    assert install_command("s3,ray") == f"pip install -e {shlex.quote(f'{ROOT}[s3,ray]')}"
    assert install_command() == f"pip install -e {shlex.quote(str(ROOT))}"


@pytest.mark.parametrize(
    ("noted", "what"),
    [
        ({"url": "file:///src/a%20b", "dir_info": {}}, "/src/a b[ray]"),
        ({"url": "file:///w/tao.whl", "archive_info": {}}, "/w/tao.whl[ray]"),
        ({"url": "https://h/r.git", "vcs_info": {"vcs": "git", "commit_id": "1"}}, "tao-skill[ray] @ git+https://h/r.git@1"),
        ({"url": "https://h/tao.whl", "archive_info": {}}, "tao-skill[ray] @ https://h/tao.whl"),
        (None, "tao-skill[ray]"),
        ([], "tao-skill[ray]"),
    ],
)  # fmt: skip
def test_what_is_installed_names_where_it_came_from(
    noted: object, what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(installation, "_PACKAGE", tmp_path / "site-packages" / "tao_skill")
    text = None if noted is None else json.dumps(noted)
    monkeypatch.setattr("importlib.metadata.distribution", lambda _: _Installed(text))
    assert install_command("ray") == f"pip install {shlex.quote(what)}"
