"""The actions, each with the one dataclass that holds all it reads."""

from functools import cache
from typing import Annotated, Any

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from tao_skill.config.action_names import ACTIONS
from tao_skill.config.dataset import Pixels, RetrievalData, TrainData
from tao_skill.config.deploy import Export, GenTrtEngine
from tao_skill.config.model import Input, Model
from tao_skill.config.parameter import SECTION, parameter
from tao_skill.config.recognition import Evaluate, Inference
from tao_skill.config.train import Train
from tao_skill.config.wandb import Wandb
from tao_skill.errors import UsageError

__all__ = [
    "EvaluateSpec",
    "ExportSpec",
    "GenTrtEngineSpec",
    "InferenceSpec",
    "TrainSpec",
    "spec_adapter",
    "spec_class",
]


@dataclass(config=SECTION)
class Spec:
    """What every action reads."""

    model_name: Annotated[
        str | None, parameter("Name that is written into results and checkpoints.", title="Model name")
    ] = "ml_recog"
    encryption_key: Annotated[
        str | None,
        parameter("Accepted for compatibility: checkpoints are never encrypted.", title="Encryption key"),
    ] = ""
    results_dir: Annotated[
        str | None,
        parameter("Folder of the job; each action writes into a folder of its own in it.", title="Results folder"),
    ] = ""


@dataclass(config=SECTION)
class TrainSpec(Spec):
    """What `train` reads."""

    wandb: Wandb = Field(default_factory=Wandb, title="Weights & Biases", description="Tracking of runs.")
    train: Train = Field(default_factory=Train, title="Training", description="How the model learns.")
    model: Model = Field(default_factory=Model, title="Model", description="Trunk, embedder and input size.")
    dataset: TrainData = Field(default_factory=TrainData, title="Data", description="Images and how they are drawn.")


@dataclass(config=SECTION)
class EvaluateSpec(Spec):
    """What `evaluate` reads."""

    evaluate: Evaluate = Field(default_factory=Evaluate, title="Evaluation", description="How a model is measured.")
    model: Model = Field(default_factory=Model, title="Model", description="Trunk, embedder and input size.")
    dataset: RetrievalData = Field(
        default_factory=RetrievalData, title="Data", description="Reference and query images."
    )


@dataclass(config=SECTION)
class InferenceSpec(Spec):
    """What `inference` reads."""

    inference: Inference = Field(
        default_factory=Inference, title="Inference", description="Which images are recognised."
    )
    model: Model = Field(default_factory=Model, title="Model", description="Trunk, embedder and input size.")
    dataset: RetrievalData = Field(default_factory=RetrievalData, title="Data", description="Reference images.")


@dataclass(config=SECTION)
class ExportSpec(Spec):
    """What `export` reads."""

    export: Export = Field(default_factory=Export, title="Export", description="How a model becomes an ONNX file.")
    model: Model = Field(default_factory=Model, title="Model", description="Trunk, embedder and input size.")
    dataset: Pixels = Field(default_factory=Pixels, title="Data", description="How pixels become numbers.")


@dataclass(config=SECTION)
class GenTrtEngineSpec(Spec):
    """What `gen_trt_engine` reads."""

    gen_trt_engine: GenTrtEngine = Field(
        default_factory=GenTrtEngine,
        title="Engine",
        description="How an ONNX file becomes a TensorRT engine.",
    )
    model: Input = Field(default_factory=Input, title="Model", description="Input size, for calibration.")
    dataset: Pixels = Field(default_factory=Pixels, title="Data", description="How pixels become numbers.")


_SPECS: dict[str, type[Any]] = dict(
    zip(ACTIONS, (TrainSpec, EvaluateSpec, InferenceSpec, ExportSpec, GenTrtEngineSpec), strict=True)
)


def spec_class(action: str) -> type[Any]:
    """Return the dataclass of an action.

    Raises:
        UsageError: there is no such action.
    """
    try:
        return _SPECS[action]
    except KeyError:
        known = ", ".join(ACTIONS)
        raise UsageError(f"There is no action {action!r}; the actions are {known}.") from None


@cache
def spec_adapter(action: str) -> TypeAdapter[Any]:
    """Return what validates and describes an action's dataclass; to build it takes a while, so it is built once.

    Raises:
        UsageError: there is no such action.
    """
    return TypeAdapter(spec_class(action))
