"""The keys that say which GPUs an action uses, the same in each section that has them."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from tao_skill.config.parameter import SECTION, parameter

__all__ = ["Devices"]


@dataclass(config=SECTION)
class Devices:
    """Where an action computes."""

    num_gpus: Annotated[
        int,
        parameter(
            "Number of GPUs; without one, the CPU is used.",
            title="Number of GPUs",
            ge=1,
            popular=True,
        ),
    ] = 1
    gpu_ids: Annotated[
        list[Annotated[int, Field(ge=0)]],
        parameter(
            "Indices of the GPUs, as many as num_gpus; follows num_gpus where only that is given.",
            title="GPU indices",
            automl=False,
            popular=True,
            min_length=1,
        ),
    ] = Field(default_factory=lambda: [0])
    num_nodes: Annotated[int, parameter("Number of machines.", title="Number of nodes", ge=1, popular=True)] = 1
