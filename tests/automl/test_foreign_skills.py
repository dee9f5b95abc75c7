"""Skills of other banks, as their plans show them: their own keys, files and habits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tao_skill.errors import SkillError, SpecError
from tao_skill.run.make_plan import plan_run
from tao_skill.run.request import RunRequest

NewSkill = Callable[..., Path]


def request(tmp_path: Path, skill_dir: Path, *overrides: str, **options: Any) -> RunRequest:
    return RunRequest(
        action="train", skill=str(skill_dir), results_root=str(tmp_path / "results"), overrides=list(overrides),
        **options,
    )  # fmt: skip


def test_a_skills_own_keys_are_not_taken_for_settings_of_the_search(tmp_path: Path, new_skill: NewSkill) -> None:
    skill_dir = new_skill("own-keys", metric="euclidean", direction="up")
    plan = plan_run(request(tmp_path, skill_dir, "metric=cosine", "direction=down", "automl_seed=4"))
    assert (plan.spec["metric"], plan.spec["direction"]) == ("cosine", "down")
    assert plan.search is not None
    assert (plan.search["metric"], plan.search["direction"]) == ("score", "maximize")
    assert plan.search["settings"]["automl_seed"] == 4
    with pytest.raises(SpecError) as caught:
        plan_run(request(tmp_path, new_skill("plain"), "metric=cosine", "fit.rte=1"))
    assert {one.key: one.expected for one in caught.value.problems} == {
        "metric": "no such key of the spec; a setting of the search is --automl metric=…",
        "fit.rte": "no such key; the nearest is fit.rate",
    }


@pytest.mark.parametrize("text", [None, "{not json"])
@pytest.mark.parametrize("policy", ["on", "off"])
def test_a_skill_of_another_bank_needs_its_own_schema(
    tmp_path: Path, skill_dir: Path, policy: str, text: str | None
) -> None:
    path = skill_dir / "schemas" / "train.schema.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(SkillError) as caught:
        plan_run(request(tmp_path, skill_dir, automl_policy=policy))
    assert caught.value.problems[0].key == str(path)
    assert str(path) in caught.value.next_step


def test_a_skill_of_another_bank_may_say_more_and_have_bounds_without_an_end(tmp_path: Path, skill_dir: Path) -> None:
    path = skill_dir / "schemas" / "train.schema.json"
    schema = json.loads(path.read_text())
    schema["properties"]["fit"]["properties"]["Depth"] = {
        "type": "int", "default": 3, "minimum": 1, "maximum": float("inf"), "automl_enabled": "TRUE",
    }  # fmt: skip
    schema["automl_default_parameters"].append("fit.Depth")
    path.write_text(json.dumps(schema))
    info = skill_dir / "references" / "skill_info.yaml"
    info.write_text(f"{info.read_text()}containers: [x]\nspec_shorthand_keys: {{D: fit.Depth}}\n")
    template = skill_dir / "references" / "spec_template_train.yaml"
    template.write_text(template.read_text().replace("fit:\n", "fit:\n  Depth: 3\n"))
    plan = plan_run(request(tmp_path, skill_dir))
    assert plan.search is not None
    assert "the schema has no bounds" in plan.search["left_out"]["fit.Depth"]
    assert plan_run(request(tmp_path, skill_dir, "D=7")).spec["fit"]["Depth"] == 7
