"""The `train.optim` section: optimizers, learning-rate schedule, loss and miner margins."""

from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tao_skill.config.loss import COMPARES_IMAGES, HAS_WEIGHTS
from tao_skill.config.parameter import SECTION, Effect, Search, effect_facts, parameter

__all__ = ["LearningRate", "LossRate", "Optim"]


@dataclass(config=SECTION)
class LearningRate:
    """The optimizer settings of one part of the model, trunk or embedder."""

    bias_lr_factor: Annotated[
        float,
        parameter(
            "Factor on the learning rate of bias terms.",
            title="Bias learning-rate factor",
            ge=1.0,
            le=10.0,
            math_cond=">= 1",
            automl=True,
            search=Search(1.0, 4.0),
        ),
    ] = 1.0
    base_lr: Annotated[
        float,
        parameter(
            "Learning rate after the warm-up and before the first decay.",
            title="Base learning rate",
            gt=0,
            le=1.0,
            math_cond="> 0.0",
            automl=True,
            search=Search(1e-5, 1e-2, log=True),
        ),
    ] = 3.5e-4
    momentum: Annotated[
        float,
        parameter(
            "Momentum of SGD; the Adam family does not read it.",
            title="Momentum",
            ge=0.0,
            le=1.0,
            math_cond="> 0.0",
            automl=True,
            search=Search(0.8, 0.99),
            effect=Effect("train.optim.name", "{value} has no momentum setting", values=("SGD",)),
        ),
    ] = 0.9
    weight_decay: Annotated[
        float,
        parameter(
            "L2 penalty on weights.",
            title="Weight decay",
            ge=0.0,
            le=1.0,
            math_cond="> 0.0",
            automl=True,
            search=Search(1e-8, 1e-3, log=True),
        ),
    ] = 5e-4
    weight_decay_bias: Annotated[
        float,
        parameter(
            "L2 penalty on bias terms.",
            title="Weight decay of biases",
            ge=0.0,
            le=1.0,
            math_cond="> 0.0",
            automl=True,
            search=Search(1e-8, 1e-3, log=True),
        ),
    ] = 5e-4


def _while_learning(part: str) -> dict[str, Any]:
    key = f"train.train_{part}"
    return effect_facts(Effect(key, f"{key} is false", values=(True,)))


@dataclass(config=SECTION)
class LossRate:
    """The optimizer settings of a loss's own weights, which start with a length of 1."""

    base_lr: Annotated[
        float,
        parameter(
            "Learning rate of class vectors after the warm-up and before the first decay.",
            title="Base learning rate",
            gt=0,
            le=1.0,
            math_cond="> 0.0",
        ),
    ] = 3.5e-3
    momentum: Annotated[
        float,
        parameter(
            "Momentum of SGD; the Adam family does not read it.",
            title="Momentum",
            ge=0.0,
            le=1.0,
            effect=Effect("train.optim.name", "{value} has no momentum setting", values=("SGD",)),
        ),
    ] = 0.9
    weight_decay: Annotated[
        float,
        parameter(
            "L2 penalty on class vectors, of which only the direction counts.", title="Weight decay", ge=0.0, le=1.0
        ),
    ] = 0.0


@dataclass(config=SECTION)
class Optim:
    """How weights are updated, and what the loss asks of them."""

    name: Annotated[
        Literal["Adam", "SGD", "Adamax"],
        parameter(
            "Optimizer of both trunk and embedder.",
            title="Optimizer",
            option_weights=(0.6, 0.3, 0.1),
            tao_type="categorical",
            kept_on_resume=True,
        ),
    ] = "Adam"
    steps: Annotated[
        list[int],
        parameter(
            "Epochs, counted from 0 and ascending, at whose start the learning rates are multiplied by gamma.",
            title="Decay epochs",
            automl=False,
        ),
    ] = Field(default_factory=lambda: [40, 70])
    gamma: Annotated[
        float,
        parameter(
            "Factor on the learning rates at each decay epoch.",
            title="Decay factor",
            gt=0,
            le=1.0,
            math_cond="> 0.0",
            automl=True,
            # Up to none at all: what is trained for much longer than until the last decay would stand still.
            search=Search(0.05, 1.0, log=True),
            effect=Effect(
                "train.optim.steps", "no decay epoch of {value} comes before the end", below="train.num_epochs"
            ),
        ),
    ] = 0.1
    warmup_factor: Annotated[
        float,
        parameter(
            "Share of the base learning rate at which the warm-up starts.",
            title="Warm-up factor",
            gt=0,
            le=1.0,
            math_cond="> 0.0",
            automl=True,
            search=Search(1e-3, 0.5, log=True),
        ),
    ] = 0.01
    warmup_iters: Annotated[
        int,
        parameter(
            "Length of the warm-up, in epochs.",
            title="Warm-up epochs",
            ge=1,
            le=10000,
            math_cond="> 0",
            automl=True,
            # A warm-up that outlasts half of the training leaves too little at the rate that was chosen.
            search=Search(1, 20, high_key="train.num_epochs", high_share=0.5),
        ),
    ] = 10
    warmup_method: Annotated[
        Literal["linear", "constant"],
        parameter(
            "Shape of the warm-up: a straight line up to the base learning rate, or one low value until it ends.",
            title="Warm-up method",
            option_weights=(0.8, 0.2),
            tao_type="categorical",
        ),
    ] = "linear"
    triplet_loss_margin: Annotated[
        float,
        parameter(
            "Distance by which a negative must be farther from the anchor than a positive (unit vectors, L2).",
            title="Triplet loss margin",
            gt=0,
            le=2.0,
            math_cond="> 0.0",
            automl=True,
            search=Search(0.02, 1.0),
            effect=Effect("train.loss.name", "train.loss.name = {value} decides", values=("triplet",)),
        ),
    ] = 0.3
    embedder: LearningRate = Field(
        default_factory=LearningRate,
        title="Embedder",
        description="Optimizer settings of the embedding head.",
        json_schema_extra=_while_learning("embedder"),
    )
    trunk: LearningRate = Field(
        default_factory=LearningRate,
        title="Trunk",
        description="Optimizer settings of the trunk.",
        json_schema_extra=_while_learning("trunk"),
    )
    loss: LossRate = Field(
        default_factory=LossRate,
        title="Loss",
        description="Optimizer settings of a loss's own weights.",
        json_schema_extra=effect_facts(HAS_WEIGHTS),
    )
    miner_function_margin: Annotated[
        float,
        parameter(
            "How much easier than the hardest opposite pair a pair may be and still be mined (cosine similarity).",
            title="Miner margin",
            gt=0,
            le=2.0,
            math_cond="> 0.0",
            automl=True,
            search=Search(0.02, 0.5),
            effect=(
                COMPARES_IMAGES,
                Effect("train.miner.name", "train.miner.name = {value} decides", values=("multi_similarity",)),
            ),
        ),
    ] = 0.1
