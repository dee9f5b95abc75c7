"""`ml_recog`: the trainer as a person or a runner starts it."""

import json
from pathlib import Path

import pytest

from tao_skill.cli.ml_recog import _read_spec, main
from tao_skill.errors import CheckpointError


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(f"results_dir: {tmp_path}/job\nexport:\n  checkpoint: /c.pth\n  opset_version: 18\n")
    return path


def test_trailing_overrides_win(spec: Path, tmp_path: Path) -> None:
    read = _read_spec("export", str(spec), ["export.opset_version=20", "model.feat_dim=8"])
    assert read == {
        "results_dir": f"{tmp_path}/job",
        "export": {"checkpoint": "/c.pth", "opset_version": 20},
        "model": {"feat_dim": 8},
    }


def test_an_error_is_left_where_the_runner_looks(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "job" / "export"
    folder.mkdir(parents=True)
    (folder / "error.json").write_text("old")
    code = main(["export", "-e", str(spec), "export.opset_version=19", "--json"])
    error = json.loads(capsys.readouterr().out)["error"]
    assert code == CheckpointError.exit_code
    assert json.loads((folder / "error.json").read_text()) == error


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["train"],
        ["train", "-e"],
        ["trian", "-e", "{spec}"],
        ["train", "-e", "/none.yaml"],
        ["train", "-e", "{spec}", "x"],
    ],
)
def test_wrong_usage_is_json_too(words: list[str], spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main([word.format(spec=spec) for word in words] + ["--json"])
    assert code in (2, 3)
    assert json.loads(capsys.readouterr().out)["error"]["message"]


def test_interpolations_are_refused_by_key(spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.write_text(
        f"results_dir: {tmp_path}/job\nroot: /d\nexport: {{checkpoint: '${{root}}/c.pth', gpu_ids: ['${{x}}']}}\n"
    )
    assert main(["export", "-e", str(spec), "--json"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert "aren't resolved" in error["message"]
    assert [problem["key"] for problem in error["problems"]] == ["export.checkpoint", "export.gpu_ids"]
    assert not (tmp_path / "job").exists()
