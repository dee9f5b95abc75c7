"""Where a plan reads from and writes to: looked at before anything runs."""

import os
from pathlib import Path
from typing import Any

import pytest

from tao_skill.errors import JobError, SpecError, StorageError
from tao_skill.jobs.identity import this_process
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.check_inputs import results_root_problems
from tao_skill.run.make_plan import plan_run
from tao_skill.run.plan import RunPlan
from tao_skill.run.request import RunRequest
from tao_skill.run.runner import run


def plan(tmp_path: Path, action: str = "train", *overrides: Any, **options: Any) -> RunPlan:
    options.setdefault("results_root", str(tmp_path / "results"))
    return plan_run(RunRequest(action=action, overrides=list(overrides), **options))


@pytest.mark.usefixtures("skill")
def test_relative_inputs_become_absolute(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    made = plan(tmp_path, "evaluate", f"evaluate.checkpoint={weights.name}", data_root=data_root.name)
    assert made.spec["evaluate"]["checkpoint"] == str(weights)
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


@pytest.mark.parametrize("kind", ["classification_folder", "image_folder"])
@pytest.mark.usefixtures("skill")
def test_only_class_folders_must_hold_folders(
    tmp_path: Path, data_root: Path, pixel: bytes, kind: str, weights: Path
) -> None:
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "0.png").write_bytes(pixel)
    overrides = [f"inference.checkpoint={weights}", f"inference.input_path={tmp_path}/flat"]
    overrides.append(f"inference.inference_input_type={kind}")
    if kind == "classification_folder":
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
def test_two_jobs_do_not_write_into_one_folder(tmp_path: Path, data_root: Path, weights: Path) -> None:
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
            checkpoint = f"evaluate.checkpoint={weights}"
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
def test_a_signed_link_is_no_data_root(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        plan(tmp_path, "train", "automl_policy=off", "train.num_epoch=3", data_root="https://h/d?sig=topsecret")
    said = {problem.key: problem for problem in caught.value.problems}
    assert set(said) == {"--data-root", "train.num_epoch"}
    assert said["--data-root"].value == "https://h/d?hidden"


@pytest.mark.usefixtures("skill")
def test_files_that_stay_on_this_machine_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    monkeypatch.setenv("TAO_SKILL_STATE", str(tmp_path / "state"))
    words = ("export", f"export.checkpoint={weights}")
    warnings = plan(
        tmp_path, *words, f"export.onnx_file={tmp_path}/m.onnx", results_root="s3://bucket/results"
    ).warnings
    assert any(one.startswith("export.onnx_file lies outside") and "s3://bucket/results" in one for one in warnings)
    for more in ([], [f"results_dir={tmp_path}/out"], [f"export.results_dir={tmp_path}/out"]):
        warnings = plan(tmp_path, *words, *more, results_root="s3://bucket/results").warnings
        assert not any("lies outside" in one for one in warnings)
