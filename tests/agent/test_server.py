"""The tools through the official MCP client, over stdio and over HTTP."""

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from tao_skill.agent.answers import JobFact, Progress
from tao_skill.agent.definitions import definitions
from tao_skill.agent.server import _Progress
from tao_skill.cli.main import main
from tao_skill.jobs.identity import is_alive
from tao_skill.jobs.store import JobStore
from tao_skill.run.detach import job_id_of

EVALUATE = {"action": "evaluate", "data_root": "data", "overrides": {"evaluate.checkpoint": "c.pth"}}
TOKEN = "correct-horse-battery"
COMMAND = [sys.executable, "-m", "tao_skill", "mcp"]


@pytest.fixture(autouse=True)
def _no_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "torch.py").write_text("raise ModuleNotFoundError('no torch here', name='torch')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "shadow"))


def stdio(folder: Path) -> StdioServerParameters:
    return StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], cwd=folder, env=dict(os.environ))


@asynccontextmanager
async def with_token(url: str, token: str) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


async def answer(client: Client, name: str, arguments: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Return what came back; what is structured fits the tool's schema, so of an error nothing is."""
    result = await client.call_tool(name, arguments, **options)
    document: dict[str, Any] = json.loads(result.content[0].text)  # type: ignore[union-attr]
    assert result.is_error == (set(document) == {"error"})
    assert result.structured_content == (None if result.is_error else document)
    return document


async def the_whole_way(client: Client) -> None:
    listed = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(listed) == {tool["name"] for tool in definitions()["tools"]}
    assert listed["plan"].annotations is not None
    assert listed["plan"].annotations.read_only_hint
    assert not listed["run"].annotations.read_only_hint  # type: ignore[union-attr]
    hints = {name: tool.annotations for name, tool in listed.items() if tool.annotations}
    assert {name for name, one in hints.items() if one.destructive_hint} == {"run", "cancel"}
    assert {name for name, one in hints.items() if one.open_world_hint} == {"check_data", "plan", "run", "resume"}
    plan = await answer(client, "plan", EVALUATE)
    assert plan["dispatch"] == "trainer"
    wrong = await answer(client, "plan", EVALUATE | {"data_root": "/etc"})
    assert wrong["error"]["code"] == "not_allowed"
    assert (await answer(client, "nonsense", {}))["error"]["code"] == "usage_error"
    told: list[tuple[float, float | None, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    waiting = EVALUATE | {"idempotency_key": "one", "wait_seconds": 120}
    ended = await answer(client, "run", waiting, progress_callback=on_progress)
    job = ended["jobs"][0]
    assert (job["ended"], job["status"], job["error"]["code"]) == (True, "ERROR", "not_available")
    assert told
    assert [one[0] for one in told] == sorted({one[0] for one in told})
    result = await answer(client, "result", {"job_id": job["job_id"]})
    assert result["error"]["message"]
    await read_resources(client, job["job_id"])


async def read_resources(client: Client, job_id: str) -> None:
    uris = {str(one.uri) for one in (await client.list_resources()).resources}
    base = "tao-skill://skills/tao-train-metric-learning-recognition/"
    wanted = {f"{base}SKILL.md", f"{base}schemas/train.schema.json", f"{base}references/spec_template_train.yaml"}
    assert wanted | {"tao-skill://schemas/tool_definitions.json", "tao-skill://references/commands.md"} <= uris
    schema = (await client.read_resource(f"{base}schemas/train.schema.json")).contents[0]
    assert "train" in json.loads(schema.text)["properties"]  # type: ignore[union-attr]
    templates = {one.uri_template for one in (await client.list_resource_templates()).resource_templates}
    assert "tao-skill://jobs/{job_id}/result" in templates
    read = (await client.read_resource(f"tao-skill://jobs/{job_id}/result")).contents[0]
    assert json.loads(read.text)["job_id"] == job_id  # type: ignore[union-attr]
    for uri in (f"{base}../../pyproject.toml", "file:///etc/passwd", f"{base}%2e%2e/x", "tao-skill://jobs/../result"):
        with pytest.raises(MCPError, match="no resource"):
            await client.read_resource(uri)


async def cancel_in_the_middle(client: Client, folder: Path) -> None:
    """Cancel the call that waits for a job that takes for ever: the job goes on until it is canceled itself."""
    (folder.parent / "shadow" / "torch.py").write_text("import time; time.sleep(600)")
    arguments = EVALUATE | {"idempotency_key": "slow", "wait_seconds": 600}
    store, job_id = JobStore(folder / "results"), job_id_of("slow")
    seen = anyio.Event()

    async def on_progress(*_: Any) -> None:
        seen.set()

    async def call() -> None:
        await client.call_tool("run", arguments, progress_callback=on_progress)

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        with anyio.fail_after(60):
            await seen.wait()
        group.cancel_scope.cancel()
    await anyio.sleep(1)  # as long as a server would need that ended the job as well
    record = store.load(job_id)
    assert not record.ended, record.error
    assert is_alive(record.runner_pid, record.runner_start_time)
    ended = await answer(client, "cancel", {"job_id": job_id})
    assert ended["jobs"][0]["status"] == "CANCELED"
    with anyio.fail_after(60):
        while is_alive(record.runner_pid, record.runner_start_time):
            await anyio.sleep(0.1)


@pytest.mark.parametrize("mode", [pytest.param("auto", marks=pytest.mark.long), "legacy"])
def test_over_stdio(folder: Path, mode: str) -> None:
    async def go() -> None:
        async with Client(stdio(folder), mode=mode) as client:
            await the_whole_way(client)
            await cancel_in_the_middle(client, folder)

    anyio.run(go)


@pytest.mark.parametrize("mode", ["auto", pytest.param("legacy", marks=pytest.mark.long)])
def test_over_http(folder: Path, mode: str, http_server: Any) -> None:
    async def go(url: str) -> None:
        async with Client(url, mode=mode) as client:
            await the_whole_way(client)
            await cancel_in_the_middle(client, folder)

    with http_server(folder) as url:
        anyio.run(go, url)


def test_a_token_is_asked_of_everyone_once_there_is_one(folder: Path, http_server: Any) -> None:
    async def go(url: str) -> None:
        async with with_token(url, TOKEN) as client:
            assert (await client.list_tools()).tools
        for headers in ({}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": TOKEN}):
            async with httpx2.AsyncClient(headers=headers) as http:
                for method in ("GET", "POST", "DELETE", "OPTIONS"):
                    assert (await http.request(method, url)).status_code == 401
                assert (await http.get(url.replace("/mcp", "/"))).status_code == 401

    with http_server(folder, "--host", "0.0.0.0", "--allow-host", "127.0.0.1", token=TOKEN) as url:
        anyio.run(go, url.replace("0.0.0.0", "127.0.0.1"))


@pytest.mark.parametrize("host", ["127.0.0.2", "0.0.0.0"])
def test_the_address_that_is_told_can_be_used(folder: Path, http_server: Any, host: str) -> None:
    ask = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    headers["Authorization"] = f"Bearer {TOKEN}"
    with http_server(folder, "--host", host, token=TOKEN) as url, httpx2.Client() as http:
        for address in (url, url.replace("0.0.0.0", "localhost")):
            assert http.post(address, json=ask, headers=headers).status_code != 421


def test_a_web_page_can_not_reach_it(folder: Path, http_server: Any) -> None:
    ask = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    with http_server(folder) as url, httpx2.Client() as http:
        for name, status in (("evil.example", 421), ("localhost.evil.example", 421), ("127.0.0.1:1", 421)):
            assert http.post(url, json=ask, headers=headers | {"Host": name}).status_code == status
        origin = {"Origin": "http://evil.example"}
        assert http.post(url, json=ask, headers=headers | origin).status_code == 403


@pytest.mark.parametrize(
    ("words", "token", "said"),
    [
        (["--host", "0.0.0.0"], "", "need a token"),
        (["--host", "::"], "", "need a token"),
        (["--host", "192.0.2.7"], "", "need a token"),
        (["--host", "0.0.0.0"], "short", "can't be used"),
        (["--port", "99999"], "", "can't be listened on"),
    ],
)
def test_what_it_refuses_to_serve(
    words: list[str], token: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TAO_SKILL_MCP_TOKEN", token)
    assert main(["mcp", "--http", *words]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert not token or token not in told


def test_progress_only_grows() -> None:
    told: list[tuple[float, float | None, str]] = []

    async def report(value: float, total: float | None, message: str) -> None:
        told.append((value, total, message))

    async def go() -> None:
        progress = _Progress(report)
        for epoch, most, message in [
            (None, None, ""),
            (None, None, ""),
            (0, 3, "a"),
            (0, 3, "b"),
            (2, 3, "c"),
            (1, 3, "d"),
        ]:
            now = Progress(epoch=epoch, max_epoch=most, message=message)
            fact = JobFact(job_id="j", action="train", status="RUNNING", ended=False, created_at="", progress=now)
            await progress.tell(fact)

    anyio.run(go)
    values = [one[0] for one in told]
    assert values == [0, 1, 1.001, 3]
    assert told[1][1:] == (3, "RUNNING: a")
