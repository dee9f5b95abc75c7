"""Plugin manifests for agents' hosts: the version and the description come from pyproject, the skills from the bank."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["manifests"]

_NAME = "tao-skill-bank"


def manifests(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield each manifest, relative to the repository, with its document."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version, description = project["version"], project["description"]
    plugin = {
        "name": _NAME,
        "version": version,
        "description": description,
        "license": project["license"],
        "keywords": ["metric-learning", "recognition", "embeddings", "automl", "agent-skills"],
        "skills": "./skills/",
    }
    server = {"command": "python", "args": ["-m", "tao_skill", "mcp"]}
    yield Path(".claude-plugin/plugin.json"), plugin | {"mcpServers": {"tao-skill": server}}
    listing = {"name": _NAME, "source": "./", "description": description, "version": version}
    marketplace = {"name": _NAME, "owner": {"name": "tao-skill"}, "plugins": [listing]}
    yield Path(".claude-plugin/marketplace.json"), marketplace
    yield Path(".codex-plugin/plugin.json"), plugin
