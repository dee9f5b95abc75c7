"""Training on a tiny task, for real."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tao_skill.config.keys import nest
from tao_skill.config.optim import Optim
from tao_skill.config.yaml_text import dump_yaml
from tao_skill.errors import CheckpointError, NotAvailableError, SpecError
from tao_skill.metric_learning.actions import run_action
from tao_skill.metric_learning.training.module import TrainingModule
from tao_skill.metric_learning.training.schedule import rate_factor

KPI = ("val_AMI", "val_NMI", "val Mean Average Precision", "val Mean Reciprocal Rank", "val r-Precision")
MONITOR = "val Precision at Rank 1"


def train(spec: dict[str, Any], folder: Path, **changes: Any) -> dict[str, Any]:
    flat = spec | {key.replace("__", "."): value for key, value in changes.items()}
    return run_action("train", nest(flat), results_dir=folder)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "train" / "status.json").read_text().splitlines()]


def epochs(folder: Path) -> list[dict[str, Any]]:
    return [line for line in lines(folder) if "epoch" in line]


def weights(path: str | Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def record(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "train" / "checkpoints.json").read_text())
    return content


def test_training_leaves_what_it_promises(spec: dict[str, Any], tmp_path: Path) -> None:  # R25 R37
    result = train(spec, tmp_path, train__num_epochs=2)
    assert result["metrics"].keys() >= {MONITOR, *KPI}
    assert Path(result["checkpoint"]).name == "model_best.pth"
    story = lines(tmp_path)
    assert [line["status"] for line in story] == ["STARTED", "RUNNING", "RUNNING", "RUNNING", "SUCCESS"]
    assert "start val Precision at Rank 1" in story[1]["kpi"]
    assert [line["epoch"] for line in epochs(tmp_path)] == [0, 1]
    assert (tmp_path / "train" / "per_class.csv").read_text().splitlines()[1].startswith("class_0,")
    kinds = [entry["kind"] for entry in record(tmp_path)["checkpoints"]]
    assert kinds.count("periodic") == 2
    assert "best" in kinds
    results = json.loads((tmp_path / "train" / "results.json").read_text())
    assert results["metrics"] == result["metrics"]


def test_rates_in_the_status_follow_the_schedule(spec: dict[str, Any], tmp_path: Path) -> None:  # R48
    settings = {"steps": [2, 3], "gamma": 0.5, "warmup_iters": 2, "warmup_factor": 0.1}
    changes = {f"train__optim__{name}": value for name, value in settings.items()}
    train(spec, tmp_path, train__num_epochs=4, train__optim__embedder__base_lr=1e-3, **changes)
    optim = Optim(**settings)  # type: ignore[arg-type]
    for line in epochs(tmp_path):
        factor = rate_factor(line["epoch"], optim)
        assert line["kpi"]["trunk_base_lr"] == pytest.approx(3.5e-4 * factor)
        assert line["kpi"]["embedder_base_lr"] == pytest.approx(1e-3 * factor)


def test_model_trains_in_training_mode_in_every_epoch(
    spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    step = TrainingModule.training_step

    def watched(self: TrainingModule, batch: Any, batch_idx: int) -> None:
        seen.append((self.epoch, all(module.training for module in self.recogniser.modules())))
        step(self, batch, batch_idx)

    monkeypatch.setattr(TrainingModule, "training_step", watched)
    train(spec, tmp_path, train__num_epochs=3)
    assert {epoch for epoch, _ in seen} == {0, 1, 2}
    assert all(training for _, training in seen)


@pytest.mark.parametrize(("part", "other"), [("trunk", "embedder"), ("embedder", "trunk")])
def test_frozen_part_keeps_weights_and_statistics(spec: dict[str, Any], tmp_path: Path, part: str, other: str) -> None:
    changes = {f"train__train_{part}": False, "train__optim__warmup_factor": 1.0}
    train(spec, tmp_path, train__num_epochs=2, **changes)
    files = [
        tmp_path / "train" / entry["file"] for entry in record(tmp_path)["checkpoints"] if entry["kind"] == "periodic"
    ]
    first, last = (weights(file) for file in files)
    changed = {name for name in first if not torch.equal(first[name], last[name])}
    assert not any(name.startswith(f"recogniser.{part}.") for name in changed)
    assert any(name.startswith(f"recogniser.{other}.") for name in changed)


def test_resumed_training_ends_with_the_same_weights(spec: dict[str, Any], tmp_path: Path) -> None:
    whole = train(spec, tmp_path / "whole", train__num_epochs=3)
    train(spec, tmp_path / "parts", train__num_epochs=1)
    parts = tmp_path / "parts" / "train"
    path = parts / record(tmp_path / "parts")["latest"]
    train(spec, tmp_path / "parts", train__num_epochs=3, train__resume_training_checkpoint_path=str(path))
    last = [tmp_path / name / "train" / record(tmp_path / name)["latest"] for name in ("whole", "parts")]
    assert last[0].name == last[1].name
    assert same(weights(last[0]), weights(last[1]))
    assert [line["kpi"]["train_loss"] for line in epochs(tmp_path / "whole")] == [
        line["kpi"]["train_loss"] for line in epochs(tmp_path / "parts")
    ]
    assert whole["num_epochs"] == 3


def test_resumed_training_takes_the_rates_of_its_own_spec(spec: dict[str, Any], tmp_path: Path) -> None:
    train(spec, tmp_path, train__num_epochs=1)
    path = tmp_path / "train" / record(tmp_path)["latest"]
    still = {f"train__optim__{part}__base_lr": 1e-8 for part in ("trunk", "embedder")}
    train(spec, tmp_path, train__num_epochs=2, train__resume_training_checkpoint_path=str(path), **still)
    name = "recogniser.embedder.net.0.weight"
    assert torch.allclose(
        weights(path)[name], weights(tmp_path / "train" / record(tmp_path)["latest"])[name], atol=1e-6
    )


def test_resume_in_the_middle_of_an_epoch_is_exact_with_memory_and_dropout(
    spec: dict[str, Any], tmp_path: Path
) -> None:
    changes = {
        "train__checkpoint_interval_unit": "step",
        "train__checkpoint_interval": 2,
        "train__cross_batch_memory_size": 16,
        "model__timm_name": "efficientnet_lite0",
        "train__num_epochs": 2,
    }
    train(spec, tmp_path / "whole", **changes)
    entries = [entry for entry in record(tmp_path / "whole")["checkpoints"] if entry["kind"] == "periodic"]
    middle = next(entry for entry in entries if entry["step"] == 2)
    assert middle["epoch"] == 0
    path = tmp_path / "whole" / "train" / middle["file"]
    train(spec, tmp_path / "rest", train__resume_training_checkpoint_path=str(path), **changes)
    last = [tmp_path / name / "train" / record(tmp_path / name)["latest"] for name in ("whole", "rest")]
    assert same(weights(last[0]), weights(last[1]))
    losses = [[line["kpi"]["train_loss"] for line in epochs(tmp_path / name)] for name in ("whole", "rest")]
    assert losses[0] == losses[1]


def test_killed_training_goes_on_to_the_same_weights(spec: dict[str, Any], tmp_path: Path) -> None:
    """kill -9 during an epoch, then resume from the newest checkpoint."""
    settings = {"train.num_epochs": 4, "train.checkpoint_interval_unit": "step", "train.checkpoint_interval": 1}
    train(spec | settings, tmp_path / "whole")
    folder = tmp_path / "killed"
    file = tmp_path / "spec.yaml"
    file.write_text(dump_yaml(nest(spec | settings | {"results_dir": str(folder)})))
    child = subprocess.Popen(
        [sys.executable, "-m", "tao_skill.cli.ml_recog", "train", "-e", str(file)], stderr=subprocess.DEVNULL
    )
    saved = folder / "train" / "checkpoints.json"
    until = time.monotonic() + 300
    while time.monotonic() < until and not (saved.is_file() and len(json.loads(saved.read_text())["checkpoints"]) > 3):
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    path = folder / "train" / record(folder)["latest"]
    assert torch.load(path, weights_only=True)["tao_skill"]["step"] < 12
    train(spec | settings, folder, train__resume_training_checkpoint_path=str(path))
    last = [root / "train" / record(root)["latest"] for root in (tmp_path / "whole", folder)]
    assert last[0].name == last[1].name
    assert same(weights(last[0]), weights(last[1]))


def sick(value: Any) -> Any:
    """Return the content of a checkpoint with all its floating-point tensors gone bad."""
    if isinstance(value, dict):
        return {name: sick(one) for name, one in value.items()}
    if isinstance(value, list):
        return [sick(one) for one in value]
    bad = isinstance(value, torch.Tensor) and value.is_floating_point()
    return torch.full_like(value, math.nan) if bad else value


def test_a_resume_that_fails_leaves_the_good_checkpoint_the_latest(spec: dict[str, Any], tmp_path: Path) -> None:
    train(spec, tmp_path, train__num_epochs=2)
    good = tmp_path / "train" / record(tmp_path)["latest"]
    torch.save(sick(torch.load(good, weights_only=True)), tmp_path / "sick.pth")
    with pytest.raises(CheckpointError, match="not finite"):
        train(spec, tmp_path, train__num_epochs=3, train__resume_training_checkpoint_path=str(tmp_path / "sick.pth"))
    assert record(tmp_path)["latest"] == good.name
    train(spec, tmp_path, train__num_epochs=3, train__resume_training_checkpoint_path=str(good))
    assert [line["epoch"] for line in epochs(tmp_path)] == [0, 1, 2]


def test_learns_the_tiny_task(spec: dict[str, Any], tmp_path: Path) -> None:
    result = train(spec, tmp_path, train__num_epochs=8, train__optim__warmup_iters=1, train__optim__trunk__base_lr=2e-3)
    assert "ollapse" not in " ".join(result["warnings"])
    values = [line["kpi"]["train_loss"] for line in epochs(tmp_path)]
    assert values[-1] < values[0]
    assert record(tmp_path)["checkpoints"][-1]["metrics"][MONITOR] >= 0.5


def test_default_batch_of_one_class_has_a_loss(spec: dict[str, Any], tmp_path: Path) -> None:
    train(spec, tmp_path, train__batch_size=4, dataset__num_instance=4, train__num_epochs=1)
    kpi = epochs(tmp_path)[0]["kpi"]
    assert kpi["train_loss"] > 0.1
    assert math.isfinite(kpi["train_loss"])


def latest(run: dict[str, Any]) -> dict[str, torch.Tensor]:
    folder = Path(run["results_dir"])
    return weights(folder / json.loads((folder / "checkpoints.json").read_text())["latest"])


def test_clipping_works_and_limits_the_step(spec: dict[str, Any], tmp_path: Path) -> None:
    changes = {"train__optim__name": "SGD", "train__optim__warmup_factor": 1.0, "train__num_epochs": 1}
    rates = {
        f"train__optim__{part}__{name}": 0.0
        for part in ("trunk", "embedder")
        for name in ("weight_decay", "weight_decay_bias", "momentum")
    }
    free = train(spec, tmp_path / "free", **changes, **rates)
    clipped = train(spec, tmp_path / "clipped", train__clip_grad_norm=1e-6, **changes, **rates)
    start = train(
        spec,
        tmp_path / "start",
        train__optim__trunk__base_lr=1e-8,
        train__optim__embedder__base_lr=1e-8,
        **changes,
        **rates,
    )
    name = "recogniser.embedder.net.0.weight"
    moved = [float((latest(run)[name] - latest(start)[name]).norm()) for run in (free, clipped)]
    assert moved[1] < moved[0] / 100


def test_best_checkpoints_are_kept_under_their_pattern(spec: dict[str, Any], tmp_path: Path) -> None:
    train(
        spec,
        tmp_path,
        train__num_epochs=4,
        train__checkpointer__enable_topk=True,
        train__checkpointer__save_top_k=2,
        train__checkpointer__replace_periodic=True,
    )
    names = {path.name for path in (tmp_path / "train").glob("*.pth")}
    assert len([name for name in names if name.startswith("model_best_0")]) == 2
    assert len([name for name in names if name.startswith("model_epoch_")]) == 1
    assert {entry["file"] for entry in record(tmp_path)["checkpoints"]} == names


def test_only_what_ranks_among_the_best_is_written(spec: dict[str, Any], tmp_path: Path) -> None:
    top = {"enable_topk": True, "save_top_k": 2, "monitor": "embedding_spread", "mode": "min", "filename": "{epoch}"}
    train(spec, tmp_path, train__num_epochs=4, **{f"train__checkpointer__{name}": value for name, value in top.items()})
    spread = {line["epoch"]: line["kpi"]["embedding_spread"] for line in epochs(tmp_path)}
    kept = {entry["epoch"] for entry in record(tmp_path)["checkpoints"] if entry["kind"] == "top"}
    assert kept == set(sorted(spread, key=lambda epoch: spread[epoch])[:2])
    assert {path.stem for path in (tmp_path / "train").glob("?.pth")} == set(map(str, kept))


def test_resume_from_other_model_or_plain_weights_is_refused(spec: dict[str, Any], tmp_path: Path) -> None:
    result = train(spec, tmp_path / "a", train__num_epochs=1)
    folder = tmp_path / "a" / "train"
    latest = str(folder / record(tmp_path / "a")["latest"])
    with pytest.raises(CheckpointError, match="another model"):
        train(spec, tmp_path / "b", model__feat_dim=32, train__resume_training_checkpoint_path=latest)
    with pytest.raises(CheckpointError, match="no training to resume"):
        train(spec, tmp_path / "c", train__resume_training_checkpoint_path=result["checkpoint"])
    with pytest.raises(SpecError, match="nothing left"):
        train(spec, tmp_path / "d", train__num_epochs=1, train__resume_training_checkpoint_path=latest)


def test_a_training_that_lacks_only_its_results_gets_them(spec: dict[str, Any], tmp_path: Path) -> None:
    first = train(spec, tmp_path, train__num_epochs=2)
    folder = tmp_path / "train"
    (folder / "results.json").unlink()
    latest = str(folder / record(tmp_path)["latest"])
    before = record(tmp_path)
    again = train(spec, tmp_path, train__num_epochs=2, train__resume_training_checkpoint_path=latest)
    assert again == first
    assert json.loads((folder / "results.json").read_text())["status"] == "COMPLETE"
    assert record(tmp_path) == before
    with pytest.raises(SpecError, match="nothing left"):
        train(spec, tmp_path, train__num_epochs=1, train__resume_training_checkpoint_path=latest)


def test_failure_is_written_to_the_status(spec: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SpecError):
        train(spec, tmp_path, train__batch_size=7)
    story = lines(tmp_path)
    assert [line["status"] for line in story] == ["STARTED", "FAILURE"]
    assert "train.batch_size" in story[-1]["message"]


def test_table_of_classes_belongs_to_the_best_checkpoint(spec: dict[str, Any], tmp_path: Path) -> None:
    # The spread is least in some epoch: no later table may take the place of that epoch's.
    train(
        spec,
        tmp_path,
        train__num_epochs=4,
        train__checkpointer__monitor="embedding_spread",
        train__checkpointer__mode="min",
    )
    best = next(entry for entry in record(tmp_path)["checkpoints"] if entry["kind"] == "best")
    rows = (tmp_path / "train" / "per_class.csv").read_text().splitlines()[1:]
    mean = sum(float(row.split(",")[5]) for row in rows) / len(rows)
    assert mean == pytest.approx(best["metrics"]["val Mean Average Precision (macro)"])


def test_unknown_metric_is_refused_with_the_nearest(spec: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SpecError) as raised:
        train(spec, tmp_path, train__checkpointer__monitor="val Precision at Rank 2")
    assert "nearest is val Precision at Rank 1" in raised.value.problems[0].expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_a_precision_that_the_machine_lacks_is_told_with_all_else(spec: dict[str, Any], tmp_path: Path) -> None:
    """It was told alone, after all images had been decoded."""
    with pytest.raises(NotAvailableError) as raised:
        train(spec, tmp_path, train__precision="fp16", dataset__train_dataset=str(tmp_path / "nowhere"))
    assert {problem.key for problem in raised.value.problems} == {"train.precision", "dataset.train_dataset"}


def test_interrupted_training_says_so(spec: dict[str, Any], tmp_path: Path) -> None:
    """Ctrl-C and the signal that schedulers send both end in a cancelled job, with one JSON document."""
    for number in (signal.SIGINT, signal.SIGTERM):
        folder = tmp_path / number.name
        file = tmp_path / "spec.yaml"
        file.write_text(dump_yaml(nest(spec | {"train.num_epochs": 200, "results_dir": str(folder)})))
        words = [sys.executable, "-m", "tao_skill.cli.ml_recog", "train", "-e", str(file), "--json"]
        child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        until = time.monotonic() + 60
        while time.monotonic() < until and not (folder / "train" / "checkpoints.json").is_file():
            time.sleep(0.02)
        child.send_signal(number)
        output, _ = child.communicate(timeout=60)
        assert child.returncode != 0
        assert json.loads(output)["error"]["message"]
        assert lines(folder)[-1]["message"] == "train was canceled."


def test_pretrained_trunk_keeps_its_statistics(spec: dict[str, Any], tmp_path: Path) -> None:
    first = train(spec, tmp_path / "a", train__num_epochs=1)
    result = train(spec, tmp_path / "b", model__pretrained_model_path=first["checkpoint"], train__num_epochs=2)
    before, after = weights(first["checkpoint"]), latest(result)
    statistics = [name for name in before if name.endswith(("running_mean", "running_var"))]
    assert statistics
    assert all(torch.equal(before[name], after[name]) for name in statistics)


def test_results_tell_what_a_file_of_weights_filled(spec: dict[str, Any], tmp_path: Path) -> None:
    assert train(spec, tmp_path / "a", train__num_epochs=1)["pretrained"] == []
    content = weights(tmp_path / "a" / "train" / "model_best.pth")
    content = {name.removeprefix("recogniser."): value for name, value in content.items()}
    del content["embedder.last_linear.bias"], content["embedder.net.0.bias"]
    torch.save(content | {"neck": torch.zeros(1)}, tmp_path / "part.pth")
    result = train(spec, tmp_path / "b", model__pretrained_model_path=str(tmp_path / "part.pth"), train__num_epochs=1)
    (report,) = result["pretrained"]
    assert (report["loaded"], report["unexpected"]) == (len(content), ["neck"])
    assert set(report["missing"]) == {"embedder.last_linear.bias", "embedder.net.0.bias"}
    assert any("2 missing" in warning for warning in result["warnings"])


@pytest.mark.parametrize(("start", "better"), [("discriminant", True), ("random", False)])
def test_embedder_starts_as_the_spec_says(spec: dict[str, Any], tmp_path: Path, start: str, better: bool) -> None:
    still = {f"train__optim__{part}__base_lr": 1e-8 for part in ("trunk", "embedder")}
    result = train(spec, tmp_path, train__embedder_start=start, train__num_epochs=1, **still)
    rows = weights(result["checkpoint"])["recogniser.embedder.net.0.bias"]
    assert bool(rows.abs().sum() > 1e-3) == better
