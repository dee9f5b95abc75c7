"""The `wandb` section: tracking with Weights & Biases."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from tao_skill.config.parameter import SECTION, parameter

__all__ = ["Wandb"]


@dataclass(config=SECTION)
class Wandb:
    """Tracking with Weights & Biases, where its package is installed; without a key the run is kept offline."""

    enable: Annotated[
        bool,
        parameter(
            "Record metrics with Weights & Biases, where its package is installed; offline without a key.",
            title="Enable",
        ),
    ] = True
    project: Annotated[str, parameter("Project of the run.", title="Project")] = "TAO Toolkit"
    entity: Annotated[str | None, parameter("User or team that owns the run.", title="Entity")] = ""
    group: Annotated[str | None, parameter("Group to which the run belongs.", title="Group")] = ""
    tags: Annotated[list[str], parameter("Tags of the run.", title="Tags", automl=False)] = Field(
        default_factory=lambda: ["tao-toolkit"]
    )
    reinit: Annotated[bool, parameter("Allow several runs in one process.", title="Several runs")] = False
    sync_tensorboard: Annotated[
        bool, parameter("Take the metrics from what is written for TensorBoard.", title="Synchronise TensorBoard")
    ] = False
    save_code: Annotated[
        bool, parameter("Store the running script and its command line with the run.", title="Save code")
    ] = False
    name: Annotated[str, parameter("Name of the run.", title="Name")] = "TAO Toolkit Training"
    run_id: Annotated[
        str, parameter("Identifier of a run to continue; a resumed training continues its own.", title="Run identifier")
    ] = ""
