"""How a trial ended, and what stays of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tao_skill.jobs.record import JobRecord
from tao_skill.jobs.store import JobStore
from tao_skill.run.trial_end import checkpoint_bytes, end_of, forget_checkpoints
from tao_skill.run.trial_spec import goes_on_from

ASKED, ALONE = True, False


def ended(code: int, how: str = "ended") -> dict[str, Any]:
    return {"id": 1, "code": code, "how": how, "error": "", "begin": 0.0, "end": 1.0}


@pytest.mark.parametrize(
    ("answer", "asked", "early", "error", "state"),
    [
        (ended(0), ALONE, False, "", "done"),
        (ended(0), ALONE, True, "", "done"),  # it stopped early by itself
        (ended(0), ASKED, False, "", "done"),  # it was at its end anyway
        (ended(0), ASKED, True, "", "stopped"),  # it saved and left without a word
        (ended(1), ASKED, True, "", "stopped"),  # it saved, and calls Ctrl-C an error
        (ended(1), ASKED, False, "", "stopped"),
        (ended(130, "stopped"), ASKED, True, "interrupted", "stopped"),
        (ended(1), ASKED, True, "data_error", "failed"),
        (ended(1), ALONE, True, "", "failed"),
        (ended(130, "stopped"), ALONE, True, "", "failed"),
        (None, ASKED, True, "", "stopped"),
        (None, ALONE, True, "", "failed"),
    ],
)
def test_what_an_end_was(
    tmp_path: Path, *, answer: dict[str, Any] | None, asked: bool, early: bool, error: str, state: str
) -> None:
    folder = tmp_path / "train"
    folder.mkdir()
    (folder / "model.pth").write_bytes(b"12345")
    (folder / "results.json").write_text(json.dumps({"metrics": {"m": 0.5}, "checkpoint": str(folder / "model.pth")}))
    if error:
        (folder / "error.json").write_text(json.dumps({"code": error, "message": "because"}))
    end = end_of(answer, None if answer else -9, folder, metric="m", asked=asked, wall=2.0, early=early)
    assert end.state == state
    assert end.checkpoint_bytes == 5
    if state != "failed":
        assert end.held_value == 0.5


def job(tmp_path: Path) -> tuple[JobStore, Path]:
    store = JobStore(tmp_path / "results")
    folder = store.folder("search-t001")
    store.create(JobRecord(job_id="search-t001", skill="tiny", action="train", results_dir=str(folder)))
    (folder / "train").mkdir()
    (folder / "train" / "log.txt").write_text("said")
    return store, folder


@pytest.mark.parametrize(
    ("files", "named", "held"),
    [
        (["train/model_epoch_001.pkl", "train/model_epoch_002.pkl"], "", "train/model_epoch_002.pkl"),
        (["train/model.safetensors"], "", "train/model.safetensors"),
        (["train/lightning_logs/version_0/checkpoints/epoch=4-step=50.ckpt"], "",
         "train/lightning_logs/version_0/checkpoints/epoch=4-step=50.ckpt"),
        (["model.keras"], "", "model.keras"),  # a program that knows nothing of a folder for each action
        (["train/model.bin"], "train/model.bin", "train/model.bin"),
        (["train/step-9/model.safetensors", "train/step-9/state.json"], "train/step-9", "train/step-9"),
        (["train/a.pkl", "train/b.pkl"], "", None),  # which one can't be told
    ],
)  # fmt: skip
def test_other_programs_checkpoints_are_counted_handed_on_and_deleted(
    tmp_path: Path, files: list[str], named: str, held: str | None
) -> None:
    store, folder = job(tmp_path)
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"1234567")
    if named:
        (folder / "train" / "results.json").write_text(json.dumps({"checkpoint": str(folder / named)}))
    assert checkpoint_bytes(folder / "train") == 7 * len(files)
    found = goes_on_from("search-t001", folder / "train")
    if held is None:
        assert not found.candidates
    else:
        assert folder / held in [Path(found.place(one.path)) for one in found.candidates]
    forget_checkpoints(store, "search-t001")
    assert not [name for name in files if (folder / name).exists()]
    assert (folder / "train" / "log.txt").exists()
    assert (folder / "job.json").exists()
    assert checkpoint_bytes(folder / "train") == 0


@pytest.mark.parametrize("named", [".", "..", "../..", "../../elsewhere.bin", "x" * 5000, "a\0b"])
def test_results_that_name_no_checkpoint_of_the_trial_delete_nothing(tmp_path: Path, named: str) -> None:
    store, folder = job(tmp_path)
    (tmp_path / "results" / "elsewhere.bin").write_bytes(b"1")
    (folder / "train" / "results.json").write_text(json.dumps({"checkpoint": named}))
    assert checkpoint_bytes(folder / "train") == 0
    forget_checkpoints(store, "search-t001")
    assert (tmp_path / "results" / "elsewhere.bin").exists()
    assert (folder / "train" / "log.txt").exists()
