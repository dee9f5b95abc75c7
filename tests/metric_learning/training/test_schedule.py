"""The learning-rate schedule."""

import pytest

from tao_skill.config.optim import Optim
from tao_skill.metric_learning.training.schedule import rate_factor


def naive(epoch: int, optim: Optim) -> float:
    """Return the factor as torch's schedulers would arrive at it, one epoch after the other."""
    factor = 1.0
    for step in optim.steps:
        if epoch >= step:
            factor *= optim.gamma
    if epoch >= optim.warmup_iters:
        return factor
    if optim.warmup_method == "constant":
        return factor * optim.warmup_factor
    share = epoch / optim.warmup_iters
    return factor * (optim.warmup_factor * (1 - share) + share)


@pytest.mark.parametrize("method", ["linear", "constant"])
@pytest.mark.parametrize("steps", [[], [3], [2, 5], [40, 70]])
def test_factor_follows_warm_up_and_steps(method: str, steps: list[int]) -> None:  # R48
    optim = Optim(steps=steps, gamma=0.5, warmup_factor=0.1, warmup_iters=4, warmup_method=method)  # type: ignore[arg-type]
    assert [rate_factor(epoch, optim) for epoch in range(80)] == pytest.approx([naive(e, optim) for e in range(80)])


def test_defaults_reach_the_base_rate_and_decay_at_the_stated_epochs() -> None:  # R48
    optim = Optim()
    factors = {epoch: rate_factor(epoch, optim) for epoch in (0, 9, 10, 39, 40, 69, 70)}
    assert factors == pytest.approx({0: 0.01, 9: 0.901, 10: 1.0, 39: 1.0, 40: 0.1, 69: 0.1, 70: 0.01})
