"""The gen_trt_engine action: an ONNX file becomes a TensorRT engine in the precision that was asked for."""

import fnmatch
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tao_skill.config.deploy import GenTrtEngine, TensorRT
from tao_skill.config.placeholder import is_given
from tao_skill.errors import CheckpointError, Problem, SpecError
from tao_skill.metric_learning.device import choose_device
from tao_skill.metric_learning.engines import tensorrt_calls
from tao_skill.metric_learning.engines.engine_file import EngineFile, write_engine
from tao_skill.metric_learning.engines.extras import import_extra
from tao_skill.metric_learning.engines.onnx_file import OnnxFile
from tao_skill.metric_learning.export.calibration import calibrate, choose_images
from tao_skill.metric_learning.export.node_precision import set_node_precision
from tao_skill.metric_learning.export.quantise import TENSORRT, quantise
from tao_skill.metric_learning.export.quantised_check import check_quantised
from tao_skill.metric_learning.export.targets import refuse_overwriting
from tao_skill.metric_learning.files import replacing
from tao_skill.metric_learning.onnx_for_spec import read_onnx_for_spec
from tao_skill.metric_learning.status import StatusLog

__all__ = ["gen_trt_engine"]

log = logging.getLogger(__name__)
_KEY = "gen_trt_engine.onnx_file"


def gen_trt_engine(given: Mapping[str, Any], folder: Path, status: StatusLog) -> dict[str, Any]:
    """Build an engine and write it with its facts beside it, and return the results document.

    Raises:
        SpecError, CheckpointError, DataError, UsageError: with all problems, before anything is computed.
        NotAvailableError: no TensorRT, or no GPU where it needs one.
        JobError: TensorRT refuses the model.
    """
    del folder  # the spec names each file
    file, spec, warnings = read_onnx_for_spec("gen_trt_engine", _KEY, given)
    settings: GenTrtEngine = spec.gen_trt_engine
    engine = Path(str(settings.trt_engine))
    refuse_overwriting({"gen_trt_engine.trt_engine": engine}, settings.force, "gen_trt_engine")
    (smallest, best, largest), more = _profile(settings, file)
    library = tensorrt_calls.find_builder(settings.tensorrt.library)
    device = choose_device(1, [settings.gpu_id], "gen_trt_engine.gpu_id")
    if device.accelerator == "gpu":
        torch.cuda.set_device(device.torch_device)
    model, calibrated = _in_precision(settings, file)
    status.running(f"The model is in {settings.tensorrt.data_type}; the engine is built.")
    build = _build_settings(settings, file, (smallest, best, largest))
    built = tensorrt_calls.build_plan(library, model.SerializeToString(), build)
    facts = replace(file.facts, precision=settings.tensorrt.data_type)
    # An engine of TensorRT for RTX is finished where it runs, on whatever GPU that is.
    gpu = tensorrt_calls.gpu_of(settings.gpu_id) if library.name == "tensorrt" else None
    target = EngineFile(engine, facts, library.name, library.version, smallest, largest, gpu=gpu)
    write_engine(target, built.plan, {"best_batch": best, "onnx_file": str(file.path), "bytes": len(built.plan)})
    _write_timing_cache(settings, built.timing_cache)
    more += built.warnings
    for warning in more:
        log.warning("%s", warning)
    log.info("%s: %d bytes, %d layers, %s.", engine, len(built.plan), built.num_layers, settings.tensorrt.data_type)
    return {
        "model_name": spec.model_name,
        "warnings": [*warnings, *more],
        "checkpoint": str(engine),
        "metrics": {},
        "library": f"{library.name} {library.version}",
        "precision": settings.tensorrt.data_type,
        "profile": [smallest, best, largest],
        "bytes": len(built.plan),
        "num_layers": built.num_layers,
        "fingerprint": facts.fingerprint,
        **calibrated,
    }


