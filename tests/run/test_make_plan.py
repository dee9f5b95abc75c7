"""The plan: everything decided, nothing written."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from tao_skill.bank.skill import Skill, find_skill
from tao_skill.config.keys import flatten
from tao_skill.errors import JobError, SpecError, StorageError, UsageError
from tao_skill.jobs.identity import this_process
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.metric_learning.gallery.store import Contents, Entry, ModelOfGallery, change_gallery
from tao_skill.run.check_inputs import results_root_problems
from tao_skill.run.dispatch import NOT_RUNNABLE
from tao_skill.run.make_plan import plan_run
from tao_skill.run.plan import RunPlan
from tao_skill.run.request import RunRequest
from tao_skill.run.runner import run

MODEL = {"backbone": "resnet_50", "timm_name": "", "input_width": 96, "input_height": 96, "feat_dim": 64}


def plan(tmp_path: Path, action: str = "train", *overrides: Any, **options: Any) -> RunPlan:
    options.setdefault("results_root", str(tmp_path / "results"))
    return plan_run(RunRequest(action=action, overrides=list(overrides), **options))


def finished(tmp_path: Path, action: str = "train", status: JobStatus = JobStatus.COMPLETE, record: bool = True) -> str:
    """Write the record and the checkpoints of a job that ran."""
    store = JobStore(tmp_path / "results")
    job = store.create(JobRecord(job_id="20260101-000000-aaaaaa", skill="s", action=action, results_dir=""))
    folder = store.folder(job.job_id)
    store.update(job.job_id, results_dir=str(folder), status=JobStatus.RUNNING)
    store.update(job.job_id, status=status)
    (folder / action).mkdir()
    entries = []
    for epoch, metric in ((0, 0.3), (1, 0.7), (2, 0.5)):
        name = f"model_epoch_{epoch:03d}.pth"
        (folder / action / name).write_bytes(b"\x80\x02w")
        entries.append({"file": name, "kind": "periodic", "epoch": epoch, "step": epoch, "metrics": {"m": metric}})
    document = {"monitor": "m", "mode": "max", "model": MODEL, "transform": {"pixel_mean": [0.1, 0.2, 0.3]}}
    if record:
        text = json.dumps(document | {"checkpoints": entries, "latest": "model_epoch_002.pth"})
        (folder / action / "checkpoints.json").write_text(text)
    return job.job_id


def weights(tmp_path: Path) -> Path:
    """Return a file that stands for weights without a record beside them."""
    (tmp_path / "c.pth").write_bytes(b"\x80\x02w")
    return tmp_path / "c.pth"


def fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(str(path).encode() + (path.read_bytes() if path.is_file() else b""))
    return digest.hexdigest()


def test_nothing_is_written_and_the_skill_stays_as_it_is(skill: Skill, tmp_path: Path, data_root: Path) -> None:  # R18
    before = fingerprint(tmp_path)
    made = plan(tmp_path, "train", "automl_policy=off", data_root=str(data_root))
    assert fingerprint(tmp_path) == before
    assert made.job_id is None
    assert made.skill_dir == str(skill.directory)
    assert made.results_dir == f"{tmp_path}/results/<job id>"


@pytest.mark.usefixtures("skill")
def test_the_plan_is_a_document_with_a_schema(tmp_path: Path, data_root: Path) -> None:
    document = plan(tmp_path, data_root=str(data_root)).model_dump(mode="json")
    Draft202012Validator(RunPlan.model_json_schema()).validate(document)
    assert set(flatten(document["spec"])) <= set(document["provenance"])


@pytest.mark.parametrize(
    ("options", "dispatch", "policy"),
    [
        ({}, "tao-run-automl", "on"),  # R16 R19
        ({"automl_policy": "off"}, "trainer", "off"),
        ({"request": "plain training please"}, "trainer", "off"),  # R17
        ({"request": "don't turn off AutoML"}, "tao-run-automl", "on"),
        ({"automl_policy": "on", "request": "no HPO"}, "tao-run-automl", "on"),  # R15
    ],
)
@pytest.mark.usefixtures("skill")
def test_who_does_the_work(tmp_path: Path, data_root: Path, options: Any, dispatch: str, policy: str) -> None:
    made = plan(tmp_path, "train", data_root=str(data_root), **options)
    assert (made.dispatch, made.automl_policy) == (dispatch, policy)


@pytest.mark.usefixtures("skill")
def test_other_actions_never_go_to_automl(tmp_path: Path, data_root: Path) -> None:  # R23
    made = plan(
        tmp_path, "evaluate", f"evaluate.checkpoint={weights(tmp_path)}", data_root=str(data_root), automl_policy="on"
    )
    assert made.dispatch == "trainer"


@pytest.mark.usefixtures("skill")
def test_routing_keeps_every_override(tmp_path: Path, data_root: Path) -> None:  # R20
    overrides = [
        "results_dir=/out",
        "train.num_gpus=2",
        f"model.pretrained_model_path={weights(tmp_path)}",
        "train.seed=7",
    ]
    made = plan(tmp_path, "train", *overrides, data_root=str(data_root), automl_policy="on")
    assert made.dispatch == "tao-run-automl"
    flat = flatten(made.spec)
    for key, value in made.overrides.items():
        assert flat[key] == value
    assert made.results_dir == "/out"
    assert made.spec["train"]["gpu_ids"] == [0, 1]


@pytest.mark.parametrize("damage", ["no schema", "bad schema", "no template", "bad template"])
def test_without_schema_or_template_training_is_direct_and_says_so(  # R10 R21 R22
    skill: Skill, tmp_path: Path, data_root: Path, damage: str
) -> None:
    name = "schemas/train.schema.json" if "schema" in damage else "references/spec_template_train.yaml"
    if damage.startswith("no"):
        (skill.directory / name).unlink()
    else:
        (skill.directory / name).write_text("{: [")
    made = plan(tmp_path, "train", "train.num_epochs=3", data_root=str(data_root))
    assert made.dispatch == "trainer"
    assert NOT_RUNNABLE in " ".join(made.warnings)
    assert name in " ".join(made.warnings)
    assert made.spec["train"]["num_epochs"] == 3


def test_a_skill_without_automl_trains_directly(skill: Skill, tmp_path: Path, data_root: Path) -> None:
    path = skill.directory / "references" / "skill_info.yaml"
    path.write_text(path.read_text().replace("automl_enabled: true", "automl_enabled: false"))
    made = plan(tmp_path, "train", data_root=str(data_root))
    assert (made.dispatch, made.automl_policy) == ("trainer", "on")
    assert find_skill().info.automl_enabled is False


@pytest.mark.usefixtures("skill")
def test_missing_data_is_one_error_with_every_key_and_path(tmp_path: Path) -> None:  # R31
    with pytest.raises(SpecError) as caught:
        plan(tmp_path, "train", "dataset.train_dataset=", "train.num_epoch=3")
    keys = [problem.key for problem in caught.value.problems]
    assert sorted(keys) == [
        "dataset.train_dataset",
        "dataset.val_dataset.query",
        "dataset.val_dataset.reference",
        "train.num_epoch",
    ]
    assert "known_classes/train.tar.gz" in caught.value.problems[0].expected
    assert not (tmp_path / "results").exists()


@pytest.mark.usefixtures("skill")
def test_a_child_finds_the_best_checkpoint_and_its_settings(tmp_path: Path, data_root: Path) -> None:  # R59
    parent = finished(tmp_path)
    made = plan(tmp_path, "evaluate", data_root=str(data_root), parent_job_id=parent[:15])
    assert made.parent_job == parent
    assert made.spec["evaluate"]["checkpoint"] == f"{tmp_path}/results/{parent}/train/model_epoch_001.pth"
    assert "m = 0.7" in made.reasons["evaluate.checkpoint"]
    assert made.provenance["evaluate.checkpoint"] == "parent job"
    assert made.spec["model"]["feat_dim"] == 64
    assert made.spec["dataset"]["pixel_mean"] == [0.1, 0.2, 0.3]
    assert made.provenance["model.feat_dim"] == "checkpoint"
    assert made.provenance["dataset.pixel_std"] == "checkpoint (read at launch)"
    assert "pixel_std" not in made.spec["dataset"]


@pytest.mark.parametrize(("which", "epoch"), [("best", 1), ("latest", 2), ("0", 0)])
@pytest.mark.usefixtures("skill")
def test_which_checkpoint_of_the_parent(tmp_path: Path, data_root: Path, which: str, epoch: int) -> None:
    options = {"data_root": str(data_root), "parent_job_id": finished(tmp_path), "parent_checkpoint": which}
    checkpoint = plan(tmp_path, "inference", **options).spec["inference"]["checkpoint"]
    assert checkpoint.endswith(f"model_epoch_00{epoch}.pth")


@pytest.mark.usefixtures("skill")
def test_an_override_against_the_checkpoint_is_refused(tmp_path: Path, data_root: Path) -> None:
    parent = finished(tmp_path)
    with pytest.raises(SpecError, match="as in the checkpoint"):
        plan(tmp_path, "evaluate", "feat_dim=256", data_root=str(data_root), parent_job_id=parent)
    made = plan(tmp_path, "evaluate", "feat_dim=64", data_root=str(data_root), parent_job_id=parent)
    assert made.provenance["model.feat_dim"] == "shorthand"


@pytest.mark.usefixtures("skill")
def test_a_checkpoint_given_by_hand_has_its_record_read_too(tmp_path: Path, data_root: Path) -> None:
    folder = tmp_path / "results" / finished(tmp_path) / "train"
    checkpoint = f"evaluate.checkpoint={folder}/model_epoch_000.pth"
    assert plan(tmp_path, "evaluate", checkpoint, data_root=str(data_root)).spec["model"]["feat_dim"] == 64
    made = plan(tmp_path, "evaluate", f"evaluate.checkpoint={weights(tmp_path)}", data_root=str(data_root))
    assert "feat_dim" not in made.spec["model"]
    assert made.provenance["model.feat_dim"] == "checkpoint (read at launch)"


@pytest.mark.parametrize("status", [JobStatus.ERROR, JobStatus.CANCELED])
@pytest.mark.usefixtures("skill")
def test_a_parent_must_be_complete_unless_forced(tmp_path: Path, data_root: Path, status: JobStatus) -> None:
    options: dict[str, Any] = {"data_root": str(data_root), "parent_job_id": finished(tmp_path, status=status)}
    with pytest.raises(JobError, match=f"is {status}, not COMPLETE") as caught:
        plan(tmp_path, "evaluate", **options)
    assert "jobs resume" in caught.value.next_step
    assert plan(tmp_path, "evaluate", force_parent=True, **options).parent_job


@pytest.mark.usefixtures("skill")
def test_a_failed_export_is_not_to_be_resumed_but_forced(tmp_path: Path, data_root: Path) -> None:
    parent = finished(tmp_path, "export", JobStatus.ERROR)
    (tmp_path / "results" / parent / "export" / "model.onnx").write_bytes(b"o")
    options: dict[str, Any] = {"data_root": str(data_root), "parent_job_id": parent}
    with pytest.raises(JobError, match="is ERROR, not COMPLETE") as caught:
        plan(tmp_path, "evaluate", **options)
    assert "jobs resume" not in caught.value.next_step
    assert "--force-parent" in caught.value.next_step
    made = plan(tmp_path, "evaluate", force_parent=True, **options)
    assert made.spec["evaluate"]["checkpoint"].endswith("model.onnx")


@pytest.mark.usefixtures("skill")
def test_an_unknown_best_is_a_warning(tmp_path: Path, data_root: Path) -> None:
    made = plan(tmp_path, "evaluate", data_root=str(data_root), parent_job_id=finished(tmp_path, record=False))
    assert made.spec["evaluate"]["checkpoint"].endswith("model_epoch_002.pth")
    assert "No metric was recorded" in " ".join(made.warnings)


@pytest.mark.usefixtures("skill")
def test_deploy_actions_can_be_planned(tmp_path: Path) -> None:
    parent = finished(tmp_path)
    made = plan(tmp_path, "export", parent_job_id=parent)
    assert made.spec["export"]["onnx_file"] == f"{tmp_path}/results/<job id>/export/model.onnx"
    made = plan(tmp_path, "gen_trt_engine", f"gen_trt_engine.onnx_file={weights(tmp_path)}")
    assert made.spec["gen_trt_engine"]["trt_engine"].endswith("gen_trt_engine/model.engine")


@pytest.mark.usefixtures("skill")
def test_calibration_images_are_looked_for_where_int8_is_asked_for(tmp_path: Path) -> None:
    key = "gen_trt_engine.tensorrt.calibration.cal_image_dir"
    (tmp_path / "data").mkdir()
    given = [f"gen_trt_engine.onnx_file={weights(tmp_path)}"]
    made = plan(tmp_path, "gen_trt_engine", *given, data_root=str(tmp_path / "data"))
    assert key not in made.inputs
    assert not any("calibration" in warning for warning in made.warnings)
    int8 = [*given, "gen_trt_engine.tensorrt.data_type=INT8"]
    with pytest.raises(SpecError) as caught:
        plan(tmp_path, "gen_trt_engine", *int8, data_root=str(tmp_path / "data"))
    assert [problem.key for problem in caught.value.problems] == [key]
    images = tmp_path / "images"
    images.mkdir()
    made = plan(tmp_path, "gen_trt_engine", *given, f"{key}=[{images}]")
    assert any(warning.startswith(f"{key} has no effect") for warning in made.warnings)


@pytest.mark.usefixtures("skill")
def test_what_cannot_be_asked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no action 'trian'") as caught:
        plan(tmp_path, "trian")
    assert "did you mean train" in caught.value.problems[0].expected
    with pytest.raises(UsageError, match="only on and off"):
        plan(tmp_path, "train", automl_policy="auto")
    with pytest.raises(UsageError, match="parent-checkpoint"):
        plan(tmp_path, "evaluate", parent_checkpoint="newest")
    with pytest.raises(JobError, match="There is no job"):
        plan(tmp_path, "evaluate", parent_job_id="nope")


@pytest.mark.usefixtures("skill")
def test_relative_inputs_become_absolute(tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    weights(tmp_path)
    made = plan(tmp_path, "evaluate", "evaluate.checkpoint=c.pth", data_root=data_root.name)
    assert made.spec["evaluate"]["checkpoint"] == str(tmp_path / "c.pth")
    assert made.inputs["dataset.val_dataset.query"][0].startswith(str(data_root))
    made = plan(tmp_path, "train", data_root="s3://bucket/data", automl_policy="off")
    assert made.spec["dataset"]["train_dataset"].startswith("s3://bucket/data/metric")


@pytest.mark.usefixtures("skill")
def test_inputs_that_are_not_there_are_told_with_all_else(tmp_path: Path, data_root: Path) -> None:  # R31
    for name in ("empty", "data/full/cat"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "plain.txt").write_text("no archive")
    (tmp_path / "set.tgz").write_bytes(b"an archive by its name")
    overrides = [
        f"dataset.train_dataset={tmp_path}/nowhere/train",
        f"dataset.val_dataset.reference={tmp_path}/empty",
        f"dataset.val_dataset.query={tmp_path}/plain.txt",
        f"model.pretrained_trunk_path={tmp_path}/none.pth",
        "train.resume_training_checkpoint_path=file://host/x.pth",
        "train.num_epoch=3",
    ]
    with pytest.raises(SpecError) as caught:
        plan(tmp_path, "train", *overrides, results_root=str(tmp_path / "plain.txt" / "jobs"))
    said = {problem.key: problem.expected for problem in caught.value.problems}
    assert len(said) == len(caught.value.problems) == 7
    assert f"the nearest is {tmp_path}" in said["dataset.train_dataset"]
    assert "holds none" in said["dataset.val_dataset.reference"]
    assert "archive" in said["dataset.val_dataset.query"] or ".tar" in said["dataset.val_dataset.query"]
    assert "none.pth" in said["model.pretrained_trunk_path"]
    assert "another machine" in said["train.resume_training_checkpoint_path"]
    assert "is a file" in said["results_root"]
    assert "train.num_epochs" in said["train.num_epoch"]
    good = [f"dataset.train_dataset={tmp_path}/set.tgz", "dataset.val_dataset.query=s3://bucket/none"]
    made = plan(tmp_path, "train", *good, data_root=str(data_root))
    assert made.inputs
    (note,) = [warning for warning in made.warnings if "dry run" in warning]
    assert "dataset.val_dataset.query. The run looks before anything moves" in note


@pytest.mark.parametrize(("kind", "wrong"), [("classification_folder", True), ("image_folder", False)])
@pytest.mark.usefixtures("skill")
def test_only_class_folders_must_hold_folders(
    tmp_path: Path, data_root: Path, pixel: bytes, kind: str, wrong: bool
) -> None:
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "0.png").write_bytes(pixel)
    overrides = [f"inference.checkpoint={weights(tmp_path)}", f"inference.input_path={tmp_path}/flat"]
    overrides.append(f"inference.inference_input_type={kind}")
    if wrong:
        with pytest.raises(SpecError, match="a folder for each class"):
            plan(tmp_path, "inference", *overrides, data_root=str(data_root))
    else:
        assert plan(tmp_path, "inference", *overrides, data_root=str(data_root)).inputs


def test_a_results_root_that_cannot_be_written(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    assert [problem.key for problem in results_root_problems(tmp_path / "results")] == ["results_root"]


@pytest.mark.usefixtures("skill")
def test_a_gallery_takes_the_references_place(data_root: Path, tmp_path: Path) -> None:
    contents = Contents.of(ModelOfGallery("abc", 2, "m.pth"), [Entry("c0", "/gone/0.png", "0")], np.ones((1, 2), "f4"))
    change_gallery(tmp_path / "shop", lambda _: contents)
    asked = [f"inference.checkpoint={weights(tmp_path)}", f"inference.gallery={tmp_path / 'shop'}"]
    planned = plan(tmp_path, "inference", *asked, data_root=str(data_root))
    assert planned.inputs["inference.gallery"] == [str(tmp_path / "shop")]
    assert "dataset.val_dataset.reference" not in planned.inputs
    assert "dataset.val_dataset.reference" not in planned.overrides
    with pytest.raises(SpecError) as caught:
        plan(tmp_path, "inference", asked[0], f"inference.gallery={tmp_path / 'none'}", data_root=str(data_root))
    assert [problem.key for problem in caught.value.problems] == ["inference.gallery"]


@pytest.mark.usefixtures("skill")
@pytest.mark.parametrize("settings", [{"automl": [{"automl_seed": 3}]}, {"overrides": ["automl_seed=3"]}])
def test_settings_of_a_search_that_is_none_are_checked_and_told(
    tmp_path: Path, data_root: Path, settings: dict[str, Any]
) -> None:
    asked = {"action": "train", "data_root": str(data_root), "results_root": str(tmp_path), "automl_policy": "off"}
    made = plan_run(RunRequest(**asked, **settings))
    assert [one for one in made.warnings if one.startswith("automl_seed does nothing in this run, which is no search")]
    wrong = json.loads(json.dumps(settings).replace("automl_seed", "automl_sede"))
    with pytest.raises(SpecError) as caught:
        plan_run(RunRequest(**asked, **wrong))
    assert caught.value.problems[0].expected == "no such setting; the nearest is automl_seed"


@pytest.mark.usefixtures("skill")
def test_places_to_write_are_absolute(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # so that a job is found from any folder
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for given, place in {
        "out": tmp_path / "out",
        "~/out": tmp_path / "home" / "out",
        f"file://{tmp_path}/a%20b": tmp_path / "a b",
    }.items():
        made = plan(tmp_path, "train", "automl_policy=off", f"results_dir={given}", data_root=str(data_root))
        assert (made.results_dir, made.spec["results_dir"]) == (str(place), str(place))
        made = plan(tmp_path, "train", "automl_policy=off", f"train.results_dir={given}", data_root=str(data_root))
        assert made.spec["train"]["results_dir"] == str(place)


@pytest.mark.usefixtures("skill")
@pytest.mark.parametrize("place", ["s3://bucket/out", "~nobody-here/out", "file://elsewhere/out"])
@pytest.mark.parametrize("key", ["results_dir", "train.results_dir"])
def test_places_that_nothing_can_be_written_to(tmp_path: Path, data_root: Path, key: str, place: str) -> None:
    with pytest.raises(SpecError) as caught:
        plan(tmp_path, "train", "automl_policy=off", f"{key}={place}", data_root=str(data_root))
    assert [problem.key for problem in caught.value.problems] == [key]


@pytest.mark.usefixtures("skill")
def test_two_jobs_do_not_write_into_one_folder(tmp_path: Path, data_root: Path) -> None:
    store = JobStore(tmp_path / "results")
    for number, live in enumerate((True, False)):
        folder = tmp_path / f"out{number}"
        job = store.create(
            JobRecord(job_id=f"job-{number}", skill="s", action="train", results_dir=str(folder), **this_process())
        )
        words = ("automl_policy=off", f"results_dir={folder}")
        if live:
            with pytest.raises(JobError, match="job-0 works in"):
                plan(tmp_path, "train", *words, data_root=str(data_root))
            # Another action has a folder of its own there.
            checkpoint = f"evaluate.checkpoint={weights(tmp_path)}"
            plan(tmp_path, "evaluate", words[1], checkpoint, data_root=str(data_root))
            continue
        store.update(job.job_id, status=JobStatus.ERROR)
        plan(tmp_path, "train", *words, data_root=str(data_root))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("~nobody-here/x", "nobody's home"),
        (f"/tmp/{'x' * 300}/y", "File name too long"),
        (f"/{'x' * 300}.tar.gz", "File name too long"),
        (f"file:///{'x' * 300}/y", "File name too long"),
    ],
)
@pytest.mark.parametrize("key", ["dataset.train_dataset", "model.pretrained_model_path"])
@pytest.mark.usefixtures("skill")
def test_paths_that_can_not_be_looked_at_are_problems(
    tmp_path: Path, data_root: Path, key: str, text: str, says: str
) -> None:
    with pytest.raises(SpecError) as caught:
        plan(tmp_path, "train", "automl_policy=off", f"{key}={text}", data_root=str(data_root))
    assert [problem.key for problem in caught.value.problems] == [key]
    assert says in caught.value.problems[0].expected


@pytest.mark.usefixtures("skill")
def test_a_malformed_link_is_planned_and_refused_when_it_is_followed(tmp_path: Path, data_root: Path) -> None:
    asked = RunRequest(
        action="train", overrides=["automl_policy=off", "dataset.train_dataset=http://[bad/x.tar.gz?sig=topsecret"],
        data_root=str(data_root), results_root=str(tmp_path / "results"),
    )  # fmt: skip
    assert plan_run(asked).inputs["dataset.train_dataset"] == ["http://[bad/x.tar.gz?sig=topsecret"]
    with pytest.raises(StorageError) as caught:
        run(asked)
    (problem,) = caught.value.problems
    assert (problem.key, problem.value) == ("dataset.train_dataset", "http://[bad/x.tar.gz?hidden")


@pytest.mark.usefixtures("skill")
def test_names_are_taken_as_they_are_written(tmp_path: Path, data_root: Path) -> None:
    made = plan(
        tmp_path, "train", "automl_policy=off", "wandb.name=2024-01-01", "wandb.project=on", data_root=str(data_root)
    )
    assert (made.spec["wandb"]["name"], made.spec["wandb"]["project"]) == ("2024-01-01", "on")


@pytest.mark.usefixtures("skill")
def test_options_that_do_nothing_are_named(tmp_path: Path, data_root: Path) -> None:
    job = finished(tmp_path)
    words = ("train", "automl_policy=off")
    warnings = plan(tmp_path, *words, data_root=str(data_root), parent_checkpoint="latest", force_parent=True).warnings
    assert "--parent-checkpoint does nothing without --parent-job-id." in warnings
    assert "--force-parent does nothing without --parent-job-id." in warnings
    made = plan(tmp_path, "export", data_root=str(data_root), parent_job_id=job, parent_checkpoint="latest")
    assert [one for one in made.warnings if "does nothing" in one] == [
        "--data-root does nothing: export has no data sources below one."
    ]
    named = f"export.sample_images={{S3_TRAIN}}/{next(data_root.rglob('known_classes')).relative_to(data_root)}"
    made = plan(tmp_path, "export", named, data_root=str(data_root), parent_job_id=job)
    assert not [one for one in made.warnings if "does nothing" in one]


@pytest.mark.usefixtures("skill")
def test_a_signed_link_is_no_data_root(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        plan(tmp_path, "train", "automl_policy=off", "train.num_epoch=3", data_root="https://h/d?sig=topsecret")
    said = {problem.key: problem for problem in caught.value.problems}
    assert set(said) == {"--data-root", "train.num_epoch"}
    assert said["--data-root"].value == "https://h/d?hidden"


@pytest.mark.usefixtures("skill")
def test_files_that_stay_on_this_machine_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAO_SKILL_STATE", str(tmp_path / "state"))
    words = ("export", f"export.checkpoint={weights(tmp_path)}")
    warnings = plan(
        tmp_path, *words, f"export.onnx_file={tmp_path}/m.onnx", results_root="s3://bucket/results"
    ).warnings
    assert any(one.startswith("export.onnx_file lies outside") and "s3://bucket/results" in one for one in warnings)
    for more in ([], [f"results_dir={tmp_path}/out"], [f"export.results_dir={tmp_path}/out"]):
        warnings = plan(tmp_path, *words, *more, results_root="s3://bucket/results").warnings
        assert not any("lies outside" in one for one in warnings)
