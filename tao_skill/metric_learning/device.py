"""Which processor computes, and in which number format."""

import logging
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tao_skill.errors import NotAvailableError, Problem, SpecError
from tao_skill.metric_learning.engines.torch_network import evaluating

__all__ = ["Device", "choose_device", "choose_precision"]

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
log = logging.getLogger(__name__)
# Share of multiplications: FAN has 2 to 3 % and gains from bf16, ConvNeXt and EfficientNet have 5 to 9 % and lose.
_FEW_GROUPED = 0.04


@dataclass(frozen=True)
class Device:
    """What Lightning is told: the accelerator and its devices; on a CPU that is the number of processes."""

    accelerator: Literal["gpu", "cpu"]
    devices: list[int] | int

    @property
    def processes(self) -> int:
        """Return the number of processes on this machine: one for each GPU."""
        return self.devices if isinstance(self.devices, int) else len(self.devices)

    @property
    def torch_device(self) -> torch.device:
        """Return the device of a single process."""
        return self.of(0)

    def of(self, local_rank: int) -> torch.device:
        """Return the device of one of this machine's processes."""
        return torch.device("cpu") if isinstance(self.devices, int) else torch.device("cuda", self.devices[local_rank])


def choose_device(num_gpus: int, gpu_ids: list[int], key: str, cpu_processes: int = 1) -> Device:
    """Return the GPUs that were asked for or, where there is none, the CPU with so many processes.

    Raises:
        SpecError: an index names a GPU that is not there; ``key`` is the spec key of the indices.
    """
    if not torch.cuda.is_available():
        if num_gpus > 1 and cpu_processes == 1:
            log.warning(
                "%s asks for %d GPUs, but this machine has none: one CPU process is used%s.",
                key,
                num_gpus,
                " (train.cpu_processes starts more)" if key.startswith("train.") else "",
            )
        return Device("cpu", cpu_processes)
    count = torch.cuda.device_count()
    absent = [index for index in gpu_ids if index >= count]
    if absent:
        problem = Problem(key, gpu_ids, f"indices below {count}, the number of GPUs of this machine")
        raise SpecError(f"GPU {absent[0]} is not there.", problems=[problem])
    return Device("gpu", list(gpu_ids))


def choose_precision(requested: str, device: Device, network: nn.Module, image: tuple[int, int, int]) -> Precision:
    """Return the number format in Lightning's words, for a network that takes images (channels, height, width).

    Raises:
        NotAvailableError: the device can't compute in the format.
    """
    if requested == "fp32" or (requested == "auto" and not _gains_from_bf16(device, network, image)):
        return "32-true"
    if requested in ("bf16", "auto"):
        return "bf16-mixed"
    if device.accelerator == "cpu":
        raise NotAvailableError(
            "train.precision = fp16 needs a GPU.",
            problems=[Problem("train.precision", requested, "auto, fp32 or bf16 on a CPU")],
            next_step="give the same command with train.precision=auto",
        )
    return "16-mixed"


def _gains_from_bf16(device: Device, network: nn.Module, image: tuple[int, int, int]) -> bool:
    """Tell whether bf16 is computed by the hardware and faster than fp32: emulation never is.

    Depthwise convolutions stay in fp32 on CPUs (`quick_layers.py`). What is left of a network that has many of them
    gains only where the processor multiplies whole tiles.
    """
    if device.accelerator == "gpu":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities()
    can = bool(found.get("avx512_bf16") or found.get("amx_bf16") or found.get("bf16"))
    if found.get("amx_bf16"):
        return True
    return can and _share_of_grouped_convolutions(network, image) < _FEW_GROUPED


def _share_of_grouped_convolutions(network: nn.Module, image: tuple[int, int, int]) -> float:
    """Return which share of all multiplications convolutions in groups do, such as depthwise ones.

    On CPUs their backward pass takes about twice as long in bf16 as in fp32, and that of all else less.
    """
    counts = {True: 0, False: 0}

    def count(layer: nn.Module, _: Any, output: Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            counts[layer.groups > 1] += output.numel() * layer.weight[0].numel()
        elif isinstance(layer, nn.Linear):
            counts[False] += output.numel() * layer.in_features

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    if not any(isinstance(layer, nn.Conv2d) and layer.groups > 1 for layer in layers):
        return 0.0
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        with evaluating(network), torch.inference_mode():
            network(torch.zeros(1, *image))
    finally:
        for hook in hooks:
            hook.remove()
    return counts[True] / max(sum(counts.values()), 1)
