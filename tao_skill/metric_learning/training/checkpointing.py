"""Writes checkpoints as training goes: at intervals, the best, and the last."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint

from tao_skill.config.train import Train
from tao_skill.errors import Problem, SpecError
from tao_skill.metric_learning.model.checkpoint import HEADER, TRAINING, header, save_atomically
from tao_skill.metric_learning.model.recogniser import ModelSettings
from tao_skill.metric_learning.retrieval.metrics import ClassMetrics, RetrievalMetrics
from tao_skill.metric_learning.retrieval.open_set import choose_rejection
from tao_skill.metric_learning.retrieval.report import public_names, write_per_class_csv
from tao_skill.metric_learning.training.module import EPOCH_MEANS, TrainingModule
from tao_skill.metric_learning.training.record import CheckpointEntry, CheckpointRecord

__all__ = ["BEST_NAME", "MONITOR", "START_EPOCH", "Checkpointing", "new_record"]

MONITOR = "val Precision at Rank 1"  # R25
BEST_NAME = "model_best.pth"
# The epoch of the model that training starts from: before the first, which is 0.
START_EPOCH = -1


def new_record(folder: Path, train: Train, model: ModelSettings, transform: dict[str, Any]) -> CheckpointRecord:
    """Return an empty record with the metric that a spec says ranks checkpoints.

    Raises:
        SpecError: training measures no such metric.
    """
    monitor = train.checkpointer.monitor or MONITOR
    known = [*EPOCH_MEANS, *public_names("val")]
    if monitor not in known:
        near = difflib.get_close_matches(monitor, known, n=1)
        expected = f"one of {', '.join(known)}" + (f"; the nearest is {near[0]}" if near else "")
        raise SpecError("There is no such metric.", problems=[Problem("train.checkpointer.monitor", monitor, expected)])
    mode = train.checkpointer.mode or ("min" if "loss" in monitor.lower() else "max")
    return CheckpointRecord(folder=folder, monitor=monitor, mode=mode, model=model.document(), transform=transform)


class Checkpointing(Checkpoint):
    """Write model_epoch_EEE_step_SSSSS.pth at intervals and at the end, and model_best.pth after better validations.

    Periodic files hold all that a resumed training needs; the best ones hold the weights alone. Lightning calls this
    kind of callback after all others, so the epoch's metrics are known.
    """

    def __init__(
        self, record: CheckpointRecord, train: Train, model_name: str, class_names: Sequence[str] = ()
    ) -> None:
        self.record = record
        self.train = train
        self.model_name = model_name
        # What the next checkpoint says of recognising, beside its weights.
        self.recognition: dict[str, Any] = {"class_names": list(class_names)}
        self.metrics: dict[str, float] = {}
        self.per_class: list[ClassMetrics] = []
        self.rejection: dict[str, Any] | None = None

    def take(self, metrics: dict[str, float], retrieval: RetrievalMetrics | None) -> None:
        """Take the metrics of the epoch that ends, by which its checkpoints are judged; None: nothing was validated."""
        self.metrics = metrics
        self.per_class = retrieval.per_class if retrieval is not None else []
        rejection = choose_rejection(retrieval, self.train.false_accept_rate) if retrieval is not None else None
        self.rejection = rejection.document() if rejection is not None else None

    def keep_start(self, module: TrainingModule, metrics: dict[str, float], retrieval: RetrievalMetrics) -> None:
        """Take the model that training starts from as the best so far: it may be hard to beat."""
        self.take(metrics, retrieval)
        self._keep_best(module, START_EPOCH)
        self.take({}, None)

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

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write a checkpoint after every so many epochs and at the end, and the best."""
        module = _training(pl_module)
        if not trainer.is_global_zero:
            return
        done = module.epoch + 1
        by_epoch = self.train.checkpoint_interval_unit == "epoch"
        count = done if by_epoch else module.step
        due = done == self.train.num_epochs or count % self.train.checkpoint_interval == 0
        # The best comes first: a run that is resumed from the periodic file then knows what it has to beat.
        self._keep_best(module, module.epoch)
        if due:
            self._write_periodic(module, epoch_is_done=True)
        self.take({}, None)

    def _write_periodic(self, module: TrainingModule, epoch_is_done: bool) -> None:
        name = f"model_epoch_{module.epoch:03d}_step_{module.step:05d}.pth"
        self._write(module, name, {TRAINING: module.training_state(epoch_is_done)}, module.epoch)
        older = [entry.file for entry in self.record.checkpoints if entry.kind == "periodic" and entry.file != name]
        self._note(module, name, "periodic", module.epoch)
        if self.train.checkpointer.replace_periodic:
            self.record.forget(older)

    def _header(self, module: TrainingModule, epoch: int) -> dict[str, Any]:
        return header(
            model_name=self.model_name,
            model=self.record.model,
            transform=self.record.transform,
            recognition=self.recognition | ({"rejection": self.rejection} if self.rejection else {}),
            epoch=epoch,
            step=module.step,
            metrics=self.metrics,
        )

    def _keep_best(self, module: TrainingModule, epoch: int) -> None:
        value = self.metrics.get(self.record.monitor)
        if value is None:
            return
        if self.record.better(value, self.record.best_value):
            self._write(module, BEST_NAME, {}, epoch)
            self.record.best = BEST_NAME
            self._note(module, BEST_NAME, "best", epoch)
            self._write_per_class()
        if self.train.checkpointer.enable_topk and epoch != START_EPOCH:
            self._keep_top_k(module, epoch)

    def _write_per_class(self) -> None:
        """Keep the table of classes that belongs to the best checkpoint, and no other."""
        path = self.record.folder / "per_class.csv"
        if self.per_class and self.train.report_accuracy_per_class:
            write_per_class_csv(path, self.per_class)
        else:
            path.unlink(missing_ok=True)

    def _keep_top_k(self, module: TrainingModule, epoch: int) -> None:
        settings = self.train.checkpointer
        folder = Path(settings.dirpath) if settings.dirpath else self.record.folder
        named = ModelCheckpoint(
            dirpath=folder, filename=settings.filename, auto_insert_metric_name=settings.auto_insert_metric_name
        )
        named.FILE_EXTENSION = ".pth"
        values: dict[str, Any] = {**self.metrics, "epoch": epoch, "step": module.step}
        path = Path(named.format_checkpoint_name(values))
        name = path.name if folder == self.record.folder else str(path)
        self._write(module, name, {}, epoch)
        self._note(module, name, "top", epoch)
        ranked = sorted(
            (entry for entry in self.record.checkpoints if entry.kind == "top"),
            key=lambda entry: entry.metrics.get(self.record.monitor, float("-inf")),
            reverse=self.record.mode == "max",
        )
        self.record.forget([entry.file for entry in ranked[settings.save_top_k :]])

    def _write(self, module: TrainingModule, name: str, more: dict[str, Any], epoch: int) -> None:
        weights = {f"recogniser.{key}": value for key, value in module.best_weights.state_dict().items()}
        content = {HEADER: self._header(module, epoch), "state_dict": weights, **more}
        save_atomically(content, self.record.folder / name)

    def _note(self, module: TrainingModule, name: str, kind: str, epoch: int) -> None:
        size = (self.record.folder / name).stat().st_size
        self.record.add(CheckpointEntry(name, kind, epoch, module.step, size, dict(self.metrics), self.rejection))


def _training(module: pl.LightningModule) -> TrainingModule:
    assert isinstance(module, TrainingModule)
    return module
