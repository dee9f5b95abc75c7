"""Notices collapse: all images get nearly the same embedding, the commonest failure of hard mining.

A loss over mined triplets is stuck there: with all distances alike, hard pairs pull every embedding to the same place.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tao_skill.config.actions import TrainSpec
from tao_skill.config.loss import LOSSES_WITH_WEIGHTS
from tao_skill.metric_learning.model.pretrained import starts_pretrained

__all__ = ["ALIKE", "CollapseWatch", "EpochSums"]

# Spread below which embeddings count as alike: the mean cosine similarity of any two is above 0.9.
ALIKE = 0.1
# Share of the loss of embeddings that are all the same, from which on a loss says that nothing was learned.
_NOTHING_LEARNED = 0.9


@dataclass
class EpochSums:
    """What is summed up over the steps of an epoch."""

    loss: float = 0.0
    steps: int = 0
    images: int = 0
    direction: Tensor | None = None

    def add(self, loss: Tensor, embeddings: Tensor) -> None:
        """Count a step with its loss and its embeddings (batch, embed_dim)."""
        units = normalize(embeddings.double(), dim=1).sum(dim=0)
        self.direction = units if self.direction is None else self.direction.to(units.device) + units
        self.loss += float(loss)
        self.steps += 1
        self.images += len(embeddings)

    @property
    def mean_loss(self) -> float:
        """Return the mean loss of the steps."""
        return self.loss / max(self.steps, 1)

    @property
    def mean_direction(self) -> Tensor:
        """Return the mean of all embeddings scaled to length 1, (embed_dim,): short where they differ."""
        return torch.zeros(1) if self.direction is None else self.direction / self.images

    @property
    def spread(self) -> float:
        """Return 1 - |mean unit embedding|²: 0 where all embeddings are alike, at most 1."""
        return float(1 - self.mean_direction.square().sum())

    def state(self) -> dict[str, Any]:
        """Return the sums as tensors and plain data."""
        return dict(vars(self))


@dataclass
class CollapseWatch:
    """Judge each epoch by the spread of its embeddings and its loss, and remember what was said."""

    spec: TrainSpec
    widest: float = 0.0
    warning: str = ""

    def judge(self, epoch: int, spread: float, loss: float, loss_if_alike: float) -> bool:
        """Tell whether the embeddings of an epoch, counted from 0, have collapsed; the first time, word a warning.

        During the warm-up embeddings may still be as alike as an untrained network makes them: then only a fall counts.
        """
        fell = spread < self.widest / 2
        warm = epoch + 1 >= self.spec.train.optim.warmup_iters
        self.widest = max(self.widest, spread)
        collapsed = spread < ALIKE and loss > _NOTHING_LEARNED * loss_if_alike and (fell or warm)
        if collapsed and not self.warning:
            self.warning = (
                f"Collapse in epoch {epoch}: nearly all images get the same embedding (spread {spread:.2g} of 1), and "
                f"the loss, {loss:.3g}, is that of embeddings without any difference. What helps: "
                f"{'; '.join(self._remedies())}."
            )
        return collapsed

    def state(self) -> dict[str, Any]:
        """Return what a resumed training has to know."""
        return {"widest": self.widest, "warning": self.warning}

    def resume(self, state: dict[str, Any]) -> None:
        """Take back what state returned."""
        self.widest, self.warning = state["widest"], state["warning"]

    def _remedies(self) -> list[str]:
        train, model = self.spec.train, self.spec.model
        # The most helpful first, as measured on collapses that were made to happen.
        found = []
        if train.loss.name not in LOSSES_WITH_WEIGHTS and train.miner.name != "none":
            found.append("all pairs instead of hard ones (train.miner.name=none)")
        found.append(f"lower rates (train.optim.trunk.base_lr is {train.optim.trunk.base_lr:g})")
        if train.loss.name != "supcon":
            found.append("a loss that weighs all pairs (train.loss.name=supcon)")
        found.append(f"a longer warm-up (train.optim.warmup_iters is {train.optim.warmup_iters})")
        if not starts_pretrained(model):
            found.append("pretrained weights (model.pretrained_trunk_path or model.timm_pretrained)")
        if train.batch_size // self.spec.dataset.num_instance < 8:
            found.append("more classes in a batch (train.batch_size)")
        if train.embedder_start == "random":
            found.append("train.embedder_start=discriminant")
        return found
