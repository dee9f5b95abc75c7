"""The `evaluate` and `inference` sections."""

from typing import Annotated, Literal

from pydantic.dataclasses import dataclass

from tao_skill.config.devices import Devices
from tao_skill.config.parameter import SECTION, parameter

__all__ = ["Evaluate", "Inference"]


@dataclass(config=SECTION)
class Engine(Devices):
    """With which weights embeddings are computed, and where."""

    checkpoint: Annotated[
        str, parameter("Checkpoint of a trained model, or an ONNX file that export made of it.", title="Checkpoint")
    ] = "???"
    trt_engine: Annotated[
        str | None, parameter("TensorRT engine to use instead of a checkpoint.", title="TensorRT engine")
    ] = ""
    engine: Annotated[
        Literal["auto", "torch", "onnxruntime", "openvino", "tensorrt"],
        parameter(
            "What computes embeddings. auto: torch for a checkpoint, TensorRT for an engine, and for an ONNX file "
            "OpenVINO where it is installed, else ONNX Runtime.",
            title="Engine",
            tao_type="categorical",
        ),
    ] = "auto"
    precision: Annotated[
        Literal["fp32", "bf16"],
        parameter(
            "Number format in which torch and OpenVINO compute; an INT8 file's integer layers stay what they are.",
            title="Precision",
            tao_type="categorical",
        ),
    ] = "fp32"
    results_dir: Annotated[
        str | None,
        parameter("Folder of this action's files; empty means `<results_dir>/<action>`.", title="Results folder"),
    ] = ""
    topk: Annotated[
        int,
        parameter("Number of nearest reference images that are looked at for each query.", title="Top k", ge=1),
    ] = 1
    gallery: Annotated[
        str | None,
        parameter(
            "Gallery folder (see the command gallery) whose images are the reference, in place of "
            "dataset.val_dataset.reference; empty is none.",
            title="Gallery",
        ),
    ] = ""
    reject_distance: Annotated[
        float | None,
        parameter(
            "Squared distance of unit vectors beyond which an image counts as unknown; null is the one that training "
            "chose on its validation data, 4 rejects nothing.",
            title="Rejection distance",
            ge=0.0,
            le=4.0,
        ),
    ] = None
    save_embeddings: Annotated[
        bool,
        parameter(
            "Write the embeddings of all images to embeddings.parquet (needs the extra gallery).",
            title="Save embeddings",
        ),
    ] = False
    picture_queries: Annotated[
        int,
        parameter(
            "Number of queries that matches.html shows with their nearest references, wrong ones first; 0 writes none.",
            title="Queries in pictures",
            ge=0,
        ),
    ] = 0


@dataclass(config=SECTION)
class Evaluate(Engine):
    """How a trained model is measured."""

    batch_size: Annotated[int, parameter("Images embedded at once.", title="Batch size", ge=1)] = 4
    report_accuracy_per_class: Annotated[
        bool, parameter("Write the metrics of each class to per_class.csv.", title="Report per class")
    ] = True
    open_set: Annotated[
        bool,
        parameter(
            "Allow queries whose class the reference lacks: left out of the averages, they tell how well unknown "
            "things are noticed.",
            title="Open set",
        ),
    ] = False


@dataclass(config=SECTION)
class Inference(Engine):
    """Which images are recognised."""

    batch_size: Annotated[int, parameter("Images embedded at once.", title="Batch size", ge=1)] = 1
    input_path: Annotated[
        str, parameter("Image, folder of images, or folder of class folders to recognise.", title="Input")
    ] = "???"
    inference_input_type: Annotated[
        Literal["image", "image_folder", "classification_folder"],
        parameter("What input_path is.", title="Kind of input", tao_type="categorical"),
    ] = "classification_folder"
    relative_paths: Annotated[
        bool,
        parameter(
            "Name images in the results by their path below input_path, not by the whole path; always so for what was "
            "brought here from an archive or a server.",
            title="Relative paths",
        ),
    ] = False
    search: Annotated[
        Literal["auto", "exact", "ivf"],
        parameter(
            "How the nearest references are found: by comparing all, or with an inverted-file index (needs the extra "
            "gallery); auto is ivf beyond 100,000 references where faiss is "
            "installed and there are queries enough for it to pay, else exact.",
            title="Search",
            tao_type="categorical",
        ),
    ] = "auto"
