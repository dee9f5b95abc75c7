"""What an MCP client may read: schemas, templates, reference pages, skills, and the results of jobs."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from tao_skill.agent.call import call_tool
from tao_skill.agent.desk import Desk
from tao_skill.bank.location import bank_root

__all__ = ["JOB_TEMPLATES", "Document", "bank_documents", "read"]

_BASE = "tao-skill://"
_KINDS = {".json": "application/json", ".yaml": "application/yaml", ".md": "text/markdown"}
_PLACES = ("schemas/*.json", "references/*.md", "skills/*/*.md", "skills/*/references/*", "skills/*/schemas/*.json")
_JOB = re.compile(rf"{_BASE}jobs/([A-Za-z0-9][A-Za-z0-9_.-]{{0,127}})/(result|status|logs)")
JOB_TEMPLATES = {
    "result": ("Result of a job", "Final metrics, checkpoint, files, or the error of a job."),
    "status": ("Status of a job", "Where a job stands."),
    "logs": ("Log of a job", "The end of a job's log."),
}


@dataclass(frozen=True)
class Document:
    """A file of the bank under the URI that clients know it by."""

    uri: str
    name: str
    kind: str
    path: Path


def bank_documents() -> list[Document]:
    """Return every document of the bank, in order."""
    root = bank_root()
    found = []
    for path in sorted({path for place in _PLACES for path in root.glob(place)}):
        if path.suffix in _KINDS and path.is_file():
            name = path.relative_to(root).as_posix()
            found.append(Document(f"{_BASE}{name}", name, _KINDS[path.suffix], path))
    return found


def read(uri: str, desk: Desk) -> tuple[str, str] | None:
    """Return kind and text of a resource; None where there is none.

    URIs are looked up, never turned into paths, so none leads out of the bank.
    """
    if job := _JOB.fullmatch(uri):
        reply = call_tool(job[2], {"job_id": job[1]}, desk)
        return "application/json", json.dumps(reply.document, indent=2, ensure_ascii=False)
    for document in bank_documents():
        if document.uri == uri:
            return document.kind, document.path.read_text(encoding="utf-8")
    return None
