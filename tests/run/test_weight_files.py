"""Files that can't be weights, told by a few bytes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tao_skill.run.weight_files import trouble_with_weights


@pytest.mark.parametrize("new", [True, False], ids=["zip", "pickle"])
def test_what_pytorch_writes_is_good(tmp_path: Path, new: bool) -> None:
    torch.save({"a": torch.ones(1000)}, tmp_path / "x.pth", _use_new_zipfile_serialization=new)
    assert trouble_with_weights(tmp_path / "x.pth") == ""


def test_safetensors(tmp_path: Path) -> None:
    save_file({"a": torch.ones(3)}, tmp_path / "x.safetensors")
    assert trouble_with_weights(tmp_path / "x.safetensors") == ""
    (tmp_path / "x.safetensors").write_bytes(b"no checkpoint at all")
    assert "header" in trouble_with_weights(tmp_path / "x.safetensors")


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1000)}, tmp_path / "x.pth")
    (tmp_path / "x.pth").write_bytes((tmp_path / "x.pth").read_bytes()[:-500])
    assert "cut off" in trouble_with_weights(tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"<html>not found</html>", "begins like nothing"),
    ],
)
def test_what_stands_in_for_weights(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    assert reason in trouble_with_weights(tmp_path / "x.pt")


def test_other_names_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"anything")
    assert trouble_with_weights(tmp_path / "model.onnx") == ""
