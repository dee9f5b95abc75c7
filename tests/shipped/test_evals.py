"""The evals of each skill: enough of them, of one form, and their expected calls replayed against the program."""

from pathlib import Path
from typing import Any

import pytest

from tao_skill.agent.tools import TOOLS
from tools.evals import ROOT, end_jobs, prepare, read_evals, replay

SKILLS = sorted(path.parent.name for path in ROOT.glob("skills/*/SKILL.md"))
FORM = {"id", "prompt", "should_trigger", "expected_output", "assertions", "expected_calls"}


@pytest.mark.parametrize("skill", SKILLS)
def test_there_are_enough_and_they_have_one_form(skill: str) -> None:  # R2 R77
    evals = read_evals(skill)
    triggers = [one for one in evals if one["should_trigger"]]
    assert len(triggers) >= 12
    assert len(evals) - len(triggers) >= 6
    assert len({one["id"] for one in evals}) == len({one["prompt"] for one in evals}) == len(evals)
    for one in evals:
        assert set(one) == FORM
        assert bool(one["expected_calls"]) == one["should_trigger"]
        assert {call["tool"] for call in one["expected_calls"]} <= {tool.name for tool in TOOLS}


@pytest.mark.parametrize("skill", SKILLS)
def test_every_expected_call_goes_as_expected(skill: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "torch.py").write_text("raise ModuleNotFoundError('no torch here', name='torch')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "shadow"))
    for name in ("TAO_RESULTS_ROOT", "TAO_SKILL_ALLOWED_ROOTS", "TAO_SKILL_BANK_PATH"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "work"
    desk = prepare(folder)
    monkeypatch.chdir(folder)
    try:
        done: list[Any] = [one for evaluated in read_evals(skill) for one in replay(evaluated, desk)]
    finally:
        end_jobs(desk)
    assert not {f"{one.eval_id}: {one.tool}": one.differences for one in done if one.differences}


@pytest.mark.parametrize("skill", SKILLS)
def test_the_benchmark_tells_of_these_evals(skill: str) -> None:  # R77
    text = (ROOT / "skills" / skill / "BENCHMARK.md").read_text(encoding="utf-8")
    evals = read_evals(skill)
    triggers = sum(one["should_trigger"] for one in evals)
    calls = sum(len(one["expected_calls"]) for one in evals)
    assert f"| {triggers} | {len(evals) - triggers} | {calls} | {calls} |" in text
    for one in evals:
        assert f"| {one['id']} | {one['prompt']} |" in text
    assert "Apache-2.0" in (ROOT / "skills" / skill / "skill-card.md").read_text(encoding="utf-8")
