"""What happens around the steps: validation, status lines, the progress bar."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from tao_skill.config.metrics import MONITOR
from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.device import Precision
from tao_skill.metric_learning.engines.torch_network import Network
from tao_skill.metric_learning.half import validating
from tao_skill.metric_learning.measure import RetrievalTask, embed_task, measure_embedded
from tao_skill.metric_learning.model.recogniser import Recogniser
from tao_skill.metric_learning.progress import Progress
from tao_skill.metric_learning.status import StatusLog
from tao_skill.metric_learning.training.checkpointing import START_EPOCH, Candidate, Checkpointing
from tao_skill.metric_learning.training.data import SharedEmbedding, TrainingData
from tao_skill.metric_learning.training.module import TrainingModule
from tao_skill.metric_learning.training.processes import Processes
from tao_skill.metric_learning.training.refit import Refit
from tao_skill.metric_learning.training.tracking import Tracking

__all__ = ["EpochReport", "EpochSampler", "ProgressBar", "StepTimer"]

log = logging.getLogger(__name__)
# The first steps reserve memory and choose kernels.
_STEPS_BEFORE_TIMING, _TIMED_STEPS = 2, 5


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

    ``precision`` is the training's number format, which validation takes over where that pays (`validating`).
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
        refit: Refit,
        precision: Precision = "32-true",
    ) -> None:
        self.task = task
        self.transform = transform
        self.status = status
        self.interval = interval
        self.max_epoch = max_epoch
        self.checkpointing = checkpointing
        self.tracking = tracking
        self.processes = processes
        self.precision = precision
        self.refit = refit
        self.start_seconds = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure the model that a new training starts from."""
        assert isinstance(pl_module, TrainingModule)
        if self.task is None or pl_module.step > 0:
            return
        since = time.monotonic()
        measured = self._measure(pl_module.best_weights, self.task, trainer, pl_module)
        self.start_seconds = time.monotonic() - since
        if measured is not None:
            values = measured.metrics
            # Under names of their own: these are no results of an epoch.
            self.status.running("Before training.", kpi={f"start {name}": value for name, value in values.items()})
            self.tracking.scalars(values, START_EPOCH, 0)
            log.info("before training  val P@1 %.4g", values[MONITOR])
            self.checkpointing.keep_start(pl_module, measured)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure retrieval on the validation sets and report the epoch."""
        assert isinstance(pl_module, TrainingModule)
        epoch, found = pl_module.epoch, []
        warned = bool(pl_module.collapse.warning)
        kpi, collapsed = pl_module.end_epoch()
        if self.task is not None and ((epoch + 1) % self.interval == 0 or epoch + 1 == self.max_epoch):
            found = self._validate(self.task, trainer, pl_module)
        if not trainer.is_global_zero:
            return
        self.checkpointing.end_epoch(pl_module, kpi, found)
        kpi |= self.checkpointing.best_of(found).metrics if found else {}
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

    def _validate(self, task: RetrievalTask, trainer: pl.Trainer, module: TrainingModule) -> list[Candidate]:
        """Measure the trained recogniser and, where there is one, the one with a computed embedder."""
        trained = module.best_weights
        offered = [trained]
        if trunk_dim := self.refit.features_of(trained):
            features = SharedEmbedding(trainer, self.processes, trunk_dim)
            trunk = Recogniser(trained.trunk, nn.Identity())
            with self._network(trunk, module.device, self.refit.num_images) as network:
                offered.append(self.refit(trained, network, features, module.seed))
        measured = [self._measure(recogniser, task, trainer, module) for recogniser in offered]
        return [candidate for candidate in measured if candidate is not None]

    def _measure(
        self, recogniser: Recogniser, task: RetrievalTask, trainer: pl.Trainer, module: TrainingModule
    ) -> Candidate | None:
        """Embed with all processes, and compare in the first; the others get None."""
        embed = SharedEmbedding(trainer, self.processes, module.spec.model.feat_dim)
        with self._network(recogniser, module.device, len(task.reference) + len(task.query)) as network:
            embedded = embed_task(network, task, embed)
        if not trainer.is_global_zero:
            return None
        return Candidate(recogniser, *measure_embedded(embedded, task, "val"))

    @contextmanager
    def _network(self, recogniser: Recogniser, device: torch.device, num_images: int) -> Iterator[Network]:
        """Give what embeds so many images, with the same batch statistics in all processes."""
        if self.processes.count > 1:
            # On CPUs each process has batch statistics of its own: the first one's are those that checkpoints hold.
            for buffer in recogniser.buffers():
                torch.distributed.broadcast(buffer, src=0)
        with validating(recogniser, self.transform, device, self.precision, num_images) as network:
            yield network


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


class StepTimer(pl.Callback):
    """Tell in a status line, after a few steps, what an epoch will take: whoever plans need not wait for one.

    ``projection_seconds`` is what computing an embedder took, which each validation does again where it is wanted.
    """

    def __init__(self, report: EpochReport, *, projection_seconds: float) -> None:
        self._report, self._projection_seconds = report, projection_seconds
        self._steps, self._since = 0, 0.0

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Count a step; report once."""
        self._steps += 1
        if self._steps not in (_STEPS_BEFORE_TIMING, _STEPS_BEFORE_TIMING + _TIMED_STEPS):
            return
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        now = time.monotonic()
        if self._steps == _STEPS_BEFORE_TIMING:
            self._since = now
            return
        if not trainer.is_global_zero:
            return
        seconds, steps = (now - self._since) / _TIMED_STEPS, int(trainer.num_training_batches)
        validation = (self._report.start_seconds + self._projection_seconds) / self._report.interval
        kpi = {"seconds_per_step": seconds, "steps_per_epoch": steps, "validation_seconds_per_epoch": validation}
        self._report.status.running(f"A step takes {seconds:.3g} s, an epoch has {steps}.", kpi=kpi)


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
