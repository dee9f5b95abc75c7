"""What a job left in its folder."""

import json
from pathlib import Path

import pytest

from tao_skill.errors import CheckpointError
from tao_skill.run.checkpoint_choice import select
from tao_skill.run.checkpoint_files import find_candidates, read_record


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"weights")


def write_record(folder: Path, mode: str = "max", monitor: str = "val Precision at Rank 1") -> None:
    document = {
        "schema_version": 1,
        "monitor": monitor,
        "mode": mode,
        "checkpoints": [
            {"file": "a.pth", "kind": "periodic", "epoch": 1, "step": 10, "metrics": {monitor: 0.2}},
            {"file": "b.pth", "kind": "periodic", "epoch": 2, "step": 20, "metrics": {monitor: 0.6}},
            {"file": "gone.pth", "kind": "periodic", "epoch": 3, "step": 30, "metrics": {monitor: 0.9}},
        ],
        "latest": "b.pth",
        "best": "gone.pth",
    }
    (folder / "checkpoints.json").write_text(json.dumps(document))


def test_files_are_found_in_all_folders_but_the_skipped(tmp_path: Path) -> None:
    write(tmp_path, "train/a_epoch_1.pth", "train/ptm/r.pth", "train/inputs/x.pth", "train/notes.txt", "b.onnx")
    (tmp_path / "train" / "empty.pth").touch()
    assert [one.path for one in find_candidates(tmp_path)] == ["b.onnx", "train/a_epoch_1.pth"]
    assert find_candidates(tmp_path / "none") == []


def test_the_folders_own_path_counts_for_nothing(tmp_path: Path) -> None:
    write(tmp_path / "inputs" / "best_buy", "model_epoch_1.pth", "model_epoch_2.pth")
    assert select(find_candidates(tmp_path / "inputs" / "best_buy"), "torch", "latest").epoch == 2


def test_the_record_is_used_for_files_that_exist(tmp_path: Path) -> None:
    write(tmp_path / "train", "a.pth", "b.pth", "other_epoch_9.pth")
    write_record(tmp_path / "train")
    candidates = find_candidates(tmp_path)
    assert [(one.path, one.epoch, one.recorded) for one in candidates] == [
        ("train/a.pth", 1, True),
        ("train/b.pth", 2, True),
        ("train/other_epoch_9.pth", 9, False),
    ]
    assert select(candidates, "torch", "best").path == "train/b.pth"
    assert select(candidates, "torch", "latest").path == "train/b.pth"
    assert select(candidates, "torch", "epoch", 1).path == "train/a.pth"


def test_a_loss_is_better_when_small(tmp_path: Path) -> None:
    write(tmp_path, "a.pth", "b.pth")
    write_record(tmp_path, mode="min", monitor="val_loss")
    choice = select(find_candidates(tmp_path), "torch", "best")
    assert choice.path == "a.pth"
    assert "val_loss = 0.2" in choice.reason


def test_links_do_not_count_twice(tmp_path: Path) -> None:
    write(tmp_path, "train/model_epoch_0.pth", "train/model_epoch_7.pth", "train/lightning_logs/x.ckpt")
    (tmp_path / "train" / "ml_model_latest.pth").symlink_to("model_epoch_0.pth")
    (tmp_path / "train" / "broken_latest.pth").symlink_to("none.pth")
    assert [one.path for one in find_candidates(tmp_path)] == [
        "train/lightning_logs/x.ckpt",
        "train/model_epoch_0.pth",
        "train/model_epoch_7.pth",
    ]
    assert select(find_candidates(tmp_path), "torch", "latest").epoch == 7


def test_a_latest_link_to_where_nobody_looks_is_a_candidate(tmp_path: Path) -> None:
    write(tmp_path, "train/lightning_logs/x.pth")
    (tmp_path / "train" / "ml_model_latest.pth").symlink_to("lightning_logs/x.pth")
    assert select(find_candidates(tmp_path), "torch", "latest").path == "train/ml_model_latest.pth"


def test_an_output_may_lie_elsewhere(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/inputs/shop.onnx", "job/export/model.onnx")
    elsewhere = str(tmp_path / "elsewhere" / "inputs" / "shop.onnx")
    candidates = find_candidates(tmp_path / "job", [elsewhere, str(tmp_path / "none.onnx")])
    assert select(candidates, "onnx").path == elsewhere


def test_a_broken_record_is_an_error(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    write(tmp_path, "a.pth")
    for text in ("{", "[]", '{"checkpoints": 3}'):
        (tmp_path / "checkpoints.json").write_text(text)
        with pytest.raises(CheckpointError, match="can't be read"):
            find_candidates(tmp_path)


def test_what_the_results_name_counts_where_it_is_the_jobs_own(tmp_path: Path) -> None:
    write(tmp_path, "parent/train/model.pth", "job/train/model.bin", "job/train/epoch_1.pth")
    folder = tmp_path / "job"
    (folder / "results.json").write_text(json.dumps({"checkpoint": str(tmp_path / "parent" / "train" / "model.pth")}))
    assert [one.path for one in find_candidates(folder)] == ["train/epoch_1.pth"]
    (folder / "train" / "results.json").write_text(json.dumps({"checkpoint": "model.bin"}))
    assert [one.path for one in find_candidates(folder)] == ["train/epoch_1.pth", "train/model.bin"]
    assert select(find_candidates(folder), "torch", "best").path == "train/model.bin"
