"""R58-R71: what fills the fields that the user left open."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tao_skill.bank.skill import Skill
from tao_skill.bank.tables import InferenceRow
from tao_skill.errors import CheckpointError, SkillError
from tao_skill.run.checkpoint_choice import from_name
from tao_skill.run.checkpoint_files import from_entry
from tao_skill.run.inference_functions import FUNCTIONS, Facts, Files, resolve_fields

FOLDER = Path("/r/parent")
TRAINED = Files("parent", "train", FOLDER, [from_name("train/model_epoch_001.pth"), from_name("train/model_best.pth")])
EXPORTED = Files("exported", "export", FOLDER, [from_name("export/model.onnx")])
BUILT = Files("built", "gen_trt_engine", FOLDER, [from_name("gen_trt_engine/model.engine")])


def values(skill: Skill, facts: Facts, automl: bool = False) -> dict[str, Any]:
    rows = skill.inference_rows(facts.action, automl=automl)
    return {one.key: one.value for one in resolve_fields(rows, facts) if one.value is not None}


def row(function: str, key: str = "evaluate.checkpoint", *args: str) -> InferenceRow:
    return InferenceRow("evaluate", key, function, args, "meaning", 7)


def test_every_row_of_the_skill_has_its_function(skill: Skill) -> None:
    assert {one.function for one in skill.inference} <= set(FUNCTIONS)


def test_an_unknown_function_names_its_row() -> None:
    with pytest.raises(SkillError) as caught:
        resolve_fields([row("guess_model")], Facts("evaluate", "/r/1"))
    assert "line 7" in caught.value.problems[0].key
    assert caught.value.problems[0].value == "guess_model"


@pytest.mark.parametrize("action", ["evaluate", "inference", "export"])
def test_a_child_of_train(skill: Skill, action: str) -> None:  # R59 R60 R61 R63 R64 R65
    found = values(skill, Facts(action, "/r/1", parent=TRAINED))
    assert found.pop("results_dir") == "/r/1"
    assert found.pop(f"{action}.checkpoint") == "/r/parent/train/model_best.pth"
    assert found == ({"export.onnx_file": "/r/1/export/model.onnx"} if action == "export" else {})  # R62


def test_latest_and_epoch(skill: Skill) -> None:
    facts = Facts("evaluate", "/r/1", parent=TRAINED, choose="latest")
    assert values(skill, facts)["evaluate.checkpoint"].endswith("epoch_001.pth")
    facts = Facts("evaluate", "/r/1", parent=TRAINED, choose="epoch", epoch=1)
    assert values(skill, facts)["evaluate.checkpoint"].endswith("epoch_001.pth")


def test_the_engine_chain(skill: Skill) -> None:  # R69 R71
    assert values(skill, Facts("gen_trt_engine", "/r/2", parent=EXPORTED)) == {
        "results_dir": "/r/2",
        "gen_trt_engine.onnx_file": "/r/parent/export/model.onnx",
        "gen_trt_engine.trt_engine": "/r/2/gen_trt_engine/model.engine",
        "gen_trt_engine.tensorrt.calibration.cal_cache_file": "/r/2/gen_trt_engine/cal.bin",
    }
    found = values(skill, Facts("evaluate", "/r/3", parent=BUILT))
    assert found == {"results_dir": "/r/3", "evaluate.trt_engine": "/r/parent/gen_trt_engine/model.engine"}


def test_an_engine_that_is_to_be_written_takes_nothing_from_the_parent(skill: Skill) -> None:
    facts = Facts("gen_trt_engine", "/r/2", explicit={"gen_trt_engine.trt_engine": "/my.engine"}, parent=EXPORTED)
    found = values(skill, facts)
    assert found["gen_trt_engine.onnx_file"] == "/r/parent/export/model.onnx"
    assert "gen_trt_engine.trt_engine" not in found


def test_output_files_follow_the_actions_own_folder(skill: Skill) -> None:
    facts = Facts("export", "/r/2", explicit={"export.results_dir": "/mine"}, parent=TRAINED)
    assert values(skill, facts)["export.onnx_file"] == "/mine/model.onnx"


def test_only_what_is_open_is_filled(skill: Skill) -> None:
    explicit = {"evaluate.checkpoint": "/my.pth", "results_dir": "/out"}
    rows = skill.inference_rows("evaluate")
    found = resolve_fields(rows, Facts("evaluate", "/r/1", explicit=explicit, parent=TRAINED))
    assert [one.value for one in found] == [None] * len(rows)
    assert "given by the user" in next(one.reason for one in found if one.key == "results_dir")


def test_an_empty_checkpoint_is_filled_but_an_empty_wish_is_kept(skill: Skill) -> None:
    facts = Facts("evaluate", "/r/1", explicit={"evaluate.checkpoint": ""}, parent=TRAINED)
    assert values(skill, facts)["evaluate.checkpoint"].endswith("model_best.pth")
    facts = Facts("train", "/r/1", explicit={"model.pretrained_model_path": None}, parent=TRAINED)
    assert "model.pretrained_model_path" not in values(skill, facts)


def test_an_engine_given_by_the_user_is_not_joined_by_a_checkpoint(skill: Skill) -> None:
    facts = Facts("evaluate", "/r/1", explicit={"evaluate.trt_engine": "/e.engine"}, parent=TRAINED)
    assert "evaluate.checkpoint" not in values(skill, facts)


@pytest.mark.parametrize("action", ["evaluate", "inference", "export"])
def test_a_parent_without_anything_to_load_is_an_error(skill: Skill, action: str) -> None:
    parent = Files("p", "evaluate", FOLDER)
    with pytest.raises(CheckpointError, match="job of evaluate") as caught:
        values(skill, Facts(action, "/r/1", parent=parent))
    assert "train" in caught.value.next_step
    with pytest.raises(CheckpointError, match="left no file"):
        values(skill, Facts(action, "/r/1", parent=replace(TRAINED, candidates=[])))


def test_every_answer_has_a_reason(skill: Skill) -> None:
    for parent in (None, TRAINED):
        for one in resolve_fields(skill.inference_rows("train"), Facts("train", "/r/1", parent=parent)):
            assert one.reason.startswith(f"{one.function}: ")


def test_train_resumes_from_its_own_results_only(skill: Skill) -> None:  # R68
    own = Files(
        "me", "train", Path("/r/me"), [from_name("train/model_epoch_004.pth"), from_name("train/model_best.pth")]
    )
    found = values(skill, Facts("train", "/r/me", own=own, parent=TRAINED))
    assert found == {
        "results_dir": "/r/me",  # R67
        "train.resume_training_checkpoint_path": "/r/me/train/model_epoch_004.pth",
    }


@pytest.mark.parametrize("kind", ["best", "top"])
def test_what_holds_weights_alone_is_nothing_to_resume_from(skill: Skill, kind: str) -> None:
    entry = {"file": "model_best.pth", "kind": kind, "epoch": 0, "step": 4}
    best = from_entry(entry, {"best": "model_best.pth"}, "train/model_best.pth")
    own = Files("me", "train", Path("/r/me"), [best])
    assert values(skill, Facts("train", "/r/me", own=own)) == {"results_dir": "/r/me"}
    found = values(skill, Facts("train", "/r/me", own=own, parent=TRAINED))
    assert found["model.pretrained_model_path"] == "/r/parent/train/model_best.pth"
    periodic = from_entry(entry | {"file": "a.pth", "kind": "periodic"}, {"latest": "a.pth"}, "train/a.pth")
    found = values(skill, Facts("train", "/r/me", own=replace(own, candidates=[best, periodic])))
    assert found["train.resume_training_checkpoint_path"] == "/r/me/train/a.pth"


def test_train_starts_from_its_parents_model_if_there_is_nothing_to_resume(skill: Skill) -> None:  # R66
    assert values(skill, Facts("train", "/r/1")) == {"results_dir": "/r/1"}
    found = values(skill, Facts("train", "/r/1", parent=TRAINED))
    assert found["model.pretrained_model_path"] == "/r/parent/train/model_best.pth"
    explicit = {"train.resume_training_checkpoint_path": "/x.pth"}
    assert values(skill, Facts("train", "/r/1", explicit=explicit, parent=TRAINED)) == {"results_dir": "/r/1"}


def test_inside_an_automl_trial(skill: Skill) -> None:  # R71
    spec = {"train.num_epochs": 9, "train.checkpoint_interval": 10, "train.validation_interval": 20}
    facts = Facts("train", "/r/trial", spec=spec)
    found = values(skill, facts, automl=True)
    assert found == {"results_dir": "/r/trial", "train.checkpoint_interval": 9, "train.validation_interval": 9}
    facts = replace(facts, spec=spec | {"train.checkpoint_interval": 3})
    assert values(skill, facts, automl=True)["train.checkpoint_interval"] == 3
    facts = replace(facts, recommended=frozenset({"train.num_epochs"}))
    assert values(skill, facts, automl=True)["train.checkpoint_interval"] == 9


def test_a_promoted_trial_goes_on_from_the_newest_not_the_oldest(skill: Skill) -> None:  # peer defect 8.24
    earlier = Files("t1", "train", Path("/r/t1"), [from_name(f"train/model_epoch_{n:03d}.pth") for n in (0, 1, 2)])
    found = values(skill, Facts("train", "/r/t2", resume_from=earlier), automl=True)
    assert found["train.resume_training_checkpoint_path"] == "/r/t1/train/model_epoch_002.pth"


def test_a_folder_instead_of_a_file() -> None:
    found = resolve_fields([row("parent_model_folder")], Facts("evaluate", "/r/1", parent=TRAINED))
    assert found[0].value == "/r/parent/train"


def test_a_constant_without_numbers_stays_open() -> None:
    rows = [row("assign_const_value", "a.b"), row("assign_const_value", "a.b", "no.such")]
    assert [one.value for one in resolve_fields(rows, Facts("evaluate", "/r/1"))] == [None, None]
