"""The `train` section."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tao_skill.config.devices import Devices
from tao_skill.config.loss import Loss, Miner
from tao_skill.config.optim import Optim
from tao_skill.config.parameter import SECTION, Effect, parameter

__all__ = ["Checkpointer", "CuDNN", "Train"]

LARGEST_SEED = 2**32 - 1


@dataclass(config=SECTION)
class CuDNN:
    """Behaviour of NVIDIA's convolution library; without effect on a CPU."""

    benchmark: Annotated[
        bool,
        parameter("Time several convolution algorithms at the start and keep the fastest.", title="Benchmark"),
    ] = False
    deterministic: Annotated[
        bool, parameter("Use only convolution algorithms whose results repeat.", title="Deterministic")
    ] = True


@dataclass(config=SECTION)
class Checkpointer:
    """Which best checkpoints are kept beside the periodic ones."""

    enable_topk: Annotated[
        bool,
        parameter("Keep the best checkpoints under names of their own.", title="Keep the best checkpoints"),
    ] = False
    replace_periodic: Annotated[
        bool,
        parameter(
            "Keep no periodic checkpoints but the latest.", title="Replace periodic checkpoints", trial_value=True
        ),
    ] = False
    monitor: Annotated[
        str | None,
        parameter(
            "Metric that ranks checkpoints; null means `val Precision at Rank 1`.",
            title="Monitored metric",
            monitor="metric",
        ),
    ] = None
    mode: Annotated[
        Literal["min", "max"] | None,
        parameter(
            "Whether small or large values of the metric are better; null: `max`, or `min` where its name says loss.",
            title="Monitor mode",
            monitor="mode",
            tao_type="categorical",
        ),
    ] = None
    save_top_k: Annotated[
        int, parameter("Number of best checkpoints that are kept.", title="Number of best checkpoints", ge=1)
    ] = 1
    filename: Annotated[
        str,
        parameter(
            "Name pattern of the best checkpoints; `{epoch}`, `{step}` and metric names are filled in, and one of the "
            "first two has to be there.",
            title="Name pattern",
            min_length=1,
        ),
    ] = "model_best_{epoch:03d}"
    dirpath: Annotated[
        str | None,
        parameter("Folder of the best checkpoints; null means the results folder.", title="Folder"),
    ] = None
    auto_insert_metric_name: Annotated[
        bool,
        parameter("Write each pattern's field as `name=value` instead of the value alone.", title="Insert names"),
    ] = False


