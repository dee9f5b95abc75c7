"""The `export` and `gen_trt_engine` sections."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tao_skill.config.parameter import SECTION, Effect, parameter

__all__ = ["Calibration", "Export", "GenTrtEngine", "Int8", "TensorRT"]

_TAKES_A_PROFILE = Effect("gen_trt_engine.batch_size", "gen_trt_engine.batch_size = {value} decides", values=(-1,))
_IN_INT8 = Effect(
    "gen_trt_engine.tensorrt.data_type",
    "gen_trt_engine.tensorrt.data_type = {value} needs no calibration",
    values=("INT8",),
)
_TIMES_KERNELS = Effect(
    "gen_trt_engine.tensorrt.library", "TensorRT for RTX times kernels when the engine runs", values=("tensorrt",)
)


@dataclass(config=SECTION)
class Int8:
    """A second ONNX file, with INT8 weights and activations, for CPUs."""

    enabled: Annotated[bool, parameter("Write an INT8 file as well, for CPUs.", title="Enabled")] = False
    onnx_file: Annotated[
        str | None,
        parameter("INT8 file to write; empty: export.onnx_file with .int8.onnx at its end.", title="INT8 file"),
    ] = ""
    reference: Annotated[
        str | None,
        parameter(
            "Reference images, a folder of class folders: value ranges are measured on them, and the queries' classes "
            "are looked up among them.",
            title="Reference images",
        ),
    ] = ""
    query: Annotated[
        str | None,
        parameter(
            "Query images, a folder of class folders, on which the INT8 file is compared with the checkpoint.",
            title="Query images",
        ),
    ] = ""
    num_images: Annotated[
        int, parameter("Reference images on which value ranges are measured.", title="Calibration images", ge=1)
    ] = 256
    max_precision_drop: Annotated[
        float,
        parameter(
            "Most that precision at rank 1 may lose by INT8, from 0 to 1; above it the export fails.",
            title="Largest loss",
            ge=0,
            le=1,
        ),
    ] = 0.005
    max_float_layers: Annotated[
        int,
        parameter(
            "Most convolutions and matrix products that may stay in floating point, the most sensitive first, where "
            "INT8 throughout loses too much; 0 lets the export fail instead.",
            title="Float layers",
            ge=0,
        ),
    ] = 16


@dataclass(config=SECTION)
class Export:
    """How a trained model becomes an ONNX file."""

    batch_size: Annotated[
        int, parameter("Batch size of the ONNX model; -1 leaves it open.", title="Batch size", ge=-1)
    ] = -1
    checkpoint: Annotated[str | None, parameter("Checkpoint to export.", title="Checkpoint")] = None
    gpu_id: Annotated[int, parameter("Index of the GPU that traces the model.", title="GPU index", ge=0)] = 0
    onnx_file: Annotated[str | None, parameter("ONNX file to write; its name ends with .onnx.", title="ONNX file")] = (
        None
    )
    on_cpu: Annotated[bool, parameter("Trace the model on the CPU.", title="On the CPU")] = False
    opset_version: Annotated[int, parameter("ONNX operator set of the file.", title="Opset", ge=18, le=23)] = 18
    verbose: Annotated[bool, parameter("Log each step of the export.", title="Verbose")] = True
    force: Annotated[bool, parameter("Overwrite files that are there.", title="Overwrite")] = False
    sample_images: Annotated[
        str | None,
        parameter(
            "Folder of images on which the ONNX file is compared with the checkpoint; empty: parts of two photographs.",
            title="Sample images",
        ),
    ] = ""
    int8: Int8 = Field(default_factory=Int8, title="INT8", description="A second file, with INT8 numbers.")
    results_dir: Annotated[
        str | None,
        parameter("Folder of this action's files; empty means `<results_dir>/export`.", title="Results folder"),
    ] = None


@dataclass(config=SECTION)
class Calibration:
    """Images from which value ranges for INT8 are measured."""

    cal_image_dir: Annotated[
        list[str],
        parameter("Folders of calibration images.", title="Calibration images", automl=False, effect=_IN_INT8),
    ] = Field(default_factory=list)
    cal_cache_file: Annotated[
        str,
        parameter(
            "File that keeps the measured ranges; used again only for the same model and images.",
            title="Calibration cache",
        ),
    ] = "???"
    cal_batch_size: Annotated[
        int,
        parameter(
            "Images in a calibration batch.", title="Calibration batch size", ge=1, popular=True, effect=_IN_INT8
        ),
    ] = 1
    cal_batches: Annotated[
        int,
        parameter("Number of calibration batches.", title="Calibration batches", ge=1, popular=True, effect=_IN_INT8),
    ] = 1
    min_cosine: Annotated[
        float,
        parameter(
            "Least mean cosine between the INT8 and the FP32 model's embeddings of the calibration images; below it no "
            "engine is built.",
            title="Least cosine",
            effect=_IN_INT8,
            ge=0,
            le=1,
        ),
    ] = 0.95


@dataclass(config=SECTION)
class TensorRT:
    """How TensorRT builds the engine."""

    library: Annotated[
        Literal["tensorrt", "tensorrt_rtx"],
        parameter(
            "Which TensorRT builds and runs the engine: the plain one, or TensorRT for RTX.",
            title="Library",
            tao_type="categorical",
        ),
    ] = "tensorrt"
    workspace_size: Annotated[
        int, parameter("Memory that the builder may use, in MB; 0 sets no limit.", title="Workspace", ge=0)
    ] = 1024
    min_batch_size: Annotated[
        int,
        parameter(
            "Smallest batch that the engine takes.", title="Smallest batch", ge=1, popular=True, effect=_TAKES_A_PROFILE
        ),
    ] = 1
    opt_batch_size: Annotated[
        int,
        parameter(
            "Batch size for which the engine is tuned.",
            title="Optimum batch",
            ge=1,
            popular=True,
            effect=_TAKES_A_PROFILE,
        ),
    ] = 1
    max_batch_size: Annotated[
        int,
        parameter(
            "Largest batch that the engine takes.", title="Largest batch", ge=1, popular=True, effect=_TAKES_A_PROFILE
        ),
    ] = 1
    layers_precision: Annotated[
        list[str] | None,
        parameter(
            "Precision of single layers, as `layer:precision`, where a layer is a node of the ONNX file and `*` stands "
            "for any text; the last entry that fits wins. Precisions: fp32, fp16, bf16; with INT8 these layers stay "
            "float.",
            title="Layer precisions",
            automl=False,
        ),
    ] = Field(default_factory=list)
    data_type: Annotated[
        Literal["FP32", "FP16", "BF16", "INT8"],
        parameter("Precision of the engine.", title="Data type", tao_type="categorical"),
    ] = "FP32"
    calibration: Calibration = Field(
        default_factory=Calibration, title="Calibration", description="Images for INT8 calibration."
    )


@dataclass(config=SECTION)
class GenTrtEngine:
    """How an ONNX file becomes a TensorRT engine."""

    results_dir: Annotated[
        str | None,
        parameter(
            "Folder of this action's files; empty means `<results_dir>/gen_trt_engine`.",
            title="Results folder",
        ),
    ] = ""
    gpu_id: Annotated[
        int, parameter("Index of the GPU that builds the engine.", title="GPU index", ge=0, popular=True)
    ] = 0
    onnx_file: Annotated[str, parameter("ONNX file to build from.", title="ONNX file")] = "???"
    trt_engine: Annotated[
        str | None,
        parameter("Engine file to write; its name ends with .engine, .trt or .plan.", title="TensorRT engine"),
    ] = "???"
    timing_cache: Annotated[
        str | None,
        parameter("File that keeps kernel timings between builds.", title="Timing cache", effect=_TIMES_KERNELS),
    ] = ""
    batch_size: Annotated[
        int,
        parameter(
            "Batch size of the engine; -1 takes the profile of tensorrt.",
            title="Batch size",
            ge=-1,
            popular=True,
        ),
    ] = -1
    verbose: Annotated[bool, parameter("Log each step of the build.", title="Verbose")] = False
    force: Annotated[bool, parameter("Overwrite an engine that is there.", title="Overwrite")] = False
    tensorrt: TensorRT = Field(
        default_factory=TensorRT, title="TensorRT", description="Profile, precision and calibration."
    )
