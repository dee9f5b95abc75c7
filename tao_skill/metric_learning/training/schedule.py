"""The learning-rate schedule: a warm-up, then steps down."""

from tao_skill.config.optim import Optim

__all__ = ["rate_factor"]


def rate_factor(epoch: int, optim: Optim) -> float:
    """Return the factor on the base learning rates in an epoch, counted from 0.

    During the first warmup_iters epochs the factor climbs from warmup_factor towards 1 on a straight line, or stays
    at warmup_factor (method constant); from each epoch of steps on it is multiplied by gamma.
    """
    warm = 1.0
    if epoch < optim.warmup_iters:
        share = epoch / optim.warmup_iters if optim.warmup_method == "linear" else 0.0
        warm = optim.warmup_factor * (1 - share) + share
    decays = sum(step <= epoch for step in optim.steps)
    return float(warm * optim.gamma**decays)
