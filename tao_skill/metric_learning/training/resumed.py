"""Take back the state of an interrupted training, where it fits the one that goes on with it."""

from collections.abc import Mapping
from typing import Any

from tao_skill.config.train import Train
from tao_skill.errors import CheckpointError, Problem
from tao_skill.metric_learning.training.criterion import Criterion

__all__ = ["check_position", "resume_criterion"]


def check_position(state: Mapping[str, Any], images_per_step: int, train: Train) -> None:
    """Refuse a state from within an epoch that was drawn in steps of another size.

    Raises:
        CheckpointError: it was; ``images_per_step`` counts those of all processes.
    """
    then = state["images_per_step"]
    if state["epoch_step"] and then != images_per_step:
        expected = f"such that all processes together draw {then} images a step, or a checkpoint of a whole epoch"
        raise CheckpointError(
            "The checkpoint to resume is from within an epoch, which was drawn in steps of another size.",
            problems=[Problem("train.batch_size", train.batch_size, expected)],
        )


def resume_criterion(criterion: Criterion, state: Mapping[str, Any], train: Train) -> None:
    """Give a criterion the memory and the weights that it had.

    Raises:
        CheckpointError: they are of another loss, or of other sizes.
    """
    now, then = train.loss.name, state.get("loss", "triplet")
    if now != then:
        problem = Problem("train.loss.name", now, f"{then}, as in the checkpoint")
        raise CheckpointError("The checkpoint to resume is of a training with another loss.", problems=[problem])
    try:
        criterion.load_state_dict(state["criterion"])
    except RuntimeError as error:
        expected = "the sizes of the training that is resumed: of the memory, of embeddings, and so many classes"
        problem = Problem("train.cross_batch_memory_size", train.cross_batch_memory_size, expected)
        raise CheckpointError(
            f"The state of the loss does not fit the checkpoint to resume: {error}", problems=[problem]
        ) from error
