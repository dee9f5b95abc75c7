"""Which processor computes, and in which number format."""

import logging
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from tao_skill.errors import NotAvailableError, Problem, SpecError

__all__ = ["Device", "Precision", "choose_device", "choose_precision"]

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
log = logging.getLogger(__name__)


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


def choose_precision(requested: str, device: Device, network: nn.Module) -> Precision:
    """Return the number format to train a network in, in Lightning's words; ``requested`` is `train.precision`.

    Raises:
        NotAvailableError: the device can't compute in the format.
    """
    if requested == "fp32" or (requested == "auto" and not _gains_from_bf16(device, network)):
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


def _gains_from_bf16(device: Device, network: nn.Module) -> bool:
    """Tell whether a training step is faster in bf16 than in fp32: never where bf16 is only emulated.

    x86 processors compute in it with AMX or with AVX-512's instructions for it. With the latter alone, steps forwards
    and backwards took 0.4 to 0.9 of the time in fp32: ResNet, MobileNet, EfficientNet, ConvNeXt, RegNet and FAN, images
    of 32 to 224 pixels, convolutions as `quick_layers.py` computes them. On other processors with bf16 nothing was
    measured. Convolutions in groups are what may be slow there, so networks that have them stay in fp32.
    """
    if device.accelerator == "gpu":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities()
    if found.get("amx_bf16") or found.get("avx512_bf16"):
        return True
    return bool(found.get("bf16")) and not _has_grouped_convolutions(network)


def _has_grouped_convolutions(network: nn.Module) -> bool:
    return any(isinstance(layer, nn.Conv2d) and layer.groups > 1 for layer in network.modules())
