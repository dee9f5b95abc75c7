"""An agent's whole job through the official MCP client: plan, train, follow, cancel another job, evaluate, read."""

import os
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

pytest.importorskip("mcp")

from mcp import Client, StdioServerParameters

SMALL = {
    "model.timm_name": "resnet10t",
    "model.input_width": 32,
    "model.input_height": 32,
    "feat_dim": 16,
    "batch_size": 8,
    "dataset.num_instance": 2,
    "dataset.gaussian_blur.enabled": False,
}

pytestmark = pytest.mark.long


async def answer(client: Client, name: str, arguments: dict[str, Any], **options: Any) -> dict[str, Any]:
    result = await client.call_tool(name, arguments, **options)
    assert not result.is_error, result.content
    document: dict[str, Any] = result.structured_content
    return document


async def the_job(client: Client, data_root: Path) -> None:
    assert len((await client.list_tools()).tools) >= 10
    train = {"action": "train", "data_root": str(data_root), "user_words": "plain training, no HPO"}
    train["overrides"] = SMALL | {"num_epochs": 3}
    plan = await answer(client, "plan", train)
    assert plan["automl_policy"] == "off"
    told: list[tuple[float, float | None]] = []

    async def on_progress(progress: float, total: float | None, _message: str | None) -> None:
        told.append((progress, total))

    first = await answer(client, "run", plan["next_call"]["arguments"] | {"idempotency_key": "first"})
    job_id = first["jobs"][0]["job_id"]
    waiting = {"job_id": job_id, "wait_seconds": 300}
    ended = await answer(client, "status", waiting, progress_callback=on_progress)
    assert ended["jobs"][0]["status"] == "COMPLETE", ended
    assert told[-1] == (3, 3)
    result = await answer(client, "result", {"job_id": job_id})
    assert 0 <= result["metrics"]["val Precision at Rank 1"] <= 1
    assert any(file["path"].endswith(".pth") for file in result["files"])

    long = train | {"overrides": SMALL | {"num_epochs": 5000}, "idempotency_key": "second"}
    second = (await answer(client, "run", long))["jobs"][0]["job_id"]
    with anyio.fail_after(200):
        while (await answer(client, "status", {"job_id": second}))["jobs"][0]["progress"]["epoch"] is None:
            await anyio.sleep(0.5)
    assert (await answer(client, "cancel", {"job_id": second}))["jobs"][0]["status"] == "CANCELED"

    evaluate = {"action": "evaluate", "data_root": str(data_root), "parent_job_id": job_id}
    evaluate |= {"idempotency_key": "third", "wait_seconds": 200}
    done = (await answer(client, "run", evaluate))["jobs"][0]
    assert done["status"] == "COMPLETE", done
    assert "test Precision at Rank 1" in done["progress"]["metrics"]


def test_over_stdio(data_root: Path, tmp_path: Path) -> None:
    words = ["-m", "tao_skill", "mcp", "--allow-root", str(tmp_path), "--allow-root", str(data_root)]
    server = StdioServerParameters(command=sys.executable, args=words, cwd=tmp_path, env=dict(os.environ))

    async def go() -> None:
        async with Client(server) as client:
            await the_job(client, data_root)

    anyio.run(go)


def test_over_http(data_root: Path, tmp_path: Path, http_server: Any) -> None:
    async def go(url: str) -> None:
        async with Client(url) as client:
            await the_job(client, data_root)

    with http_server(tmp_path, "--allow-root", str(tmp_path), "--allow-root", str(data_root)) as url:
        anyio.run(go, url)
