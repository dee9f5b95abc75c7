"""One optimizer for the trunk, one for the embedder."""

from typing import Any

import torch
from torch import nn

from tao_skill.config.optim import LearningRate, Optim

__all__ = ["build_optimizer", "set_rates"]


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
    for group in groups:
        group["lr"] = group["base_lr"]
    if optim.name == "SGD":
        return torch.optim.SGD(groups, momentum=rates.momentum, fused=True)
    return torch.optim.Adam(groups, fused=True) if optim.name == "Adam" else torch.optim.Adamax(groups)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Set every group's learning rate to its base rate times a factor; return that of the weights."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
    return float(optimizer.param_groups[0]["lr"])
