"""Checkpoints of trials that run, copied for others to begin from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tao_skill.automl.history import Trial
from tao_skill.errors import CheckpointError
from tao_skill.jobs.record import JobRecord
from tao_skill.jobs.store import JobStore
from tao_skill.run.trial_sources import TrialSources


@pytest.fixture
def sources(tmp_path: Path) -> TrialSources:
    search = JobRecord(
        job_id="s", skill="tiny", action="train", results_dir=str(tmp_path / "s"), spec={}, command=[], provenance={}
    )
    return TrialSources(JobStore(tmp_path), search)


def train(tmp_path: Path, number: int, *epochs: int, recorded: bool = True) -> Path:
    folder = tmp_path / f"s-t{number:03d}" / "train"
    folder.mkdir(parents=True)
    for epoch in epochs:
        (folder / f"model_epoch_{epoch:03d}.pth").write_text(f"epoch {epoch}")
    if recorded:
        entries = [
            {
                "file": f"model_epoch_{epoch:03d}.pth",
                "kind": "periodic",
                "epoch": epoch,
                "metrics": {"score": 1 / (1 + epoch)},  # older ones are better
            }
            for epoch in epochs
        ]
        record = {"monitor": "score", "mode": "max", "checkpoints": entries}
        (folder / "checkpoints.json").write_text(json.dumps(record))
    return folder


def trial(number: int) -> Trial:
    return Trial(number=number, origin="search", values={}, epochs=9)


def test_the_newest_is_copied_and_outlives_its_original(tmp_path: Path, sources: TrialSources) -> None:
    folder = train(tmp_path, 1, 3, 12)
    assert sources.can_be_copied(1)
    files = sources.copied(1, trial(7))
    (folder / "model_epoch_012.pth").unlink()
    (only,) = files.candidates
    assert Path(files.place(only.path)).read_text() == "epoch 12"
    assert only.epoch == 12
    sources.drop(trial(7))
    assert not Path(files.place(only.path)).exists()


def test_what_is_not_recorded_may_not_be_whole(tmp_path: Path, sources: TrialSources) -> None:
    train(tmp_path, 1, 3, recorded=False)
    train(tmp_path, 2)
    assert not sources.can_be_copied(1)
    assert not sources.can_be_copied(2)
    assert not sources.can_be_copied(3)  # it has no folder yet
    (train(tmp_path, 4, 1) / "checkpoints.json").write_text("{")
    assert not sources.can_be_copied(4)
    with pytest.raises(CheckpointError, match="Trial 7 can't begin"):
        sources.copied(2, trial(7))


def test_a_copy_that_fails_says_why(tmp_path: Path, sources: TrialSources) -> None:
    train(tmp_path, 1, 3)
    (tmp_path / "s" / "train").mkdir(parents=True)
    (tmp_path / "s" / "train" / ".starts").write_text("no folder")
    with pytest.raises(CheckpointError) as caught:
        sources.copied(1, trial(7))
    assert "starts" in str(caught.value.problems[0].value)


def test_what_ended_is_no_start_without_a_checkpoint_to_go_on_from(tmp_path: Path, sources: TrialSources) -> None:
    train(tmp_path, 1, 3)
    (train(tmp_path, 2, recorded=False) / "model_best.pth").write_text("weights alone")
    (train(tmp_path, 4, 1) / "checkpoints.json").write_text("{")
    assert [sources.are_there(trial(number)) for number in (1, 2, 3, 4)] == [True, False, False, False]
