"""The tools as an MCP server; the transport is chosen by whoever runs it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel

import tao_skill
from tao_skill.agent.answers import JobFact
from tao_skill.agent.call import POLL_SECONDS, Reply, answer_of, failed_reply, request_of
from tao_skill.agent.definitions import FORMATS, packaged_definitions
from tao_skill.agent.desk import Desk
from tao_skill.agent.follow import watch
from tao_skill.agent.resources import JOB_TEMPLATES, bank_documents, read

__all__ = ["build_server", "serve_stdio"]

_INSTRUCTIONS = (
    "Trains and uses models that recognise things by comparing them with reference images. Start with list_skills and "
    "plan; run starts a job and returns its id; follow it with status (wait_seconds), then result. A failed call says "
    "what is allowed and which call to make next."
)
_SMALL_STEP = 0.001
_SECONDS_BETWEEN_REPORTS = 1.0
_CLIENT_ERROR = -32602
Report = Callable[[float, float | None, str], Coroutine[Any, Any, None]]


def build_server(desk: Desk) -> Server[Any]:
    """Return the server; it keeps no state of its own, so any number of clients may use it."""
    tools = [types.Tool.model_validate(FORMATS["mcp"](tool)) for tool in packaged_definitions()["tools"]]

    async def list_tools(_: Any, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=tools)

    async def call(context: ServerRequestContext[Any], params: types.CallToolRequestParams) -> types.CallToolResult:
        reply = await _call(params.name, params.arguments or {}, desk, context.session.report_progress)
        text = json.dumps(reply.document, ensure_ascii=False)
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=text)],
            # An error does not fit the output schema, and clients that look at it even then would show nothing else.
            structured_content=None if reply.failed else reply.document,
            is_error=reply.failed,
        )

    async def list_resources(_: Any, __: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
        found = await anyio.to_thread.run_sync(bank_documents)
        resources = [types.Resource(uri=one.uri, name=one.name, mime_type=one.kind) for one in found]
        return types.ListResourcesResult(resources=resources)

    async def list_templates(_: Any, __: types.PaginatedRequestParams | None) -> types.ListResourceTemplatesResult:
        templates = [
            types.ResourceTemplate(
                name=name,
                title=title,
                description=text,
                uri_template=f"tao-skill://jobs/{{job_id}}/{name}",
                mime_type="application/json",
            )
            for name, (title, text) in JOB_TEMPLATES.items()
        ]
        return types.ListResourceTemplatesResult(resource_templates=templates)

    async def read_resource(_: Any, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        found = await anyio.to_thread.run_sync(read, str(params.uri), desk)
        if found is None:
            raise MCPError(_CLIENT_ERROR, f"There is no resource {str(params.uri)[:200]}; resources/list names all.")
        content = types.TextResourceContents(uri=params.uri, mime_type=found[0], text=found[1])
        return types.ReadResourceResult(contents=[content])

    return Server(
        "tao-skill",
        version=tao_skill.__version__,
        title="TAO skill bank",
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
    )


async def serve_stdio(desk: Desk) -> None:
    """Serve one client over standard input and output until it goes."""
    server = build_server(desk)
    async with stdio_server() as (reads, writes):
        await server.run(reads, writes, server.create_initialization_options())


async def _call(name: str, arguments: dict[str, Any], desk: Desk, report: Report) -> Reply:
    """Call a tool in a thread; while it waits for a job, report progress.

    To cancel the call ends the wait and not the job: a client's time limit looks the same, and who means the job has
    the tool `cancel`.
    """
    desk = replace(desk, progress=_Work(report))
    try:
        tool, request = request_of(name, arguments)
        answer: BaseModel = await anyio.to_thread.run_sync(tool.function, request, desk)
        newer = watch(answer, request, desk)
        progress = _Progress(report)
        while (step := await anyio.to_thread.run_sync(next, newer, None)) is not None:
            answer = step
            await progress.tell(step.jobs[0])
            await anyio.sleep(POLL_SECONDS)
        return answer_of(answer, request)
    except Exception as error:
        return failed_reply(error, name, arguments)


class _Work:
    """Report long work from its thread, once a second, and end it where the call was canceled."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._told = float("-inf")

    def __call__(self, done: int, total: int) -> None:
        """Note how much of all is done."""
        anyio.from_thread.check_cancelled()
        now = time.monotonic()
        if now - self._told >= _SECONDS_BETWEEN_REPORTS:
            self._told = now
            anyio.from_thread.run(self._report, float(done), float(total), f"{done} of {total} are done")


class _Progress:
    """Report what is new of a job; the number only grows, as the protocol demands."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._told: tuple[Any, ...] = ()
        self._value = -1.0

    async def tell(self, job: JobFact) -> None:
        """Report a job's epochs and last message if they differ from what was reported before."""
        now = job.progress
        seen = (job.status, now.epoch, now.message)
        if seen == self._told:
            return
        self._told = seen
        done = 0.0 if now.epoch is None else now.epoch + 1.0
        value = done if done > self._value else self._value + _SMALL_STEP
        total = None if now.max_epoch is None else float(now.max_epoch)
        if total is not None and value > total >= self._value:
            return
        self._value = value
        await self._report(self._value, total, f"{job.status}: {now.message}" if now.message else job.status)
