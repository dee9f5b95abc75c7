"""Packages that a search needs, told before anything is spent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tao_skill.automl.packages import lack_of_packages
from tao_skill.errors import NotAvailableError
from tao_skill.run.make_plan import plan_run
from tao_skill.run.request import RunRequest
from tao_skill.run.review import review_search
from tao_skill.run.runner import run


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tao_skill.automl.packages.find_spec", lambda _: None)


@pytest.mark.parametrize(
    ("algorithm", "platform", "step"),
    [
        ("bayesian", "local", "[automl]', or --automl-policy off to train directly"),
        ("bayesian", "ray", "[automl,ray]', or --automl-policy off to train directly"),
        ("pbt", "ray", "[ray]', or --platform local"),
    ],
)
@pytest.mark.usefixtures("nothing")
def test_the_extras_are_named(algorithm: str, platform: str, step: str) -> None:
    found = lack_of_packages(algorithm, platform)
    assert found is not None
    assert found.next_step.startswith("pip install ")
    assert found.next_step.endswith(step)
    assert lack_of_packages("pbt", "local") is None


@pytest.mark.usefixtures("nothing")
def test_a_search_is_planned_without_them_and_not_begun(tmp_path: Path, skill_dir: Path) -> None:
    asked = RunRequest(action="train", skill=str(skill_dir), results_root=str(tmp_path / "results"))
    assert any("needs optuna, not installed here" in warning for warning in plan_run(asked).warnings)
    with pytest.raises(NotAvailableError, match="needs optuna"):
        run(asked)
    with pytest.raises(NotAvailableError, match="needs optuna"):
        review_search(asked, 30.0)
    assert not list(tmp_path.glob("results/*"))
