"""No key that holds a path, by whatever way it comes, reaches out of the allowed roots."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tao_skill.agent.call import call_tool
from tao_skill.agent.desk import Desk
from tao_skill.agent.guard import check_links, check_spec_places
from tao_skill.bank.skill import find_skill
from tao_skill.config import ACTIONS
from tao_skill.config.keys import nest
from tao_skill.config.leaves import leaves
from tao_skill.errors import NotAllowedError
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore

OFF = {"action": "train", "data_root": "data", "automl_policy": "off"}
TEXTS = sorted(
    {
        leaf.key
        for action in ACTIONS
        for leaf in leaves(action)
        if leaf.kind == "string" and not leaf.choices and leaf.key != "encryption_key"
    }
)


def code_of(name: str, arguments: dict[str, Any], desk: Desk) -> str:
    reply = call_tool(name, arguments, desk)
    return str(reply.document["error"]["code"]) if reply.failed else "none"


@pytest.mark.parametrize("key", TEXTS)
def test_no_text_of_any_spec_takes_a_path_elsewhere(key: str, desk: Desk) -> None:
    for value in ("/etc/passwd", "../outside", "file:///etc/passwd", "~/x"):
        with pytest.raises(NotAllowedError):
            check_spec_places(find_skill(), nest({key: value}), desk.roots)


@pytest.mark.parametrize("key", ["results_dir", "train.results_dir", "train.checkpointer.filename", "model.timm_name"])
def test_every_tool_that_takes_settings_looks_at_them(key: str, desk: Desk) -> None:
    arguments = OFF | {"overrides": {key: "/etc/passwd"}}
    assert code_of("plan", arguments, desk) == "not_allowed"
    assert code_of("run", arguments | {"idempotency_key": "x"}, desk) == "not_allowed"
    assert code_of("check_spec", {"action": "train", "spec": {key: "/etc/passwd"}}, desk) == "not_allowed"


def test_lists_nested_keys_and_shorthands_are_looked_at(desk: Desk) -> None:
    lists = {"gen_trt_engine": {"tensorrt": {"calibration": {"cal_image_dir": ["data", "/etc"]}}}}
    assert code_of("plan", {"action": "gen_trt_engine", "overrides": lists}, desk) == "not_allowed"
    assert code_of("plan", OFF | {"overrides": {"resume_checkpoint": "/etc/passwd"}}, desk) == "not_allowed"
    assert code_of("plan", OFF | {"overrides": {"dataset": {"val_dataset.query": "/etc"}}}, desk) == "not_allowed"
    assert code_of("plan", OFF | {"overrides": {"dataset.class_map": "{S3_TRAIN}/../../x"}}, desk) == "not_allowed"


def test_roots_of_a_request(desk: Desk) -> None:
    assert code_of("plan", OFF | {"data_root": "/etc"}, desk) == "not_allowed"
    assert code_of("plan", OFF | {"data_root": "s3://bucket/x"}, desk) == "not_allowed"
    for tool, more in (("status", {}), ("logs", {"job_id": "x"}), ("cancel", {"job_id": "x"}), ("plan", OFF)):
        assert code_of(tool, {"results_root": "/etc", **more}, desk) == "not_allowed"
        assert code_of(tool, {"results_root": "s3://bucket/x", **more}, desk) == "not_allowed"
    assert code_of("plan", OFF | {"skill": "./data"}, desk) == "not_allowed"
    search = {"action": "train", "data_root": "data"}
    assert code_of("plan", search | {"automl": {"ray_address": "ray://evil:1"}}, desk) == "not_allowed"
    assert code_of("plan", search | {"automl": {"a": {"b": ["/etc/passwd"]}}}, desk) == "not_allowed"


@pytest.mark.parametrize(
    "settings",
    [
        {"automl_algorithm": "llm", "automl_llm_endpoint": "http://evil/v1", "automl_llm_model": "m"},
        {"automl_ray_address": "evil:6379"},
        {"custom_param_ranges": {"dataset.train_dataset": {"valid_options": ["a", "b"]}}},
        {"custom_param_ranges.train.checkpointer.dirpath.valid_options": ["a", "b"]},
        {"automl_starting_points": [{"dataset.train_dataset": "a"}]},
    ],
)
def test_settings_of_a_search_name_no_place_wherever_they_stand(settings: dict[str, Any], desk: Desk) -> None:
    search = {"action": "train", "data_root": "data"}
    assert code_of("plan", search | {"overrides": settings}, desk) == "not_allowed"
    assert code_of("plan", search | {"automl": settings}, desk) == "not_allowed"
    assert code_of("run", search | {"overrides": settings, "idempotency_key": "x"}, desk) == "not_allowed"


def test_a_cluster_of_this_machine_may_be_named(desk: Desk) -> None:
    search = {"action": "train", "data_root": "data", "automl": {"automl_ray_address": "auto"}}
    assert code_of("plan", search, desk) == "none"


def test_what_is_not_allowed_is_not_looked_at(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    answers = [
        call_tool("plan", OFF | {"overrides": {"dataset.train_dataset": str(tmp_path / name)}}, desk).document
        for name in ("there", "none")
    ]
    shown = [str(one).replace(name, "X") for one, name in zip(answers, ("there", "none"), strict=True)]
    assert shown[0] == shown[1]


def test_links_in_a_data_set_stay_inside(desk: Desk, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    images = folder / "images" / "cat"
    images.mkdir(parents=True)
    (images / "ok.png").symlink_to(folder / "c.pth")
    check_links({"dataset.train_dataset": [str(folder / "images")]}, desk.roots)
    (images / "more").symlink_to(tmp_path / "secret")
    with pytest.raises(NotAllowedError) as caught:
        check_links({"dataset.train_dataset": [str(folder / "images")]}, desk.roots)
    assert str(images / "more") in str(caught.value)
    overrides = {f"dataset.{key}": "images" for key in ("train_dataset", "val_dataset.reference", "val_dataset.query")}
    arguments = {"action": "train", "automl_policy": "off", "overrides": overrides, "idempotency_key": "links"}
    assert code_of("run", arguments, desk) == "not_allowed"
    assert not (folder / "results").exists()


@pytest.mark.parametrize("place", ["known_classes/train.tar.gz", "unknown_classes/test.tar.gz"])
def test_a_source_of_the_table_is_no_link_to_elsewhere(desk: Desk, folder: Path, tmp_path: Path, place: str) -> None:
    """Below the data root, that of the training and those that the winner of a search is measured on."""
    table = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"
    source = folder / "data" / table / place
    shutil.move(source, tmp_path / "secret")
    source.symlink_to(tmp_path / "secret")
    search = {"action": "train", "data_root": "data"}
    assert code_of("plan", search, desk) == "not_allowed"
    assert code_of("run", search | {"idempotency_key": "x"}, desk) == "not_allowed"
    action = "train" if "train" in place else "evaluate"
    assert code_of("check_data", {"action": action, "data_root": "data"}, desk) == "not_allowed"


def test_a_link_to_itself_is_passed_over(desk: Desk, folder: Path) -> None:
    (folder / "ring").mkdir()
    (folder / "ring" / "loop").symlink_to(folder / "ring" / "loop")
    check_links({"x": [str(folder / "ring")]}, desk.roots)


def test_links_in_a_ring_end(desk: Desk, folder: Path) -> None:
    (folder / "ring" / "a").mkdir(parents=True)
    (folder / "ring" / "a" / "back").symlink_to(folder / "ring")
    check_links({"x": [str(folder / "ring")]}, desk.roots)


def test_a_record_can_not_point_elsewhere(desk: Desk, folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "train").mkdir(parents=True)
    (outside / "train" / "log.txt").write_text("private words\n")
    store = JobStore(folder / "results")
    for job_id, fields in {
        "forged": {"results_dir": str(outside)},
        "forged2": {"results_dir": str(folder), "spec": {"train": {"results_dir": str(outside / "train")}}},
    }.items():
        skill = find_skill().name
        store.create(JobRecord(job_id=job_id, skill=skill, action="train", status=JobStatus.ERROR, **fields))
        for tool in ("status", "logs", "result", "cancel", "resume"):
            reply = call_tool(tool, {"job_id": job_id}, desk)
            assert reply.document["error"]["code"] == "not_allowed", tool
            assert "private" not in str(reply.document)
        assert (
            code_of("plan", {"action": "evaluate", "data_root": "data", "parent_job_id": job_id}, desk) == "not_allowed"
        )
    assert call_tool("status", {}, desk).document["jobs"] == []
