"""Take back the state of an interrupted training, where it fits the one that goes on with it."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from tao_skill.config.loss import LOSSES_WITH_WEIGHTS
from tao_skill.config.train import Train
from tao_skill.errors import CheckpointError, Problem
from tao_skill.metric_learning.data.image_set import name_some
from tao_skill.metric_learning.model.checkpoint import Checkpoint
from tao_skill.metric_learning.training.criterion import Criterion

__all__ = ["check_resumable", "optimizer_states", "resume_criterion"]

log = logging.getLogger(__name__)
# What a criterion's state holds of its memory: the library's buffers, and where the next entry goes.
_MEMORY = ("memory.embedding_memory", "memory.label_memory")
_EXTRA_STATE = "_extra_state"
# What the order of an epoch's images follows from, beside the seed: by its name in the state, the key that decides it.
_ORDER = {
    "images_per_step": ("train.batch_size", "such that all processes together draw {} images a step"),
    "num_instance": ("dataset.num_instance", "{}"),
    "num_images": ("dataset.train_dataset", "its {} images"),
}


def check_resumable(checkpoint: Checkpoint, train: Train, order: Mapping[str, int], classes: Sequence[str]) -> None:
    """Refuse a checkpoint whose state would not fit the training that is to go on with it.

    ``order`` holds, as the state does, what the order of an epoch's images follows from: ``images_per_step`` of all
    processes, ``num_instance``, ``num_images``. ``classes`` are the names of the training's classes.

    Raises:
        CheckpointError: with everything that differs.
    """
    state = checkpoint.training
    found = {
        "loss": _another("train.loss.name", train.loss.name, state.get("loss", "triplet")),
        "optimizer": _another("train.optim.name", train.optim.name, state.get("optimizer", train.optim.name)),
        "set of classes": _other_classes(train.loss.name, classes, checkpoint.recognition.get("class_names")),
        "order of images within its epoch": _other_order(state, order) if state["epoch_step"] else [],
    }
    differing = [what for what, problems in found.items() if problems]
    if differing:
        raise CheckpointError(
            f"The checkpoint to resume is of a training with another {' and another '.join(differing)}.",
            problems=[problem for problems in found.values() for problem in problems],
        )


def _another(key: str, now: str, then: str) -> list[Problem]:
    return [] if now == then else [Problem(key, now, f"{then}, as in the checkpoint")]


def _other_classes(loss: str, now: Sequence[str], then: Sequence[str] | None) -> list[Problem]:
    """Compare the classes where the loss has learned a vector of each, in their order."""
    if loss not in LOSSES_WITH_WEIGHTS or then is None or list(now) == list(then):
        return []
    new, gone = sorted(set(now) - set(then)), sorted(set(then) - set(now))
    changes = [f"{word} {name_some(names, 3)}" for word, names in (("without", new), ("with", gone)) if names]
    expected = (
        f"the {len(then)} classes of the checkpoint ({' and '.join(changes)}): {loss} has learned a vector of each"
    )
    return [Problem("dataset.train_dataset", f"{len(now)} classes", expected)]


def _other_order(state: Mapping[str, Any], now: Mapping[str, int]) -> list[Problem]:
    differing = [name for name in _ORDER if state.get(name, now[name]) != now[name]]
    return [
        Problem(_ORDER[name][0], now[name], f"{_ORDER[name][1].format(state[name])}, or a checkpoint of a whole epoch")
        for name in differing
    ]


def optimizer_states(state: Mapping[str, Any], learning: Sequence[str]) -> dict[str, Any]:
    """Return the optimizers' states by the names of the parts that learn; a part that learned nothing has none."""
    states = dict(zip(state.get("learning", learning), state["optimizers"], strict=True))
    for name in learning:
        if name not in states:
            log.warning("The optimizer of the %s begins anew: in the training that is resumed it did not learn.", name)
    return {name: states[name] for name in learning if name in states}


def _with_fitting_memory(
    criterion: Criterion, checkpoint: Checkpoint, train: Train, classes: Sequence[str]
) -> Mapping[str, Any]:
    """Return a criterion's state; its memory is empty where that of the checkpoint would not serve."""
    state = checkpoint.training
    held = state["criterion"]
    own = criterion.state_dict()
    sizes, others = ({name: one.shape for name, one in of.items() if name in _MEMORY} for of in (own, held))
    is_of_others = list(checkpoint.recognition.get("class_names") or classes) != list(classes)
    earlier = len(held[_MEMORY[0]]) - state.get("images_per_step", 0) if others else 0
    follows_batch = sizes != others and train.cross_batch_memory_size in (-1, earlier)
    if follows_batch or (sizes and is_of_others):
        how = "begins empty: that of the checkpoint is of other classes or size" if sizes else "is not needed any more"
        log.warning("The memory of earlier batches %s.", how)
        rest = {name: value for name, value in held.items() if name not in _MEMORY and name != _EXTRA_STATE}
        return rest | {name: own[name] for name in (*sizes, _EXTRA_STATE)}
    return dict(held)


def resume_criterion(criterion: Criterion, checkpoint: Checkpoint, train: Train, classes: Sequence[str]) -> None:
    """Give a criterion the memory and the weights that it had.

    The memory begins empty where it is of other ``classes``, whose numbers it holds, and where its size is another one
    because that of the batch is.

    Raises:
        CheckpointError: they are of other sizes.
    """
    try:
        criterion.load_state_dict(_with_fitting_memory(criterion, checkpoint, train, classes))
    except RuntimeError as error:
        if criterion.has_weights:
            name = f"train.loss.{train.loss.name}"
            problem = Problem(name, "", "as many vectors of each class as in the training that is resumed")
        else:
            expected = "the size of the memory in the training that is resumed"
            problem = Problem("train.cross_batch_memory_size", train.cross_batch_memory_size, expected)
        raise CheckpointError(
            f"The state of the loss does not fit the checkpoint to resume: {error}", problems=[problem]
        ) from error
