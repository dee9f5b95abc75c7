"""What happens around the steps: validation, status lines, the progress bar."""

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from tqdm import tqdm

from tao_skill.metric_learning.data.sampler import PKBatchSampler
from tao_skill.metric_learning.measure import RetrievalTask, measure_retrieval
from tao_skill.metric_learning.retrieval.report import write_per_class_csv
from tao_skill.metric_learning.status import StatusLog
from tao_skill.metric_learning.training.module import TrainingModule

__all__ = ["EpochReport", "EpochSampler", "ProgressBar"]

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 30


class EpochSampler(pl.Callback):
    """Tell the sampler which epoch to draw, and where a resumed epoch goes on."""

    def __init__(self, sampler: PKBatchSampler) -> None:
        self.sampler = sampler

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw this epoch's batches."""
        assert isinstance(pl_module, TrainingModule)
        del trainer
        self.sampler.set_epoch(pl_module.epoch)


class EpochReport(pl.Callback):
    """Validate when it is time, and write one status line for each epoch with all its numbers."""

    def __init__(
        self,
        task: RetrievalTask | None,
        status: StatusLog,
        *,
        interval: int,
        max_epoch: int,
        per_class: Path | None,
        on_metrics: Callable[[dict[str, float]], None],
    ) -> None:
        self.task = task
        self.status = status
        self.interval = interval
        self.max_epoch = max_epoch
        self.per_class = per_class
        self.on_metrics = on_metrics

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure retrieval on the validation sets and report the epoch."""
        del trainer
        assert isinstance(pl_module, TrainingModule)
        kpi = pl_module.epoch_means()
        epoch = pl_module.epoch
        if self.task is not None and ((epoch + 1) % self.interval == 0 or epoch + 1 == self.max_epoch):
            kpi |= self._validate(self.task, pl_module)
        self.on_metrics(kpi)
        self.status.running(
            f"Epoch {epoch} is done.",
            epoch=epoch,
            step=pl_module.step,
            max_epoch=self.max_epoch,
            kpi=kpi,
        )
        log.info("%s", _line(epoch, self.max_epoch, kpi))

    def _validate(self, task: RetrievalTask, module: TrainingModule) -> dict[str, float]:
        values, full = measure_retrieval(module.recogniser, task, module.device, "val")
        if self.per_class is not None:
            write_per_class_csv(self.per_class, full.per_class)
        return values


def _line(epoch: int, max_epoch: int, kpi: dict[str, float]) -> str:
    shown = {
        "loss": kpi["train_loss"],
        "spread": kpi["embedding_spread"],
        "lr": kpi.get("trunk_base_lr", kpi.get("embedder_base_lr", 0.0)),
    }
    if "val Precision at Rank 1" in kpi:
        shown["val P@1"] = kpi["val Precision at Rank 1"]
    numbers = "  ".join(f"{name} {value:.4g}" for name, value in shown.items())
    return f"epoch {epoch + 1}/{max_epoch}  {numbers}"


class ProgressBar(pl.Callback):
    """Show the steps of an epoch on stderr: as a bar to somebody who watches, as a line now and then in a log."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._said = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open a bar for the epoch."""
        assert isinstance(pl_module, TrainingModule)
        self._bar = tqdm(
            total=int(trainer.num_training_batches),
            initial=pl_module.epoch_step,
            desc=f"epoch {pl_module.epoch + 1}",
            file=sys.stderr,
            disable=not sys.stderr.isatty(),
            leave=False,
        )
        self._said = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Move the bar on, or write a line if none came for a while."""
        assert isinstance(pl_module, TrainingModule)
        self._bar.update()
        if self._bar.disable and time.monotonic() - self._said >= SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            log.info("epoch %d: step %d of %d", pl_module.epoch + 1, pl_module.epoch_step, trainer.num_training_batches)

    def on_train_epoch_end(self, *_: Any) -> None:
        """Close the bar."""
        self._bar.close()
