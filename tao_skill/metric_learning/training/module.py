"""The Lightning module: one training step, and what is set at the start of each epoch."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel

from tao_skill.config.actions import TrainSpec
from tao_skill.config.metrics import EPOCH_MEANS
from tao_skill.errors import JobError, Problem
from tao_skill.metric_learning.model.checkpoint import Checkpoint
from tao_skill.metric_learning.model.pretrained import starts_pretrained
from tao_skill.metric_learning.model.recogniser import Recogniser
from tao_skill.metric_learning.training.average import automatic_decay, average_of
from tao_skill.metric_learning.training.collapse import CollapseWatch, EpochSums
from tao_skill.metric_learning.training.criterion import Criterion
from tao_skill.metric_learning.training.optimizers import (
    build_loss_optimizer,
    build_optimizer,
    restore_optimizer,
    set_rates,
)
from tao_skill.metric_learning.training.resumed import check_resumable, optimizer_states, resume_criterion
from tao_skill.metric_learning.training.schedule import rate_factor

__all__ = ["TrainingModule"]

PARTS = ("trunk", "embedder")
LOSS = "loss"
Batch = tuple[Tensor, Tensor, Tensor]
# Keeps the random numbers of steps apart from those of sampling and augmentation.
_STEP_STREAM = 7_919
_RANK_STREAM = 2**40
# An update from one class alone teaches the network to answer every image with that class's embedding.
CLASSES_OF_AN_UPDATE = 8


class TrainingModule(pl.LightningModule):
    """Train a recogniser with two optimizers.

    Every random number of a step comes from the seed and the step's number, so a resumed training draws what the
    uninterrupted one would have drawn.

    Processes that train together compare the embeddings of all their images: each computes the loss of all, and its
    gradients flow back to the process that each embedding is from. So N processes with batches of B learn what one
    process learns from batches of N·B.

    ``num_images`` is the size of the training set, which a training that is resumed within an epoch must find again.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        criterion: Criterion,
        spec: TrainSpec,
        seed: int,
        *,
        processes: int = 1,
        num_images: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.recogniser = recogniser
        self.criterion = criterion
        self.spec = spec
        self.seed = seed
        self.start_epoch = 0
        self.step = 0
        self.epoch_step = 0
        self.steps_per_epoch = 0  # told once the batches are known
        self.average: AveragedModel | None = None
        self._average_state: dict[str, Any] | None = None
        self._scaler_state: dict[str, Any] | None = None
        self._optimizer_states: dict[str, Any] = {}
        self._gradients: list[Tensor | None] = []
        self.rates: dict[str, float] = {}
        self.epoch_sums = EpochSums()
        self.collapse = CollapseWatch(spec)
        train = spec.train
        # What belongs to one step: the batches of all processes together.
        images_per_step = train.batch_size * processes
        classes = self.classes_per_step = images_per_step // spec.dataset.num_instance
        self.order = {
            "images_per_step": images_per_step,
            "num_instance": spec.dataset.num_instance,
            "num_images": num_images,
        }
        self.accumulated = train.accumulate_batches or (1 if classes >= 2 else CLASSES_OF_AN_UPDATE)
        self.frozen_statistics = train.batch_statistics == "frozen" or (
            # Statistics of one class take away what tells it from the others; those of a pretrained trunk are part of
            # what it knows.
            train.batch_statistics == "auto" and (classes < 2 or starts_pretrained(spec.model))
        )
        self.learning = [name for name in PARTS if getattr(train, f"train_{name}")]
        for name in PARTS:
            getattr(recogniser, name).requires_grad_(name in self.learning)
        self.learning += [LOSS] if criterion.has_weights else []

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Return an optimizer for each part that learns."""
        optim = self.spec.train.optim
        return [
            build_loss_optimizer(self.criterion.loss, optim)
            if name == LOSS
            else build_optimizer(getattr(self.recogniser, name), getattr(optim, name), optim)
            for name in self.learning
        ]

    @property
    def epoch(self) -> int:
        """Return the running epoch, counted from 0 over all runs of this training."""
        return self.start_epoch + self.current_epoch

    @property
    def best_weights(self) -> Recogniser:
        """Return the recogniser that validation measures and checkpoints hold: the average, where there is one."""
        if self.average is None:
            return self.recogniser
        averaged = self.average.module
        assert isinstance(averaged, Recogniser)
        return averaged

    def setup(self, stage: str) -> None:
        """Begin the average of the weights, or go on with that of a resumed training, before all moves to the device.

        A checkpoint's weights are the average: what the optimizers left stands beside it.
        """
        del stage
        strategy = self.trainer.strategy
        self.seed = strategy.broadcast(self.seed)
        # Weights and memory are copied from the first process; what stands beside them has to be told.
        self.criterion.set_extra_state(strategy.broadcast(self.criterion.get_extra_state()))
        decay = self.spec.train.weights_average_decay
        if decay < 0:
            decay = automatic_decay(self.steps_per_epoch // self.accumulated)
        if decay > 0:
            self.average = average_of(self.recogniser, decay)
        if self._average_state is not None:
            if self.average is not None:
                self.average.n_averaged.fill_(self._average_state["updates"])
            self.recogniser.load_state_dict(self._average_state["weights"])

    def on_train_start(self) -> None:
        """Give back the optimizers' states and the gradients of when the training was interrupted."""
        if (scaler := self._scaler()) is not None and self._scaler_state is not None:
            scaler.load_state_dict(self._scaler_state)
        for name, optimizer in zip(self.learning, self.trainer.optimizers, strict=True):
            if name in self._optimizer_states:
                restore_optimizer(optimizer, self._optimizer_states[name])
        for parameter, gradient in zip(self._learned(), self._gradients, strict=bool(self._gradients)):
            if gradient is not None and parameter.requires_grad:
                parameter.grad = gradient.to(parameter.device)

    def on_train_epoch_start(self) -> None:
        """Put the parts that learn in training mode, and set the epoch's learning rates."""
        for name in PARTS:
            # A frozen part keeps its batch statistics as well.
            getattr(self.recogniser, name).train(name in self.learning)
        if self.frozen_statistics:
            for layer in self.recogniser.trunk.modules():
                if isinstance(layer, _BatchNorm):
                    layer.eval()
        factor = rate_factor(self.epoch, self.spec.train.optim)
        self.rates = {
            f"{name}_base_lr": set_rates(optimizer, factor)
            for name, optimizer in zip(self.learning, self._optimizers(), strict=True)
        }

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Learn from a batch of images (batch, channels, height, width)."""
        del batch_idx
        images, labels, _ = batch
        torch.manual_seed((self.seed * _STEP_STREAM + self.step + self.global_rank * _RANK_STREAM) % 2**63)
        embeddings = self.recogniser(images.contiguous(memory_format=torch.channels_last))
        with torch.autocast(images.device.type, enabled=False):
            embeddings, labels = self._of_all_processes(embeddings.float(), labels)
            loss = self.criterion(embeddings, labels)
        if not torch.isfinite(loss):
            raise self._diverged(f"its loss is {float(loss.detach())}")
        self.manual_backward(loss / self._batches_of_update())
        self.step += 1
        self.epoch_step += 1
        if self.epoch_step % self.accumulated == 0 or self.epoch_step == self.trainer.num_training_batches:
            self._update()
        self.epoch_sums.add(loss.detach(), embeddings.detach())

    def _of_all_processes(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings and labels of all processes, the first one's first, as a single process would draw them.

        Backwards, each embedding gets the sum of its gradients from all processes, and the mean over the processes is
        taken of the weights' gradients: together that is the gradient of the one loss.
        """
        if self.trainer.world_size == 1:
            return embeddings, labels
        all_embeddings, all_labels = self.all_gather(embeddings, sync_grads=True), self.all_gather(labels)
        assert isinstance(all_embeddings, Tensor)
        assert isinstance(all_labels, Tensor)
        return all_embeddings.flatten(0, 1), all_labels.flatten(0, 1)

    def training_state(self, epoch_is_done: bool) -> dict[str, Any]:
        """Return, as tensors and plain data, all that the rest of the training depends on beside the weights."""
        return {
            "epoch": self.epoch + 1 if epoch_is_done else self.epoch,
            "epoch_step": 0 if epoch_is_done else self.epoch_step,
            "step": self.step,
            "seed": self.seed,
            **self.order,
            "epoch_sums": self.epoch_sums.state(),
            "collapse": self.collapse.state(),
            "frozen_statistics": self.frozen_statistics,
            "loss": self.spec.train.loss.name,
            "criterion": self.criterion.state_dict(),
            "average": self._average(),
            "scaler": scaler.state_dict() if (scaler := self._scaler()) is not None else None,
            "gradients": [parameter.grad for parameter in self._learned()],
            "optimizer": self.spec.train.optim.name,
            "learning": list(self.learning),
            "optimizers": [optimizer.state_dict() for optimizer in self.trainer.optimizers],
        }

    def resume(self, checkpoint: Checkpoint, classes: Sequence[str]) -> None:
        """Take back what training_state returned, before the trainer starts; ``classes`` are those of its images.

        Raises:
            CheckpointError: the state does not fit.
        """
        check_resumable(checkpoint, self.spec.train, self.order, classes)
        state = checkpoint.training
        self.start_epoch, self.epoch_step, self.step = state["epoch"], state["epoch_step"], state["step"]
        self.seed = state["seed"]
        self.frozen_statistics = state["frozen_statistics"]
        self.epoch_sums = EpochSums(**state["epoch_sums"])
        self.collapse.resume(state["collapse"])
        resume_criterion(self.criterion, checkpoint, self.spec.train, classes)
        self._average_state = state.get("average")
        self._scaler_state = state.get("scaler")
        self._optimizer_states = optimizer_states(state, self.learning)
        self._gradients = list(state["gradients"])

    def end_epoch(self) -> tuple[dict[str, float], bool]:
        """Return means over the epoch that ends, and whether its embeddings have collapsed; begin anew."""
        sums, data = self.epoch_sums, self.spec.dataset
        means = dict(zip(EPOCH_MEANS, (sums.mean_loss, sums.spread), strict=True))
        # Without a second class and a second image of each there would be no pairs.
        classes = max(self.classes_per_step, 2)
        alike = self.criterion.loss_if_alike(sums.mean_direction.float(), classes, max(data.num_instance, 2))
        collapsed = self.collapse.judge(self.epoch, sums.spread, sums.mean_loss, alike)
        self.epoch_sums, self.epoch_step = EpochSums(), 0
        return means | self.rates, collapsed

    def _learned(self) -> Iterator[nn.Parameter]:
        yield from self.recogniser.parameters()
        yield from self.criterion.loss.parameters()

    def _optimizers(self) -> list[Any]:
        optimizers = self.optimizers()
        return optimizers if isinstance(optimizers, list) else [optimizers]

    def _batches_of_update(self) -> int:
        """Return how many batches share the next update of the weights: an epoch may end with fewer."""
        first = self.epoch_step - self.epoch_step % self.accumulated
        return min(self.accumulated, int(self.trainer.num_training_batches) - first)

    def check_weights(self) -> None:
        """Look whether the weights can be kept.

        Raises:
            JobError: some are not finite, after an update that no later loss has told of.
        """
        held = {self.recogniser, self.best_weights}  # one and the same where nothing is averaged
        if not all(bool(torch.isfinite(one).all()) for part in held for one in part.state_dict().values()):
            raise self._diverged("its weights are not finite")

    def _diverged(self, what: str) -> JobError:
        optim = self.spec.train.optim
        rates = [
            Problem(f"train.optim.{name}.base_lr", getattr(optim, name).base_lr, "a lower rate, or a longer warm-up")
            for name in self.learning
        ]
        return JobError(
            f"The training diverged: {what} in epoch {self.epoch}, step {self.step}.",
            problems=[*rates, Problem("train.precision", self.spec.train.precision, "fp32, if it is not")],
            next_step="correct what is listed; checkpoints written so far are sound",
        )

    def _update(self) -> None:
        scaler, limit = self._scaler(), self.spec.train.clip_grad_norm
        if limit > 0:
            # Gradients that were scaled, to be representable in fp16, are as much longer.
            scale = scaler.get_scale() if scaler is not None else 1.0
            nn.utils.clip_grad_norm_(self.recogniser.parameters(), limit * scale)
        for optimizer in self._optimizers():
            if scaler is None:
                optimizer.step()
            else:
                # Lightning would change the scale after each optimizer, while the next one's gradients have the old.
                scaler.step(optimizer.optimizer)
            optimizer.zero_grad(set_to_none=True)
        if scaler is not None:
            scaler.update()
        if self.average is not None:
            self.average.update_parameters(self.recogniser)

    def _scaler(self) -> torch.amp.GradScaler | None:
        """Return what scales gradients in fp16; None in other formats."""
        scaler: torch.amp.GradScaler | None = getattr(self.trainer.precision_plugin, "scaler", None)
        return scaler

    def _average(self) -> dict[str, Any] | None:
        if self.average is None:
            return None
        return {"updates": int(self.average.n_averaged), "weights": self.recogniser.state_dict()}
