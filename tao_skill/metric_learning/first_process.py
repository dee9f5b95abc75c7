"""Which of the processes that train together this one is: the first one speaks and writes for all."""

import os
from collections.abc import Mapping

__all__ = ["is_torchruns", "name_of_follower", "tasks_of_slurm"]


def name_of_follower(environment: Mapping[str, str] = os.environ) -> str:
    """Return what to call this process; empty where it works alone or is the first.

    torchrun and SLURM number all processes; Lightning numbers those of a machine, and the user the machines.
    """
    if is_torchruns(environment):
        number = environment["RANK"]
    elif tasks_of_slurm(environment) > 1:
        number = environment["SLURM_PROCID"]
    else:
        machine = environment.get("NODE_RANK", environment.get("GROUP_RANK", "0"))
        number = environment.get("LOCAL_RANK", "0")
        if machine != "0":
            return f"process {number} on machine {machine}"
    return "" if number == "0" else f"process {number}"


def is_torchruns(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in environment


def tasks_of_slurm(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many tasks srun started; 1 where a single process is to start the others, as outside of SLURM."""
    if "SLURM_PROCID" not in environment or environment.get("SLURM_JOB_NAME") in ("bash", "interactive"):
        return 1
    return int(environment.get("SLURM_NTASKS", 1))
