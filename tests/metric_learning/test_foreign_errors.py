"""What the machine ran out of is said in the project's words."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tao_skill.config.keys import nest
from tao_skill.config.yaml_text import dump_yaml
from tao_skill.errors import JobError, StorageError
from tao_skill.metric_learning.foreign_errors import translated

SPEC = {"train": {"batch_size": 64}, "model": {"input_width": 512, "input_height": 256}}


def limited(limit: str, spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train in a process under a limit of the shell's `ulimit`, and return the error it leaves."""
    (folder / "spec.yaml").write_text(dump_yaml(nest(spec | {"results_dir": str(folder), "wandb.enable": False})))
    words = f"{shlex.quote(sys.executable)} -m tao_skill.cli.ml_recog train -e {folder}/spec.yaml --json"
    done = subprocess.run(["bash", "-c", f"ulimit {limit}; {words}"], capture_output=True, text=True, check=False)
    error: dict[str, Any] = json.loads(done.stdout)["error"]
    assert json.loads((folder / "train" / "error.json").read_text()) == error
    return error


def test_checkpoint_that_does_not_fit_on_the_disk(spec: dict[str, Any], tmp_path: Path) -> None:
    error = limited("-f 2000", spec, tmp_path)  # files of 2 MB: a checkpoint is larger
    assert error["code"] == "storage_error"
    assert str(tmp_path / "train") in error["message"]
    assert not list((tmp_path / "train").glob("*.pth"))


def test_memory_that_runs_out(spec: dict[str, Any], tmp_path: Path) -> None:
    large = {"model.input_width": 4096, "model.input_height": 4096, "train.val_batch_size": 64}
    error = limited("-v 7000000", spec | large, tmp_path)
    assert error["code"] == "job_error"
    assert "Memory ran out" in error["message"]
    assert {problem["key"] for problem in error["problems"]} >= {"train.batch_size", "model.input_width"}


@pytest.mark.parametrize(
    ("raised", "kind", "says"),
    [
        (OSError(28, "No space left on device"), StorageError, "No space left"),
        (RuntimeError("CUDA error: out of memory"), JobError, "on the GPU"),
        (MemoryError(), JobError, "on the machine"),
        (RuntimeError("shapes differ"), RuntimeError, "shapes differ"),
        (StorageError("known"), StorageError, "known"),
    ],
)
def test_only_what_is_known_is_translated(raised: Exception, kind: type[Exception], says: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=says), translated("train", SPEC, tmp_path):
        raise raised


def test_settings_that_need_memory_are_named(tmp_path: Path) -> None:
    with pytest.raises(JobError) as caught, translated("train", SPEC, tmp_path):
        raise MemoryError
    assert [problem.key for problem in caught.value.problems] == [
        "train.batch_size", "model.input_width", "model.input_height",
    ]  # fmt: skip
