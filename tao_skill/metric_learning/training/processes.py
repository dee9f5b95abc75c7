"""The processes that train together: one for each GPU, or several on the CPU."""

import logging
import os
import threading
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.accelerators import CUDAAccelerator
from pytorch_lightning.strategies import DDPStrategy, Strategy
from pytorch_lightning.strategies.launchers.subprocess_script import _SubprocessScriptLauncher
from torch import nn

from tao_skill.config.train import Train
from tao_skill.errors import JobError, Problem, SpecError
from tao_skill.metric_learning.device import Device, choose_device
from tao_skill.metric_learning.engines.torch_network import evaluating
from tao_skill.metric_learning.first_process import is_torchruns, name_of_follower, tasks_of_slurm
from tao_skill.metric_learning.training.module import TrainingModule

__all__ = ["Processes", "find_processes", "fit_together", "freeze_unused"]

log = logging.getLogger(__name__)
# Tells the processes that this one starts whom they follow.
FIRST_PROCESS = "TAO_SKILL_FIRST_PROCESS"
_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_FOR_LAST_WORDS = 10.0
# How long processes wait for one another. The first looks at all images before it meets the others, which may take
# hours; a process that is gone is noticed by its connection, long before.
_PATIENCE = timedelta(hours=12)


@dataclass(frozen=True)
class Processes:
    """What Lightning is told of the processes, and what this one has to know of them.

    ``device`` is that of all processes on this machine, ``torch_device`` that of this process alone.
    """

    device: Device
    nodes: int
    environment: ClusterEnvironment
    follower: str

    @property
    def per_machine(self) -> int:
        """Return the number of processes on this machine."""
        return self.device.processes

    @property
    def count(self) -> int:
        """Return the number of all processes."""
        return self.per_machine * self.nodes

    @property
    def is_first(self) -> bool:
        """Tell whether this process speaks and writes for all."""
        return not self.follower

    @property
    def torch_device(self) -> torch.device:
        """Return the device of this process."""
        return self.device.of(self.environment.local_rank())

    def strategy(self) -> Strategy | Literal["auto"]:
        """Return what Lightning is to let them train together by."""
        return DDPStrategy(timeout=_PATIENCE) if self.count > 1 else "auto"

    def __str__(self) -> str:
        where = {"cpu": "CPU", "gpu": "GPU"}[self.device.accelerator]
        return f"the {where}" if self.count == 1 else f"{self.count} processes, each on a {where}"