def _profile(settings: GenTrtEngine, file: OnnxFile) -> tuple[tuple[int, int, int], list[str]]:
    """Return the smallest, the best and the largest batch, and a warning where others were asked for.

    Raises:
        SpecError: the ONNX file's batch is fixed to another.
    """
    sizes = _sizes(settings.tensorrt)
    if settings.batch_size > 0:
        sizes = (settings.batch_size,) * 3
    if file.batch is None:
        return sizes, []
    if settings.batch_size not in (-1, file.batch):
        problem = Problem("gen_trt_engine.batch_size", settings.batch_size, f"-1 or {file.batch}, the file's own")
        raise SpecError(
            f"{file.path} takes batches of {file.batch} only.",
            problems=[problem],
            next_step="export again with export.batch_size=-1 for an open batch",
        )
    fixed = (file.batch,) * 3
    if sizes in (fixed, _sizes(TensorRT())):
        return fixed, []
    told = f"gen_trt_engine.tensorrt has no effect with batches of {sizes}: {file.path} takes {file.batch} images only."
    return fixed, [told]


def _sizes(profile: TensorRT) -> tuple[int, int, int]:
    return profile.min_batch_size, profile.opt_batch_size, profile.max_batch_size


def _build_settings(
    settings: GenTrtEngine, file: OnnxFile, profile: tuple[int, int, int]
) -> tensorrt_calls.BuildSettings:
    size = file.facts.model
    return tensorrt_calls.BuildSettings(
        input_name=file.input_name,
        image=(size.input_channels, size.input_height, size.input_width),
        profile=profile if file.batch is None else None,
        workspace_mb=settings.tensorrt.workspace_size,
        verbose=settings.verbose,
        timing_cache=_read_timing_cache(settings),
    )


def _in_precision(settings: GenTrtEngine, file: OnnxFile) -> tuple[Any, dict[str, Any]]:
    """Return the ONNX model in the engine's precision, and what to tell of its calibration."""
    data_type = settings.tensorrt.data_type
    images = choose_images(settings.tensorrt.calibration) if data_type == "INT8" else []
    model = import_extra("onnx", "gen_trt_engine").load(file.path)
    _refuse_quantised(model, file)
    chosen = _chosen_layers(settings.tensorrt.layers_precision or [], [node.name for node in model.graph.node])
    if data_type != "INT8":
        return set_node_precision(model, data_type, chosen), {}
    ranges, known = calibrate(model, images, settings.tensorrt.calibration, file.facts.transform(), file.batch)
    quantised = quantise(model, ranges, TENSORRT, exclude=chosen)
    near = check_quantised(model, quantised, images, file, settings.tensorrt.calibration.min_cosine)
    calibrated = {
        "calibration_images": len(images),
        "calibration_reused": known,
        "metrics": {"INT8 mean cosine": near.mean_cosine, "INT8 worst cosine": near.worst_cosine},
    }
    return set_node_precision(quantised, "FP32", chosen), calibrated


def _refuse_quantised(model: Any, file: OnnxFile) -> None:
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        problem = Problem(_KEY, str(file.path), "the FP32 file; for INT8 set gen_trt_engine.tensorrt.data_type=INT8")
        raise CheckpointError(f"{file.path} is quantised for CPUs, which TensorRT doesn't take.", problems=[problem])


def _chosen_layers(entries: list[str], names: list[str]) -> dict[str, str]:
    """Return the precision of each node that an entry names; later entries win.

    Raises:
        SpecError: entries that name no node.
    """
    chosen: dict[str, str] = {}
    problems = []
    for entry in entries:
        pattern, _, precision = entry.rpartition(":")
        fitting = fnmatch.filter(names, pattern)
        chosen |= dict.fromkeys(fitting, precision.upper())
        if not fitting:
            some = ", ".join(names[:3])
            expected = f"the name of a node of the ONNX file, such as {some}; * stands for any text"
            problems.append(Problem("gen_trt_engine.tensorrt.layers_precision", entry, expected))
    if problems:
        raise SpecError("Layers that the model doesn't have.", problems=problems)
    return chosen


def _read_timing_cache(settings: GenTrtEngine) -> bytes | None:
    if not is_given(settings.timing_cache):
        return None
    path = Path(str(settings.timing_cache))
    return path.read_bytes() if path.is_file() else b""


def _write_timing_cache(settings: GenTrtEngine, learned: bytes | None) -> None:
    if learned is not None and is_given(settings.timing_cache):
        with replacing(Path(str(settings.timing_cache))) as temporary:
            temporary.write_bytes(learned)
