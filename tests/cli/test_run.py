"""`run`: the plan, and a job from the command line."""

import json
import zipfile
from pathlib import Path

import pytest

from tao_skill.cli.main import main
from tao_skill.errors import SpecError, UsageError


@pytest.fixture(autouse=True)
def _own_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TAO_RESULTS_ROOT", raising=False)


def test_a_dry_run_for_machines(tmp_path: Path, data_root: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "train", "--dry-run", "--json", "--data-root", data_root, "--overrides", "num_epochs=3"]
    assert main([*words, "--overrides", "automl_policy=off", "train.seed=1"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["job_id"] is None
    assert (plan["action"], plan["automl_policy"], plan["dispatch"]) == ("train", "off", "trainer")
    assert Path(plan["skill_dir"]).joinpath("SKILL.md").is_file()
    assert plan["spec"]["train"]["num_epochs"] == 3
    assert plan["provenance"]["train.num_epochs"] == "shorthand"
    assert plan["provenance"]["train.seed"] == "override"
    assert plan["preflight"]["recommended_gpus"] == 2  # R55
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_for_people(data_root: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "train", "--dry-run", "--data-root", data_root, "--request", "plain training"]) == 0
    out, _ = capsys.readouterr()
    assert "'plain training'" in out
    assert "Nothing was written" in out


def test_training_goes_to_automl_by_default(
    tmp_path: Path, data_root: str, capsys: pytest.CaptureFixture[str]
) -> None:  # R16 R19
    assert main(["run", "train", "--dry-run", "--json", "--data-root", data_root]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["automl_policy"], plan["dispatch"]) == ("on", "tao-run-automl")
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_fails_has_a_result_and_an_error(
    tmp_path: Path, pixel: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Start the real action in a process of its own: evaluation with an archive that is no checkpoint."""
    for name in ("r", "q"):
        (tmp_path / name / "cat").mkdir(parents=True)
        (tmp_path / name / "cat" / "0.png").write_bytes(pixel)
    with zipfile.ZipFile(tmp_path / "c.pth", "w") as archive:
        archive.writestr("a.txt", "no checkpoint")
    overrides = ["evaluate.checkpoint=c.pth", "dataset.val_dataset.reference=r", "dataset.val_dataset.query=q"]
    code = main(["run", "evaluate", "--json", "--results-root", "out", "--overrides", *overrides])
    result = json.loads(capsys.readouterr().out)
    assert code not in (0, 70)
    assert result["status"] == "ERROR"
    assert result["error"]["code"] == "checkpoint_error"
    assert result["error"]["message"]
    folder = tmp_path / "out" / result["job_id"]
    assert result["results_dir"] == str(folder)
    assert json.loads((folder / "job.json").read_text())["error"]["message"] == result["error"]["message"]
    assert main(["jobs", "logs", result["job_id"], "--results-root", "out"]) == 0
    assert "error" in capsys.readouterr().out
    assert main(["run", "evaluate", "--results-root", "out", "--overrides", *overrides]) == code
    out, err = capsys.readouterr()
    assert "evaluate ERROR" in out
    assert err.count(result["error"]["message"]) == 1


def test_a_dry_run_tells_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "train", "--dry-run", "--json", "--data-root", str(tmp_path / "none"), "--overrides"]
    assert main([*words, "train.batch_size=0"]) == SpecError.exit_code
    problems = {one["key"] for one in json.loads(capsys.readouterr().out)["error"]["problems"]}
    assert {"dataset.train_dataset", "dataset.val_dataset.query", "train.batch_size"} <= problems


def test_force_overwrites_where_an_action_names_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.pth").write_bytes(b"\x80\x02weights")
    words = ["--dry-run", "--json", "--force", "--overrides", "export.checkpoint=c.pth"]
    assert main(["run", "export", *words]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["spec"]["export"]["force"] is True
    assert main(["run", "evaluate", "--dry-run", "--json", "--force"]) == UsageError.exit_code
    assert "export or gen_trt_engine" in capsys.readouterr().out


def test_short_names_of_the_deploy_side_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # R73
    (tmp_path / "m.onnx").write_bytes(b"model")
    (tmp_path / "images").mkdir()
    given = ["gen_trt_engine.onnx_file=m.onnx", "gen_trt_engine.tensorrt.calibration.cal_image_dir=[images]"]
    short = ["trt_data_type=INT8", "cal_batch_size=4", "cal_batches=3", "batch_size=8", "trt_engine=my.engine"]
    assert main(["run", "gen_trt_engine", "--dry-run", "--json", "--overrides", *given, *short]) == 0
    plan = json.loads(capsys.readouterr().out)
    section = plan["spec"]["gen_trt_engine"]
    calibration = section["tensorrt"]["calibration"]
    assert (section["tensorrt"]["data_type"], section["batch_size"]) == ("INT8", 8)
    assert (calibration["cal_batch_size"], calibration["cal_batches"]) == (4, 3)
    assert section["trt_engine"].endswith("my.engine")
    assert plan["provenance"]["gen_trt_engine.tensorrt.data_type"] == "shorthand"


def test_files_that_can_not_be_written_are_told_before_a_job_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.pth").write_bytes(b"\x80\x02weights")
    (tmp_path / "taken.onnx").mkdir()
    words = ["run", "export", "--dry-run", "--json", "--overrides", "export.checkpoint=c.pth"]
    for target, expected in (
        ("s3://bucket/m.onnx", "--results-root"),
        ("taken.onnx", "is a folder"),
        ("m.bin", "ends with .onnx"),
        ("c.pth/m.onnx", "is a file"),
    ):
        assert main([*words, f"export.onnx_file={target}"]) == SpecError.exit_code
        (problem,) = json.loads(capsys.readouterr().out)["error"]["problems"]
        assert problem["key"] == "export.onnx_file"
        assert expected in problem["expected"]
    assert main([*words, "export.onnx_file=new/m.onnx"]) == 0
    # Whoever starts from this job may do so in another folder.
    assert json.loads(capsys.readouterr().out)["spec"]["export"]["onnx_file"] == str(tmp_path / "new" / "m.onnx")