def find_processes(train: Train, environment: Mapping[str, str] = os.environ) -> Processes:
    """Return the processes that a spec asks for, or those that torchrun or SLURM started already.

    Raises:
        SpecError: a GPU is not there, or SLURM was told too little.
    """
    if is_torchruns(environment):
        per_machine = int(environment["LOCAL_WORLD_SIZE"])
        started: ClusterEnvironment = TorchElasticEnvironment()
        nodes = int(environment["WORLD_SIZE"]) // per_machine
    elif (tasks := tasks_of_slurm(environment)) > 1:
        nodes = int(environment.get("SLURM_NNODES", 1))
        per_machine = int(environment.get("SLURM_NTASKS_PER_NODE", tasks // nodes))
        started = SLURMEnvironment()
        if per_machine * nodes != tasks:
            problem = Problem("SLURM_NTASKS", tasks, f"as many as {nodes} machines with {per_machine} tasks each have")
            raise SpecError("SLURM started the training on uneven machines.", problems=[problem])
    else:
        device = choose_device(train.num_gpus, train.gpu_ids, "train.gpu_ids", train.cpu_processes)
        if train.cpu_processes > 1 and device.accelerator == "gpu":
            log.warning("train.cpu_processes has no effect: this machine has a GPU, so train.num_gpus decides.")
        return Processes(device, train.num_nodes, LightningEnvironment(), name_of_follower(environment))
    ids = train.gpu_ids if len(train.gpu_ids) == per_machine else list(range(per_machine))
    device = choose_device(per_machine, ids, "train.gpu_ids", per_machine)
    return Processes(device, nodes, started, name_of_follower(environment))


def freeze_unused(network: nn.Module, example: torch.Tensor) -> list[str]:
    """Freeze the parameters that an embedding does not depend on, and return their names.

    Processes that train together wait for every gradient of each other, and these never come; a mask token is one.
    """
    with evaluating(network), torch.enable_grad():
        waiting = [network(example).grad_fn]
    reached, seen = set(), set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        reached.add(getattr(node, "variable", None))
        waiting += [before for before, _ in node.next_functions]
    unused = [name for name, one in network.named_parameters() if one.requires_grad and one not in reached]
    for name in unused:
        network.get_parameter(name).requires_grad_(False)
    return unused


def fit_together(trainer: pl.Trainer, module: TrainingModule, data: pl.LightningDataModule) -> None:
    """Run the training in all processes, which this one starts where nobody else has.

    Raises:
        JobError: another process ended before its time.
    """
    if trainer.world_size > 1:
        _make_fit_for_several(module, on_gpus=isinstance(trainer.accelerator, CUDAAccelerator))
        _follow_or_lead()
    with warnings.catch_warnings():
        # Lightning calls a function of PyTorch that is being renamed.
        warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated.*")
        # Which parts stay in evaluation mode is decided at the start of each epoch.
        module.train()
        try:
            trainer.fit(module, datamodule=data)
        except BaseException as error:
            _end_others(trainer)
            # Lightning answers Ctrl-C and SIGTERM by leaving the program: what it is part of has to know why.
            if isinstance(error, SystemExit):
                raise KeyboardInterrupt from error
            if trainer.world_size > 1 and _lost_another(error):
                raise JobError(
                    "Another process of this training ended before its time.",
                    next_step="see what that process says in the log and in status.json; then resume the job",
                ) from error
            raise


def _make_fit_for_several(module: TrainingModule, on_gpus: bool) -> None:
    recogniser, model = module.recogniser, module.spec.model
    device = next(recogniser.parameters()).device
    example = torch.zeros(1, model.input_channels, model.input_height, model.input_width, device=device)
    unused = freeze_unused(recogniser, example)
    if unused:
        log.debug("No embedding depends on %s.", ", ".join(unused))
    if on_gpus and not module.frozen_statistics:
        from timm.layers.norm_act import convert_sync_batchnorm

        # Statistics of all processes' images, as a single process would compute them. PyTorch's own function would
        # lose the activation that timm's layers hold.
        recogniser.trunk = convert_sync_batchnorm(recogniser.trunk)  # type: ignore[no-untyped-call]


def _follow_or_lead() -> None:
    """Let a process that the first one started end with it: alone it would wait half an hour for the others."""
    if FIRST_PROCESS in os.environ:
        threading.Thread(target=_end_with, args=(int(os.environ[FIRST_PROCESS]),), daemon=True).start()
    else:
        os.environ[FIRST_PROCESS] = str(os.getpid())


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    # Time to tell that the connection was lost, if there was one.
    time.sleep(_SECONDS_FOR_LAST_WORDS)
    os._exit(1)


def _end_others(trainer: pl.Trainer) -> None:
    """End the processes that this one started: they would wait for it for ever."""
    launcher = trainer.strategy.launcher
    if isinstance(launcher, _SubprocessScriptLauncher):
        started = list(launcher.procs)
        # Lightning watches this list, and would kill this process as well, in the midst of telling what went wrong.
        launcher.procs.clear()
        for process in started:
            process.kill()
            process.wait()


def _lost_another(error: BaseException) -> bool:
    """Tell whether an error is that of a connection between processes."""
    words = ("Connection closed by peer", "Connection reset by peer", "gloo/transport")
    return isinstance(error, torch.distributed.DistError) or any(word in str(error) for word in words)
