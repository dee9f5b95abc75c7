"""Which process speaks for all."""

import pytest

from tao_skill.metric_learning.first_process import name_of_follower, tasks_of_slurm


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, ""),
        ({"RANK": "3"}, ""),  # somebody else's
        ({"LOCAL_RANK": "0", "NODE_RANK": "0"}, ""),
        ({"LOCAL_RANK": "2"}, "process 2"),
        ({"NODE_RANK": "1"}, "process 0 on machine 1"),
        ({"LOCAL_RANK": "1", "NODE_RANK": "2"}, "process 1 on machine 2"),
        ({"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "LOCAL_RANK": "0"}, ""),
        ({"TORCHELASTIC_RUN_ID": "x", "RANK": "5", "LOCAL_RANK": "0", "GROUP_RANK": "1"}, "process 5"),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, ""),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1"}, "process 3"),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "LOCAL_RANK": "1"}, "process 1"),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_NAME": "bash", "LOCAL_RANK": "1"}, "process 1"),
    ],
)
def test_the_first_has_no_name(environment: dict[str, str], name: str) -> None:
    assert name_of_follower(environment) == name


def test_a_single_task_of_slurm_starts_the_others_itself() -> None:
    assert tasks_of_slurm({"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}) == 1
    assert tasks_of_slurm({"SLURM_PROCID": "0", "SLURM_NTASKS": "2"}) == 2
    assert tasks_of_slurm({"SLURM_NTASKS": "2"}) == 1  # within sbatch, without srun
