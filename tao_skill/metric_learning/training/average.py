"""A running average of the recogniser's weights, which often recognises better than the weights of any one step."""

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

    average = AveragedModel(network, multi_avg_fn=keep, use_buffers=True)
    return average.requires_grad_(False)
