"""Reading files of weights safely."""

import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tao_skill.errors import CheckpointError
from tao_skill.metric_learning.model.weight_file import UNSAFE_VARIABLE, read_file, tensors_in

KEY = "evaluate.checkpoint"


class Config(dict[str, Any]):
    """Stands for the configuration objects that other trainers pickle into their checkpoints."""


class Attack:
    """Runs a command when it is unpickled without care."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.witness}",)


def test_tensors_and_plain_data_are_read(tmp_path: Path) -> None:  # R57
    torch.save({"state_dict": {"a": torch.ones(2)}, "epoch": 3}, tmp_path / "x.pth")
    content = read_file(tmp_path / "x.pth", KEY)
    assert content["epoch"] == 3
    assert torch.equal(tensors_in(content)["a"], torch.ones(2))


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    assert torch.equal(read_file(tmp_path / "x.safetensors", KEY)["a"], torch.ones(2))


def test_pickled_objects_are_refused_with_the_reason(tmp_path: Path) -> None:  # R57
    torch.save({"state_dict": {"a": torch.ones(2)}, "cfg": Config(a=1)}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError) as raised:
        read_file(tmp_path / "x.pth", KEY)
    assert "Config" in raised.value.message
    assert f"{UNSAFE_VARIABLE}=1" in raised.value.next_step
    assert raised.value.problems[0].key == KEY


def test_code_in_a_file_does_not_run(tmp_path: Path) -> None:
    torch.save({"a": Attack(tmp_path / "witness")}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="system, and loading such objects can run any code") as raised:
        read_file(tmp_path / "x.pth", KEY)
    assert UNSAFE_VARIABLE not in raised.value.next_step
    assert not (tmp_path / "witness").exists()


def test_the_documented_switch_is_honoured_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # R57
    torch.save({"state_dict": {"a": torch.ones(2)}, "cfg": Config(a=1)}, tmp_path / "x.pth")
    monkeypatch.setenv(UNSAFE_VARIABLE, "1")
    with pytest.warns(UserWarning, match="any code"):
        content = read_file(tmp_path / "x.pth", KEY)
    assert content["cfg"]["a"] == 1


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04broken"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_file_is_named(tmp_path: Path, content: bytes, suffix: str) -> None:
    file = tmp_path / f"x{suffix}"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="is damaged or no file of weights"):
        read_file(file, KEY)


def test_truncated_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.pth"
    torch.save({"a": torch.ones(1000)}, file)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match="damaged"):
        read_file(file, KEY)


@pytest.mark.parametrize("make", [lambda _: None, Path.mkdir], ids=["missing", "folder"])
def test_path_that_is_no_file_is_named(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="can't be read"):
        read_file(tmp_path / "x.pth", KEY)


def test_tensor_alone_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save(torch.ones(2), tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="no weights"):
        read_file(tmp_path / "x.pth", KEY)


def test_safe_reading_warns_of_nothing(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "x.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_file(tmp_path / "x.pth", KEY)
