"""Every command that a SKILL.md or README shows is one that the program takes."""

import io
import re
import shlex
import tomllib
from functools import partial
from pathlib import Path

import pytest

from tao_skill.bank.skill import DEFAULT_SKILL
from tao_skill.cli.main import main
from tao_skill.cli.parser import build_parser
from tools.evals import ROOT, end_jobs, prepare

DOCUMENTS = sorted(ROOT.glob("skills/*/SKILL.md"))
COMMAND = re.compile(r"python -m tao_skill [^\n`]*")


def commands(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    return [found.partition("#")[0].strip() for found in COMMAND.findall(text)]


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.parent.name)
def test_every_command_runs(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    """What starts work is parsed, and planned where there is a plan; all else runs."""
    monkeypatch.delenv("TAO_RESULTS_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    request.addfinalizer(partial(end_jobs, prepare(tmp_path)))
    found = commands(page)
    assert len(found) >= 3
    for command in found:
        job = " SEARCH" if "tao_skill automl" in command else " PARENT"
        text = command.replace("/data/train", str(tmp_path / "data")).replace(" JOB", job).replace("…", "")
        text = text.replace("--allow-root /data", f"--allow-root {tmp_path}")
        words = shlex.split(text.replace("(or", ""))[3:]
        starts = words[0] == "automl" and words[1] not in ("status", "report")
        if words[0] == "mcp" or starts or words[:2] in (["jobs", "upload"], ["jobs", "resume"]):
            build_parser().parse_args(words)
            continue
        dry = ["--dry-run"] if words[0] == "run" and "--dry-run" not in words else []
        assert main([*words, *dry]) == 0, (command, capsys.readouterr())


def test_the_description_holds_the_trigger_phrases() -> None:  # R1 R2
    text = re.sub(r"\s+", " ", (ROOT / "skills" / DEFAULT_SKILL / "SKILL.md").read_text())
    for phrase in (
        "train metric learning",
        "ml-recog",
        "retrieval embeddings",
        "triplet loss recognition",
        "fine-grained matching",
    ):
        assert f'"{phrase}"' in text.partition("license:")[0]


def test_versions_are_those_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for page in DOCUMENTS:
        assert f'version: "{version}"' in page.read_text().partition("\n---")[0]
