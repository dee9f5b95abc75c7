"""One optimizer for the trunk, one for the embedder."""

from typing import Any

import torch
from torch import nn

from tao_skill.config.optim import LearningRate, Optim
from tao_skill.errors import CheckpointError, Problem

__all__ = ["build_loss_optimizer", "build_optimizer", "restore_optimizer", "set_rates"]


def build_optimizer(part: nn.Module, rates: LearningRate, optim: Optim) -> torch.optim.Optimizer:
    """Return an optimizer over the parameters that learn; biases have their own rate and decay."""
    learning = [(name, parameter) for name, parameter in part.named_parameters() if parameter.requires_grad]
    weights = [parameter for name, parameter in learning if not name.endswith("bias")]
    biases = [parameter for name, parameter in learning if name.endswith("bias")]
    groups: list[dict[str, Any]] = []
    if weights:
        groups.append({"params": weights, "base_lr": rates.base_lr, "weight_decay": rates.weight_decay})
    if biases:
        bias_lr = rates.base_lr * rates.bias_lr_factor
        groups.append({"params": biases, "base_lr": bias_lr, "weight_decay": rates.weight_decay_bias})
    return _optimizer(groups, optim.name, rates.momentum)


def build_loss_optimizer(loss: nn.Module, optim: Optim) -> torch.optim.Optimizer:
    """Return an optimizer over the weights that a loss learns."""
    rates = optim.loss
    group = {"params": list(loss.parameters()), "base_lr": rates.base_lr, "weight_decay": rates.weight_decay}
    return _optimizer([group], optim.name, rates.momentum)


def _optimizer(groups: list[dict[str, Any]], name: str, momentum: float) -> torch.optim.Optimizer:
    for group in groups:
        group["lr"] = group["base_lr"]
    if name == "SGD":
        return torch.optim.SGD(groups, momentum=momentum, fused=True)
    return torch.optim.Adam(groups, fused=True) if name == "Adam" else torch.optim.Adamax(groups)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Set every group's learning rate to its base rate times a factor; return that of the weights."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
    return float(optimizer.param_groups[0]["lr"])


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Give an optimizer the averages it had, but leave its rates and decays as the spec of this run says.

    Raises:
        CheckpointError: it has other parameters: several processes don't learn those that no embedding depends on.
    """
    settings = [{name: group[name] for name in group if name != "params"} for group in optimizer.param_groups]
    try:
        optimizer.load_state_dict(state)
    except ValueError as error:
        expected = "as many processes as before, one or several: train.num_gpus, train.cpu_processes"
        raise CheckpointError(
            "The checkpoint to resume has the state of an optimizer of other parameters.",
            problems=[Problem("train.resume_training_checkpoint_path", str(error), expected)],
        ) from error
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)
