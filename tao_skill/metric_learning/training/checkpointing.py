"""Writes checkpoints as training goes: at intervals, the best, and the last."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from tao_skill.config.checkpoint_names import BEST_NAME, best_name, periodic_name
from tao_skill.config.metrics import MONITOR
from tao_skill.config.train import Train
from tao_skill.metric_learning.model.checkpoint import HEADER, TRAINING, header, save_atomically
from tao_skill.metric_learning.model.recogniser import ModelSettings, Recogniser
from tao_skill.metric_learning.retrieval.metrics import RetrievalMetrics
from tao_skill.metric_learning.retrieval.open_set import choose_rejection
from tao_skill.metric_learning.retrieval.report import write_per_class_csv
from tao_skill.metric_learning.training.module import TrainingModule
from tao_skill.metric_learning.training.record import PER_CLASS_NAME, CheckpointEntry, CheckpointRecord

__all__ = ["START_EPOCH", "Candidate", "Checkpointing", "new_record"]

# The epoch of the model that training starts from: before the first, which is 0.
START_EPOCH = -1


def new_record(folder: Path, train: Train, model: ModelSettings, transform: dict[str, Any]) -> CheckpointRecord:
    """Return an empty record with the metric that a spec says ranks checkpoints."""
    monitor = train.checkpointer.monitor or MONITOR
    mode = train.checkpointer.mode or ("min" if "loss" in monitor.lower() else "max")
    return CheckpointRecord(folder=folder, monitor=monitor, mode=mode, model=model.document(), transform=transform)


@dataclass(frozen=True)
class Candidate:
    """A recogniser that a checkpoint may hold, and what validation says of it; None: nothing was validated."""

    recogniser: Recogniser | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    retrieval: RetrievalMetrics | None = None


class Checkpointing(Checkpoint):
    """Write model_epoch_EEE_step_SSSSS.pth at intervals and at the end, and model_best.pth after better validations.

    Periodic files hold all that a resumed training needs; the best ones hold the weights alone.
    """

    def __init__(
        self, record: CheckpointRecord, train: Train, model_name: str, class_names: Sequence[str] = ()
    ) -> None:
        self.record = record
        self.train = train
        self.model_name = model_name
        # What the next checkpoint says of recognising, beside its weights.
        self.recognition: dict[str, Any] = {"class_names": list(class_names)}
        # The recogniser as it was trained, which periodic checkpoints hold, and the best one there is.
        self.trained = self.chosen = Candidate()

    def take(self, means: dict[str, float], measured: Sequence[Candidate]) -> None:
        """Take the epoch that ends: its means, and what validation measured, the trained recogniser first."""
        judged = [replace(one, metrics=means | one.metrics) for one in measured]
        self.trained = judged[0] if judged else Candidate(metrics=means)
        self.chosen = self.best_of(judged) if judged else self.trained

    def best_of(self, candidates: Sequence[Candidate]) -> Candidate:
        """Return the candidate that is worth most, the first of several."""
        return max(candidates, key=lambda one: self.record.worth(one.metrics))

    def keep_start(self, module: TrainingModule, start: Candidate) -> None:
        """Take the model that training starts from as the best so far: it may be hard to beat."""
        self.take({}, [start])
        self._keep_best(module, START_EPOCH)
        self.take({}, [])

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Write a checkpoint after every so many steps, where the interval counts steps."""
        module = _training(pl_module)
        if not trainer.is_global_zero:
            return
        by_step = self.train.checkpoint_interval_unit == "step"
        # The epoch's last step is written when the epoch is over, with its metrics.
        within = module.epoch_step < trainer.num_training_batches
        if by_step and within and module.step % self.train.checkpoint_interval == 0:
            self._write_periodic(module, epoch_is_done=False)

    def end_epoch(self, module: TrainingModule, means: dict[str, float], measured: Sequence[Candidate]) -> None:
        """Write a checkpoint after every so many epochs and at the end, and the best.

        ``measured`` is what validation measured, the trained recogniser first. An epoch is reported after this, so
        that whoever ends a training because of what it reports has the checkpoint that the report speaks of.
        """
        self.take(means, measured)
        done = module.epoch + 1
        by_epoch = self.train.checkpoint_interval_unit == "epoch"
        count = done if by_epoch else module.step
        due = done == self.train.num_epochs or count % self.train.checkpoint_interval == 0
        # The best comes first: a run that is resumed from the periodic file then knows what it has to beat.
        self._keep_best(module, module.epoch)
        if due:
            self._write_periodic(module, epoch_is_done=True)
        self.take({}, [])

    def _write_periodic(self, module: TrainingModule, epoch_is_done: bool) -> None:
        module.check_weights()  # before the last sound file goes
        name = periodic_name(module.epoch, module.step)
        state = module.training_state(epoch_is_done) | {"best": self.record.best_found()}
        self._write(module, name, self.trained, module.epoch, {TRAINING: state})
        older = [entry.file for entry in self.record.checkpoints if entry.kind == "periodic" and entry.file != name]
        self._note(module, name, "periodic", module.epoch, self.trained)
        if self.train.checkpointer.replace_periodic:
            self.record.forget(older)

    def _header(self, module: TrainingModule, epoch: int, candidate: Candidate) -> dict[str, Any]:
        rejection = self._rejection(candidate)
        return header(
            model_name=self.model_name,
            model=self.record.model,
            transform=self.record.transform,
            recognition=self.recognition | ({"rejection": rejection} if rejection else {}),
            epoch=epoch,
            step=module.step,
            metrics=candidate.metrics,
        )

    def _rejection(self, candidate: Candidate) -> dict[str, Any] | None:
        retrieval = candidate.retrieval
        rejection = choose_rejection(retrieval, self.train.false_accept_rate) if retrieval is not None else None
        return rejection.document() if rejection is not None else None

    def _keep_best(self, module: TrainingModule, epoch: int) -> None:
        if self.record.monitor not in self.chosen.metrics:
            return
        if self.record.worth(self.chosen.metrics) > self.record.best_worth:
            self._write(module, BEST_NAME, self.chosen, epoch)
            self.record.best = BEST_NAME
            self._note(module, BEST_NAME, "best", epoch, self.chosen)
            self._write_per_class()
        if self.train.checkpointer.enable_topk and epoch != START_EPOCH:
            self._keep_top_k(module, epoch)

    def _write_per_class(self) -> None:
        """Keep the table of classes that belongs to the best checkpoint, and no other."""
        path = self.record.folder / PER_CLASS_NAME
        per_class = self.chosen.retrieval.per_class if self.chosen.retrieval is not None else []
        if per_class and self.train.report_accuracy_per_class:
            write_per_class_csv(path, per_class)
        else:
            path.unlink(missing_ok=True)

    def _keep_top_k(self, module: TrainingModule, epoch: int) -> None:
        """Write the checkpoint under its own name if it ranks among the best few, the older of equals before it."""
        settings, record = self.train.checkpointer, self.record
        values: dict[str, Any] = {**self.chosen.metrics, "epoch": epoch, "step": module.step}
        name = best_name(settings.filename, values, with_fields=settings.auto_insert_metric_name)
        folder = Path(settings.dirpath or record.folder).expanduser().resolve()
        if folder != record.folder.resolve():
            name = str(folder / name)
        record.forget([name])  # of the same epoch, before the training was resumed
        others = [entry for entry in record.checkpoints if entry.kind == "top"]
        ranked = sorted(others, key=lambda entry: record.worth(entry.metrics), reverse=True)
        place = sum(record.worth(entry.metrics) >= record.worth(self.chosen.metrics) for entry in ranked)
        if place < settings.save_top_k:
            self._write(module, name, self.chosen, epoch)
            self._note(module, name, "top", epoch, self.chosen)
            record.forget([entry.file for entry in ranked[settings.save_top_k - 1 :]])

    def _write(
        self, module: TrainingModule, name: str, candidate: Candidate, epoch: int, more: dict[str, Any] | None = None
    ) -> None:
        recogniser = candidate.recogniser or module.best_weights
        weights = {f"recogniser.{key}": value for key, value in recogniser.state_dict().items()}
        content = {HEADER: self._header(module, epoch, candidate), "state_dict": weights, **(more or {})}
        save_atomically(content, self.record.folder / name)

    def _note(self, module: TrainingModule, name: str, kind: str, epoch: int, candidate: Candidate) -> None:
        size = (self.record.folder / name).stat().st_size
        metrics, rejection = dict(candidate.metrics), self._rejection(candidate)
        self.record.add(CheckpointEntry(name, kind, epoch, module.step, size, metrics, rejection))


def _training(module: pl.LightningModule) -> TrainingModule:
    assert isinstance(module, TrainingModule)
    return module
