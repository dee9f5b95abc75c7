"""What happens around the steps: validation, status lines, the progress bar."""

import logging
from typing import Any

import pytorch_lightning as pl
import torch

from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.engines.torch_network import Network, evaluating
from tao_skill.metric_learning.half import HalfRecogniser
from tao_skill.metric_learning.measure import RetrievalTask, embed_task, measure_embedded
from tao_skill.metric_learning.progress import Progress
from tao_skill.metric_learning.retrieval.metrics import RetrievalMetrics
from tao_skill.metric_learning.status import StatusLog
from tao_skill.metric_learning.training.checkpointing import MONITOR, START_EPOCH, Checkpointing
from tao_skill.metric_learning.training.data import SharedEmbedding, TrainingData
from tao_skill.metric_learning.training.module import TrainingModule
from tao_skill.metric_learning.training.processes import Processes
from tao_skill.metric_learning.training.tracking import Tracking

__all__ = ["EpochReport", "EpochSampler", "ProgressBar"]

log = logging.getLogger(__name__)


class EpochSampler(pl.Callback):
    """Tell the sampler which epoch to draw, and where a resumed epoch goes on."""

    def __init__(self, data: TrainingData) -> None:
        self.data = data

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw this epoch's batches."""
        assert isinstance(pl_module, TrainingModule)
        del trainer
        self.data.sampler.set_epoch(pl_module.epoch)


class EpochReport(pl.Callback):
    """Validate when it is time, and write one status line for each epoch with all its numbers.

    With ``half`` validation computes in bfloat16, as the training does.
    """

    def __init__(
        self,
        task: RetrievalTask | None,
        transform: EvalTransform,
        status: StatusLog,
        *,
        interval: int,
        max_epoch: int,
        checkpointing: Checkpointing,
        tracking: Tracking,
        processes: Processes,
        half: bool = False,
    ) -> None:
        self.task = task
        self.transform = transform
        self.status = status
        self.interval = interval
        self.max_epoch = max_epoch
        self.checkpointing = checkpointing
        self.tracking = tracking
        self.processes = processes
        self.half = half

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure the model that a new training starts from."""
        assert isinstance(pl_module, TrainingModule)
        if self.task is None or pl_module.step > 0:
            return
        measured = self._measure(self.task, trainer, pl_module)
        if measured is not None:
            values, full = measured
            # Under names of their own: these are no results of an epoch.
            self.status.running("Before training.", kpi={f"start {name}": value for name, value in values.items()})
            self.tracking.scalars(values, START_EPOCH, 0)
            log.info("before training  val P@1 %.4g", values[MONITOR])
            self.checkpointing.keep_start(pl_module, values, full)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure retrieval on the validation sets and report the epoch."""
        assert isinstance(pl_module, TrainingModule)
        epoch, measured = pl_module.epoch, None
        warned = bool(pl_module.collapse.warning)
        kpi, collapsed = pl_module.end_epoch()
        if self.task is not None and ((epoch + 1) % self.interval == 0 or epoch + 1 == self.max_epoch):
            measured = self._measure(self.task, trainer, pl_module)
        if not trainer.is_global_zero:
            return
        values, full = measured or ({}, None)
        kpi |= values
        self.checkpointing.take(kpi, full)
        self.status.running(
            f"Epoch {epoch} is done." + (" Its embeddings have collapsed: nearly all are alike." if collapsed else ""),
            epoch=epoch,
            step=pl_module.step,
            max_epoch=self.max_epoch,
            kpi=kpi,
        )
        self.tracking.scalars(kpi, epoch, pl_module.step)
        log.info("%s", _line(epoch, self.max_epoch, kpi))
        if pl_module.collapse.warning and not warned:
            self.status.running(pl_module.collapse.warning)
            log.warning("%s", pl_module.collapse.warning)

    def _measure(
        self, task: RetrievalTask, trainer: pl.Trainer, module: TrainingModule
    ) -> tuple[dict[str, float], RetrievalMetrics] | None:
        """Embed with all processes, and compare in the first; the others get None."""
        recogniser = module.best_weights
        embed = SharedEmbedding(trainer, self.processes, module.spec.model.feat_dim)
        if self.processes.count > 1:
            # On CPUs each process has batch statistics of its own: the first one's are those that checkpoints hold.
            for buffer in recogniser.buffers():
                torch.distributed.broadcast(buffer, src=0)
        with evaluating(recogniser):
            quick = self.half and module.device.type == "cpu"
            network = HalfRecogniser(recogniser) if quick else recogniser
            with torch.autocast(module.device.type, torch.bfloat16, enabled=self.half and not quick):
                embedded = embed_task(Network(network, self.transform, module.device), task, embed)
        return measure_embedded(embedded, task, "val") if trainer.is_global_zero else None


def _line(epoch: int, max_epoch: int, kpi: dict[str, float]) -> str:
    shown = {
        "loss": kpi["train_loss"],
        "spread": kpi["embedding_spread"],
        "lr": kpi.get("trunk_base_lr", kpi.get("embedder_base_lr", 0.0)),
    }
    if MONITOR in kpi:
        shown["val P@1"] = kpi[MONITOR]
    numbers = "  ".join(f"{name} {value:.4g}" for name, value in shown.items())
    return f"epoch {epoch + 1}/{max_epoch}  {numbers}"


class ProgressBar(pl.Callback):
    """Show the steps of each epoch."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin an epoch."""
        assert isinstance(pl_module, TrainingModule)
        self._progress = Progress(
            f"epoch {pl_module.epoch + 1}, step", int(trainer.num_training_batches), pl_module.epoch_step
        )

    def on_train_batch_end(self, *_: Any) -> None:
        """Count a step."""
        if self._progress is not None:
            self._progress.add()

    def on_train_epoch_end(self, *_: Any) -> None:
        """End the epoch."""
        if self._progress is not None:
            self._progress.close()
