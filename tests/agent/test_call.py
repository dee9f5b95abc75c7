"""Tool calls as data: answers, and errors that say what is allowed and which call to make next."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tao_skill.agent.call import call_tool, read_arguments
from tao_skill.agent.definitions import definitions
from tao_skill.agent.desk import Desk
from tao_skill.agent.tools import TOOLS
from tao_skill.bank.skill import find_skill
from tao_skill.cli.main import main
from tao_skill.errors import UsageError
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore

DEFINITIONS = definitions()
OFF = {"action": "train", "data_root": "data", "automl_policy": "off"}


def error_of(name: str, arguments: dict[str, Any], desk: Desk) -> dict[str, Any]:
    reply = call_tool(name, arguments, desk)
    assert reply.failed
    document = reply.document
    Draft202012Validator(DEFINITIONS["error_schema"]).validate(document)
    error: dict[str, Any] = document["error"]
    call = error["next_call"]
    if call is not None:
        assert call["tool"] in {tool.name for tool in TOOLS}
    return error


def answer_of(name: str, arguments: dict[str, Any], desk: Desk) -> dict[str, Any]:
    reply = call_tool(name, arguments, desk)
    assert not reply.failed, reply.document
    schema = next(tool["output_schema"] for tool in DEFINITIONS["tools"] if tool["name"] == name)
    Draft202012Validator(schema).validate(reply.document)
    return reply.document


def test_the_way_from_nothing_to_a_plan(desk: Desk, folder: Path) -> None:
    skills = answer_of("list_skills", {}, desk)
    assert "tao-train-metric-learning-recognition" in {one["name"] for one in skills["skills"]}
    sources = [one for skill in skills["skills"] for one in skill["data_sources"] if one["action"] == "train"]
    assert {one["key"] for one in sources} == {"dataset.train_dataset", "dataset.val_dataset"}
    plan = answer_of("plan", OFF | {"overrides": {"num_epochs": 3, "train": {"seed": 1}}}, desk)
    assert plan["settings"]["train.num_epochs"] == 3
    assert plan["settings"]["train.seed"] == 1
    assert plan["origins"]["dataset.train_dataset"] == "data source"
    assert plan["next_call"]["tool"] == "run"
    assert sorted(path.name for path in folder.iterdir()) == ["c.pth", "data"]


def test_users_words_decide_the_policy(desk: Desk) -> None:  # R15 R17
    plan = answer_of("plan", {"action": "train", "data_root": "data", "user_words": "plain training please"}, desk)
    assert plan["automl_policy"] == "off"


def test_settings_of_a_search_are_passed_on(desk: Desk) -> None:  # R19 R20
    search = {"action": "train", "data_root": "data", "automl": {"automl_max_recommendations": 3}}
    plan = answer_of("plan", search, desk)
    assert plan["dispatch"] == "tao-run-automl"
    assert plan["next_call"]["arguments"]["automl"] == {"automl_max_recommendations": 3}
    told = plan["search"]
    assert (told["algorithm"], told["trials"], told["epochs"], told["direction"]) == ("bayesian", 3, 10, "maximize")
    rate = next(one for one in told["searched"] if one["key"] == "train.optim.trunk.base_lr")
    assert rate["low"] < rate["default"] < rate["high"]
    assert told["left_out"]
    assert answer_of("plan", OFF, desk)["search"] is None
    error = error_of("plan", search | {"automl": {"automl_max_recomendations": 3}}, desk)
    assert "automl_max_recommendations" in str(error["problems"])


def test_parameters_are_found_and_paged(desk: Desk) -> None:
    found = answer_of("show_schema", {"action": "train", "match": "optim.trunk"}, desk)
    assert "train.optim.trunk.base_lr" in {one["key"] for one in found["parameters"]}
    first = answer_of("show_schema", {"action": "train", "limit": 7}, desk)
    seen = list(first["parameters"])
    while first["next_call"]:
        first = answer_of(first["next_call"]["tool"], first["next_call"]["arguments"], desk)
        seen += first["parameters"]
    assert len({one["key"] for one in seen}) == len(seen) == first["total"]


@pytest.mark.parametrize("words", ["trunk learning rate", "learning_rate trunk", "TRUNK.BASE_LR"])
def test_parameters_are_found_by_several_words(words: str, desk: Desk) -> None:
    found = answer_of("show_schema", {"action": "train", "match": words}, desk)
    assert "train.optim.trunk.base_lr" in {one["key"] for one in found["parameters"]}
    assert found["total"] < 5


def test_words_that_no_parameter_holds_lead_to_all(desk: Desk) -> None:
    found = answer_of("show_schema", {"action": "train", "match": "quux"}, desk)
    assert found["total"] == 0
    assert answer_of(found["next_call"]["tool"], found["next_call"]["arguments"], desk)["total"] > 50


@pytest.mark.parametrize(
    ("name", "near"),
    [("epochs", "train.num_epochs"), ("lr", "train.optim.embedder.base_lr"), ("backbone", "model.backbone")],
)
def test_short_names_lead_to_the_key(name: str, near: str, desk: Desk) -> None:
    error = error_of("plan", OFF | {"overrides": {name: 3}}, desk)
    assert error["problems"][0]["allowed"].endswith(f"the nearest is {near}")


def test_a_spec_is_checked_as_a_whole(desk: Desk) -> None:
    answer = answer_of("check_spec", {"action": "train", "spec": {"train": {"num_epoch": 3, "batch_size": 18}}}, desk)
    assert not answer["valid"]
    assert {one["key"] for one in answer["problems"]} >= {"train.num_epoch", "train.batch_size"}


def test_a_typo_leads_to_the_right_parameter(desk: Desk) -> None:
    error = error_of("plan", OFF | {"overrides": {"train.num_epoch": 3}}, desk)
    assert error["code"] == "spec_error"
    assert "train.num_epochs" in error["problems"][0]["allowed"]
    call = error["next_call"]
    found = answer_of(call["tool"], call["arguments"], desk)
    assert "train.num_epochs" in {one["key"] for one in found["parameters"]}


def test_missing_data_lead_to_the_list_of_what_is_read(desk: Desk) -> None:  # R31
    error = error_of("plan", {"action": "train", "automl_policy": "off"}, desk)
    assert {"dataset.train_dataset"} <= {one["key"] for one in error["problems"]}
    assert error["next_call"]["tool"] == "list_skills"
    assert "add data_root" in error["problems"][0]["allowed"]  # the command line's --data-root is no argument here


def test_an_engine_of_a_training_leads_to_its_export(desk: Desk, folder: Path) -> None:
    trained = folder / "results" / "trained"
    (trained / "train").mkdir(parents=True)
    (trained / "train" / "model_epoch_000_step_00001.pth").write_bytes(b"\x80\x02weights")
    store = JobStore(folder / "results")
    store.create(JobRecord(job_id="trained", skill=find_skill().name, action="train", results_dir=str(trained)))
    for status in (JobStatus.RUNNING, JobStatus.COMPLETE):
        store.update("trained", status=status)
    asked = {"action": "gen_trt_engine", "data_root": "data", "parent_job_id": "trained"}
    error = error_of("plan", asked, desk)
    assert error["code"] == "checkpoint_error"
    call = error["next_call"]
    assert (call["tool"], call["arguments"]) == ("plan", {"action": "export", "parent_job_id": "trained"})


def test_data_are_looked_at(desk: Desk, folder: Path) -> None:
    found = answer_of("check_data", {"data_root": "data", "action": "train"}, desk)
    assert {one["images"] for one in found["sets"]} == {8}
    assert found["next_call"]["tool"] == "plan"
    bad = next((folder / "data").rglob("train.tar.gz/cat/*.png"))
    bad.write_bytes(b"no image")
    found = answer_of("check_data", {"train": str(bad.parents[1])}, desk)
    assert not found["ok"]
    assert bad.name in str(found["problems"])
    for arguments in ({"train": "/etc"}, {"data_root": "s3://bucket"}, {"train": "data", "class_map": "/etc/passwd"}):
        assert error_of("check_data", arguments, desk)["code"] == "not_allowed"
    assert error_of("check_data", {}, desk)["code"] == "usage_error"


@pytest.mark.parametrize(
    ("name", "arguments", "key", "allowed"),
    [
        ("plan", {"action": "train", "overides": {}}, "overides", "did you mean overrides"),
        ("plan", {}, "action", "required"),
        ("plan", {"action": "train", "automl_policy": "auto"}, "automl_policy", "'on' or 'off'"),
        ("logs", {"job_id": "../x"}, "job_id", "pattern"),
        ("status", {"wait_seconds": float("inf")}, "wait_seconds", "less than or equal"),
        ("run", OFF | {"idempotency_key": ""}, "idempotency_key", "at least 1"),
        ("run", OFF, "idempotency_key", "required"),
        ("plann", {}, "tool", "did you mean plan"),
    ],
)
def test_wrong_calls(name: str, arguments: dict[str, Any], key: str, allowed: str, desk: Desk) -> None:
    error = error_of(name, arguments, desk)
    assert key in {one["key"] for one in error["problems"]}
    assert any(allowed in one["allowed"] for one in error["problems"])


def test_unknown_jobs_actions_and_skills(desk: Desk) -> None:
    assert error_of("status", {"job_id": "nope"}, desk)["next_call"]["tool"] == "status"
    assert "train" in error_of("plan", {"action": "trian"}, desk)["problems"][0]["allowed"]
    assert error_of("plan", {"action": "train", "skill": "nope"}, desk)["next_call"]["tool"] == "list_skills"
    assert error_of("list_skills", {"skill": "nope"}, desk)["code"] == "skill_error"


@pytest.mark.parametrize("text", ["[1]", "3", "{", '{"a": NaN}', "[" * 100_000, '{"a":' * 50_000, "x" * 1_000_001])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read_arguments(text)


def test_deep_arguments_are_refused(desk: Desk) -> None:
    deep: dict[str, Any] = {}
    for _ in range(60):
        deep = {"a": deep}
    assert error_of("plan", {"action": "train", "overrides": deep}, desk)["code"] == "usage_error"


def test_answers_hold_no_secret_of_the_environment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    for text in ("$AWS_SECRET_ACCESS_KEY", "${oc.env:WANDB_API_KEY}", "{WANDB_API_KEY}", "wJalrXUtnFEMI"):
        reply = call_tool("plan", OFF | {"overrides": {"train.num_epochs": text, "model_name": text}}, desk)
        said = json.dumps(reply.document)
        assert "wJalrXUtnFEMI" not in said
        assert "0123456789abcdef" not in said


def test_interpolations_are_refused(desk: Desk) -> None:
    for text in ("${oc.env:HOME}", "${HOME}", "a/../../etc", "local-dir:/etc", "hf-hub:a/b", "https://x/y"):
        error = error_of("plan", OFF | {"overrides": {"model.timm_name": text}}, desk)
        assert error["code"] == "not_allowed"


def test_texts_that_utf8_lacks_do_no_harm(desk: Desk) -> None:
    reply = call_tool("plan", OFF | {"overrides": {"model_name": "a\ud800b", "data\udc00": 1}}, desk)
    json.dumps(reply.document, ensure_ascii=False).encode("utf-8")


def test_call_reads_stdin_or_its_argument(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["call", "list_skills", "{}"]) == 0
    given = json.loads(capsys.readouterr().out)
    read, write = os.pipe()
    with os.fdopen(read) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert main(["call", "list_skills"]) == 0  # the pipe is open: to read it would take for ever
        assert json.loads(capsys.readouterr().out) == given
        os.write(write, b"{}")
        os.close(write)
        assert main(["call", "list_skills", "-"]) == 0
    assert json.loads(capsys.readouterr().out) == given
    assert main(["call", "plan", "{"]) == UsageError.exit_code
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage_error"
    assert main(["call", "plan", "{}", "--allow-root", "/no/such/folder"]) == UsageError.exit_code
    assert "no folder" in json.loads(capsys.readouterr().out)["error"]["message"]
