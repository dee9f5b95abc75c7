"""Servers that run for the whole session, and an environment without anybody's own keys."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def load(name: str) -> ModuleType:
    """Load a neighbour of this file: tests are no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(name.removeprefix("storage_") + ".py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


servers = load("storage_servers")
load("storage_archives")
load("storage_fault_proxy")


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


@pytest.fixture
def put(bucket: str, s3_server: Any) -> Callable[[str, bytes], str]:
    """Return what puts an object of that name into the bucket, and tells its URI."""
    client = s3_server.client()

    def put(name: str, content: bytes) -> str:
        client.put_object(Bucket=bucket[5:], Key=name, Body=content)
        return f"{bucket}/{name}"

    return put
