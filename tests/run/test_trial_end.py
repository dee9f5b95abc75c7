"""What stays of a trial."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tao_skill.jobs.record import JobRecord
from tao_skill.jobs.store import JobStore
from tao_skill.run.trial_end import checkpoint_bytes, forget_checkpoints
from tao_skill.run.trial_spec import goes_on_from


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
