"""The plan: everything decided, nothing written."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from tao_skill.bank.skill import Skill, find_skill
from tao_skill.config.keys import flatten
from tao_skill.errors import JobError, SpecError, UsageError
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.metric_learning.gallery.store import Contents, Entry, ModelOfGallery, change_gallery
from tao_skill.run.dispatch import NOT_RUNNABLE
from tao_skill.run.make_plan import plan_run
from tao_skill.run.plan import RunPlan
from tao_skill.run.request import RunRequest

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
def test_other_actions_never_go_to_automl(tmp_path: Path, data_root: Path, weights: Path) -> None:  # R23
    made = plan(tmp_path, "evaluate", f"evaluate.checkpoint={weights}", data_root=str(data_root), automl_policy="on")
    assert made.dispatch == "trainer"


@pytest.mark.usefixtures("skill")
def test_routing_keeps_every_override(tmp_path: Path, data_root: Path, weights: Path) -> None:  # R20
    overrides = [
        "results_dir=/out",
        "train.num_gpus=2",
        f"model.pretrained_model_path={weights}",
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
def test_a_checkpoint_given_by_hand_has_its_record_read_too(tmp_path: Path, data_root: Path, weights: Path) -> None:
    folder = tmp_path / "results" / finished(tmp_path) / "train"
    checkpoint = f"evaluate.checkpoint={folder}/model_epoch_000.pth"
    assert plan(tmp_path, "evaluate", checkpoint, data_root=str(data_root)).spec["model"]["feat_dim"] == 64
    made = plan(tmp_path, "evaluate", f"evaluate.checkpoint={weights}", data_root=str(data_root))
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
def test_deploy_actions_can_be_planned(tmp_path: Path, weights: Path) -> None:
    parent = finished(tmp_path)
    made = plan(tmp_path, "export", parent_job_id=parent)
    assert made.spec["export"]["onnx_file"] == f"{tmp_path}/results/<job id>/export/model.onnx"
    made = plan(tmp_path, "gen_trt_engine", f"gen_trt_engine.onnx_file={weights}")
    assert made.spec["gen_trt_engine"]["trt_engine"].endswith("gen_trt_engine/model.engine")


@pytest.mark.usefixtures("skill")
def test_calibration_images_are_looked_for_where_int8_is_asked_for(tmp_path: Path, weights: Path) -> None:
    key = "gen_trt_engine.tensorrt.calibration.cal_image_dir"
    (tmp_path / "data").mkdir()
    given = [f"gen_trt_engine.onnx_file={weights}"]
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
def test_a_gallery_takes_the_references_place(data_root: Path, tmp_path: Path, weights: Path) -> None:
    contents = Contents.of(ModelOfGallery("abc", 2, "m.pth"), [Entry("c0", "/gone/0.png", "0")], np.ones((1, 2), "f4"))
    change_gallery(tmp_path / "shop", lambda _: contents)
    asked = [f"inference.checkpoint={weights}", f"inference.gallery={tmp_path / 'shop'}"]
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
@pytest.mark.parametrize(
    ("intervals", "told"), [((20, 1), True), ((20, 20), False), ((1, 5), False), ((20, None), False)]
)
def test_epochs_that_stopped_trials_would_train_again_are_told(
    tmp_path: Path, data_root: Path, intervals: tuple[int, int | None], told: bool
) -> None:
    words = [f"train.checkpoint_interval={intervals[0]}"]
    words += [f"train.validation_interval={intervals[1]}"] if intervals[1] else []
    warnings = plan(tmp_path, "train", *words, data_root=str(data_root)).warnings
    assert any("To lose none: train.checkpoint_interval=1" in warning for warning in warnings) == told