@dataclass(config=SECTION)
class Train(Devices):
    """How the model learns."""

    cpu_processes: Annotated[
        int,
        parameter(
            "Processes that train together on a machine without a GPU, each with batches of batch_size; on GPUs "
            "num_gpus decides.",
            title="Processes on a CPU",
            ge=1,
        ),
    ] = 1
    seed: Annotated[
        int,
        parameter(
            "Seed of every random choice; -1 takes a new one for each run.",
            title="Seed",
            ge=-1,
            le=LARGEST_SEED,
        ),
    ] = 1234
    cudnn: CuDNN = Field(default_factory=CuDNN, title="cuDNN", description="NVIDIA's convolution library.")
    num_epochs: Annotated[
        int,
        parameter(
            "Number of passes over the training images.", title="Number of epochs", ge=1, popular=True, budget=True
        ),
    ] = 10
    checkpoint_interval: Annotated[
        int,
        parameter(
            "A checkpoint is written after every so many epochs or steps, and at the end.",
            title="Checkpoint interval",
            ge=1,
            popular=True,
        ),
    ] = 1
    checkpoint_interval_unit: Annotated[
        Literal["epoch", "step"],
        parameter("Unit of checkpoint_interval.", title="Unit of the interval", tao_type="categorical"),
    ] = "epoch"
    validation_interval: Annotated[
        int,
        parameter(
            "Validation runs after every so many epochs, and after the last.",
            title="Validation interval",
            ge=1,
            popular=True,
        ),
    ] = 1
    resume_training_checkpoint_path: Annotated[
        str | None,
        parameter("Checkpoint from which an interrupted training goes on.", title="Resume checkpoint"),
    ] = ""
    results_dir: Annotated[
        str | None,
        parameter("Folder of this action's files; empty means `<results_dir>/train`.", title="Results folder"),
    ] = ""
    checkpointer: Checkpointer = Field(
        default_factory=Checkpointer,
        title="Checkpointer",
        description="Which best checkpoints are kept; of equally good ones those with the higher MAP@R.",
    )
    optim: Optim = Field(default_factory=Optim, title="Optimization", description="Optimizers, schedule and margins.")
    loss: Loss = Field(default_factory=Loss, title="Loss", description="What is minimised.")
    miner: Miner = Field(default_factory=Miner, title="Miner", description="Which pairs of a batch the loss sees.")
    clip_grad_norm: Annotated[
        float,
        parameter(
            "Largest L2 norm of the gradients of trunk and embedder together; 0 switches clipping off.",
            title="Gradient clipping",
            ge=0.0,
            math_cond=">= 0.0",
        ),
    ] = 0.0
    report_accuracy_per_class: Annotated[
        bool, parameter("Write the validation metrics of each class to a file.", title="Report per class")
    ] = True
    smooth_loss: Annotated[
        bool,
        parameter(
            "Use the smooth triplet loss, softplus(d_ap - d_an + margin), instead of the hinge.",
            title="Smooth loss",
            effect=Effect("train.loss.name", "train.loss.name = {value} decides", values=("triplet",)),
        ),
    ] = True
    batch_size: Annotated[
        int,
        parameter(
            "Images in a batch on each GPU; a multiple of dataset.num_instance.",
            title="Batch size",
            ge=1,
            multiple_of="dataset.num_instance",
            # Two classes in a batch: one alone has no negatives.
            search_multiples=2,
            popular=False,
        ),
    ] = 4
    val_batch_size: Annotated[
        int, parameter("Images embedded at once during validation.", title="Validation batch size", ge=1)
    ] = 4
    false_accept_rate: Annotated[
        float,
        parameter(
            "Share of unknown images that may pass for known ones: validation chooses the distance beyond which an "
            "image counts as unknown accordingly.",
            title="False accept rate",
            ge=0.0,
            le=1.0,
        ),
    ] = 0.05
    train_trunk: Annotated[
        bool | None,
        parameter("Update the trunk; false freezes its weights and its batch statistics.", title="Train the trunk"),
    ] = True
    train_embedder: Annotated[
        bool | None, parameter("Update the embedding head; false freezes it.", title="Train the embedder")
    ] = True
    cross_batch_memory_size: Annotated[
        int,
        parameter(
            "Embeddings of earlier batches that serve as further negatives and positives; 0 is none, "
            "-1 is automatic: 1024, or as many as there are training images where they are fewer, where a batch holds "
            "fewer than two classes or one image of each; else 0.",
            title="Cross-batch memory size",
            ge=-1,
            kept_on_resume=True,
        ),
    ] = -1
    embedder_start: Annotated[
        Literal["auto", "random", "discriminant"],
        parameter(
            "What an embedder without pretrained weights starts as: a random projection of the trunk's features, or "
            "the one that separates the training classes best (linear discriminant analysis); auto is discriminant.",
            title="Start of the embedder",
            tao_type="categorical",
        ),
    ] = "auto"
    embedder_refit: Annotated[
        bool,
        parameter(
            "At each validation, also measure the embedder that linear discriminant analysis computes from the trained "
            "trunk's features, and keep it in the best checkpoint where it recognises better than the trained one; "
            "only for linear embedders that learn.",
            title="Refit of the embedder",
        ),
    ] = True
    accumulate_batches: Annotated[
        int,
        parameter(
            "Batches whose gradients are averaged for one update of the weights; 0 is automatic: as many as hold eight "
            "classes where a batch holds fewer than two, else 1.",
            title="Accumulated batches",
            ge=0,
        ),
    ] = 0
    batch_statistics: Annotated[
        Literal["auto", "batch", "frozen"],
        parameter(
            "Statistics that batch normalisation of the trunk uses while training: those of each batch, or the frozen "
            "ones that it starts with; auto is frozen for a pretrained trunk, and where a batch holds fewer than two "
            "classes, else batch.",
            title="Batch statistics",
            tao_type="categorical",
        ),
    ] = "auto"
    weights_average_decay: Annotated[
        float,
        parameter(
            "Share of itself that a running average of the weights keeps at each update, such as 0.999; the first "
            "updates count for more. Validation and checkpoints then use the average. 0 is no average, -1 is "
            "automatic: an average over about half an epoch.",
            title="Decay of the weights' average",
            ge=-1.0,
            le=0.999999,
        ),
    ] = -1.0
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        parameter(
            "Number format of the forward and backward pass; auto is bf16 where the GPU or processor itself computes "
            "in it, else fp32, on ARM also for networks with grouped convolutions; fp16 needs a GPU.",
            title="Precision",
            tao_type="categorical",
        ),
    ] = "auto"
