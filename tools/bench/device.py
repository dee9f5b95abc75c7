"""Where both sides compute: on a GPU if there is one, as each of them does by itself, or on the CPU.

On a GPU the reference trains in float32, as PyTorch does by default, from pinned memory; this project chooses by itself
how it computes. Memory is that of the processes, not the GPU's. None of that has been tried on a GPU yet.
"""

import os
import time

import torch

__all__ = ["DEVICES", "moment", "reference_device", "use"]

DEVICES = ("auto", "cpu", "cuda")


def use(name: str) -> None:
    """Let this process and all that it starts use a device; before anything has computed.

    Raises:
        RuntimeError: there is no GPU, but it is asked for.
    """
    if name == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif name == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("--device cuda needs a GPU that PyTorch can use; --device auto takes what is there.")


def reference_device() -> torch.device:
    """Return where the reference computes."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def moment() -> float:
    """Return the time of the clock, in seconds, at which all that was begun on a GPU is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.time()
