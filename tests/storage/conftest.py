"""Servers that run for the whole session, and an environment without anybody's own keys."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("storage_servers", Path(__file__).with_name("servers.py"))
assert _spec is not None
assert _spec.loader is not None
servers = importlib.util.module_from_spec(_spec)
sys.modules["storage_servers"] = servers
_spec.loader.exec_module(servers)


@pytest.fixture(scope="session")
def nanio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    with servers.nanio(tmp_path_factory.mktemp("nanio")) as server:
        yield server


@pytest.fixture(scope="session")
def moto_server() -> Iterator[object]:
    with servers.moto() as server:
        yield server


@pytest.fixture(params=["nanio", "moto"])
def s3_server(request: pytest.FixtureRequest) -> object:
    return request.getfixturevalue(f"{request.param}_server")


@pytest.fixture(autouse=True)
def no_own_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in servers.STORAGE_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def bucket(s3_server, monkeypatch: pytest.MonkeyPatch) -> str:  # type: ignore[no-untyped-def]
    """Return the URI of a fresh bucket, with the environment set for its server."""
    return servers.new_bucket(s3_server, monkeypatch)


@pytest.fixture(scope="session")
def web_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("web")


@pytest.fixture(scope="session")
def web_url(web_folder: Path) -> Iterator[str]:
    with servers.web(web_folder) as url:
        yield url
