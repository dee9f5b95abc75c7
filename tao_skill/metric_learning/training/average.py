"""A running average of the recogniser's weights, which often recognises better than the weights of any one step."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import PARAM_LIST, AveragedModel, get_ema_multi_avg_fn

__all__ = ["automatic_decay", "average_of", "decay_at"]


def automatic_decay(updates: int) -> float:
    """Return the decay with which an average reaches back over half an epoch of so many updates."""
    return max(0.0, 1 - 2 / updates) if updates else 0.0


def decay_at(update: int, decay: float) -> float:
    """Return the share that the average keeps at an update, counted from 0: less at first, when all is still moving.

    The ramp (1 + n) / (10 + n) is that of TensorFlow's ExponentialMovingAverage.
    """
    return min(decay, (1 + update) / (10 + update))


def average_of(network: nn.Module, decay: float) -> AveragedModel:
    """Return the average of a network, batch statistics included, that starts as a copy of it.

    Its first update copies the network; each further one, n, keeps a share of ``decay_at(n, decay)``.
    """

    def keep(averaged: PARAM_LIST, current: PARAM_LIST, updates: Tensor | int) -> None:
        move = get_ema_multi_avg_fn(decay_at(int(updates), decay))  # type: ignore[no-untyped-call]
        move(averaged, current, updates)

    average = _Average(network, multi_avg_fn=keep, use_buffers=True)
    return average.requires_grad_(False)


class _Average(AveragedModel):
    """PyTorch's average, which asks both networks for their tensors once, not at each update: of a small network that
    is a fifteenth of a step.
    """

    _groups: list[tuple[list[Tensor], list[Tensor]]] | None = None

    def update_parameters(self, model: nn.Module) -> None:
        """Move towards a network, always the same one, whose tensors change in place."""
        if self.n_averaged == 0:
            super().update_parameters(model)
            return
        if self._groups is None:
            self._groups = _grouped(self.module, model)
        for averaged, current in self._groups:
            self.multi_avg_fn(averaged, current, self.n_averaged)  # type: ignore[misc]
        self.n_averaged += 1


def _grouped(averaged: nn.Module, current: nn.Module) -> list[tuple[list[Tensor], list[Tensor]]]:
    """Return the tensors of both networks, those of one device and number format together."""
    groups: dict[tuple[torch.device, torch.dtype], tuple[list[Tensor], list[Tensor]]] = {}
    mine, theirs = ([*network.parameters(), *network.buffers()] for network in (averaged, current))
    for average, value in zip(mine, theirs, strict=True):
        group = groups.setdefault((average.device, average.dtype), ([], []))
        group[0].append(average.detach())
        group[1].append(value.detach())
    return list(groups.values())
