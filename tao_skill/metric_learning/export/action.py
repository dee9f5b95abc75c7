"""The export action: a checkpoint becomes an ONNX file, which is compared with it before it is put in place."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tao_skill.config.deploy import Export
from tao_skill.config.placeholder import is_given
from tao_skill.metric_learning.checkpoint_model import LoadedModel, load_model
from tao_skill.metric_learning.data.check import CheckedRetrieval
from tao_skill.metric_learning.device import choose_device
from tao_skill.metric_learning.engines.embedder import Embedder
from tao_skill.metric_learning.engines.extras import import_extra, is_installed
from tao_skill.metric_learning.engines.onnx_file import OnnxFile
from tao_skill.metric_learning.engines.onnx_runtime import OnnxRuntimeEmbedder
from tao_skill.metric_learning.engines.open_vino import OpenVinoEmbedder
from tao_skill.metric_learning.engines.torch_network import TorchEmbedder
from tao_skill.metric_learning.export.cpu_int8 import Int8Maker, find_int8, load_gate_sets
from tao_skill.metric_learning.export.int8_gate import Gate, Int8Report
from tao_skill.metric_learning.export.parity import BATCHES, check_parity, refuse_difference
from tao_skill.metric_learning.export.samples import sample_batch
from tao_skill.metric_learning.export.targets import refuse_overwriting
from tao_skill.metric_learning.export.trace import INPUT, OUTPUT, describe, trace
from tao_skill.metric_learning.files import replacing
from tao_skill.metric_learning.retrieval.report import write_results_json
from tao_skill.metric_learning.status import StatusLog

__all__ = ["REPORT_NAME", "export"]

log = logging.getLogger(__name__)
REPORT_NAME = "export.json"
_KEY, _INT8_KEY = "export.onnx_file", "export.int8.onnx_file"


def export(given: Mapping[str, Any], folder: Path, status: StatusLog) -> dict[str, Any]:
    """Write the ONNX file, and the INT8 file where one is asked for, and return the results document.

    What was measured is written to export.json, also if the export fails.

    Raises:
        NotAvailableError: a package is missing, or the model can't be traced.
        SpecError, CheckpointError, DataError, UsageError: with all problems, before anything is traced.
        JobError: the ONNX model computes something else than the checkpoint, or INT8 loses too much.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        import_extra(package, "export")
    model = load_model("export", given)
    settings: Export = model.spec.export
    targets = _targets(settings, folder)
    refuse_overwriting(targets, settings.force, "export")
    sets = load_gate_sets(settings.int8) if settings.int8.enabled else None
    report: dict[str, Any] = {"source": model.source, "model": model.facts.document()}
    try:
        traced, exported = _export_fp32(model, settings, targets[_KEY], report)
        status.running(f"{targets[_KEY]} computes what the checkpoint does.", kpi=report["metrics"])
        if sets is not None:
            _export_int8(traced, exported, sets, settings=settings, target=targets[_INT8_KEY], report=report)
    finally:
        write_results_json(folder / REPORT_NAME, report)
    return {
        "model_name": model.spec.model_name,
        "warnings": [*model.warnings, *(sets.warnings if sets is not None else [])],
        "checkpoint": str(targets[_KEY]),
        "epoch": model.epoch,
        **{name: value for name, value in report.items() if name != "model"},
        "fingerprint": model.facts.fingerprint,
    }


def _targets(settings: Export, folder: Path) -> dict[str, Path]:
    """Return the files to write, by spec key."""
    onnx_file = Path(str(settings.onnx_file)) if is_given(settings.onnx_file) else folder / "model.onnx"
    targets = {_KEY: onnx_file}
    if settings.int8.enabled:
        own = settings.int8.onnx_file
        targets[_INT8_KEY] = Path(str(own)) if is_given(own) else onnx_file.with_suffix(".int8.onnx")
    return targets


def _export_fp32(
    model: LoadedModel, settings: Export, target: Path, report: dict[str, Any]
) -> tuple[Any, OnnxRuntimeEmbedder]:
    """Trace the model, compare it with the checkpoint, and put the file in place; return it and its embedder."""
    batch = settings.batch_size if settings.batch_size > 0 else None
    device = torch.device("cpu")
    if not settings.on_cpu:
        device = choose_device(1, [settings.gpu_id], "export.gpu_id").torch_device
    _say(
        settings, "%s is traced on the %s into opset %d.", model.facts.model.trunk_name, device, settings.opset_version
    )
    traced = trace(model.recogniser, model.facts, opset=settings.opset_version, batch=batch, device=device)
    embedder = TorchEmbedder(model.recogniser, model.facts, torch.device("cpu"))
    batches = BATCHES if batch is None else (batch,)
    images = sample_batch(settings.sample_images, max(batches), embedder.transform)
    with replacing(target) as temporary:
        exported = _loaded(traced, model, temporary, batch)
        parities = check_parity(embedder, exported, images, batches)
        report |= {
            "onnx_file": str(target),
            "opset": settings.opset_version,
            "batch": batch,
            "bytes": temporary.stat().st_size,
            "parity": [one.document() for one in parities],
            "metrics": {
                "worst cosine": min(one.worst_cosine for one in parities),
                "largest relative difference": max(one.max_relative_difference for one in parities),
            },
        }
        refuse_difference(parities)
    _say(settings, "%s: %d bytes, worst cosine %.8f.", target, report["bytes"], report["metrics"]["worst cosine"])
    return traced, exported


def _loaded(onnx_model: Any, model: LoadedModel, path: Path, batch: int | None) -> OnnxRuntimeEmbedder:
    """Check and save an ONNX model, and load what was saved."""
    onnx = import_extra("onnx", "export")
    onnx.checker.check_model(onnx_model, full_check=True)
    onnx.save(onnx_model, path)
    return OnnxRuntimeEmbedder(OnnxFile(path, model.facts, INPUT, OUTPUT, batch, own=True), _KEY)


def _export_int8(
    traced: Any,
    exported: OnnxRuntimeEmbedder,
    sets: CheckedRetrieval,
    *,
    settings: Export,
    target: Path,
    report: dict[str, Any],
) -> None:
    """Quantise the model, compare both on the gate's images, and put the INT8 file in place."""
    batch = report["batch"]
    facts = replace(exported.facts, precision="INT8")
    gate = Gate(exported, sets)
    onnx = import_extra("onnx", "export")
    with replacing(target) as temporary:

        def judge(model: Any) -> Int8Report:
            describe(model, facts)
            onnx.checker.check_model(model, full_check=True)
            onnx.save(model, temporary)
            return gate.judge(_cpu_engines(OnnxFile(temporary, facts, INPUT, OUTPUT, batch, own=True)))

        maker = Int8Maker(traced, sets, settings.int8.num_images, exported.transform, batch)
        attempts = []
        for names, found in find_int8(maker, judge, settings.int8):
            attempts.append({"num_float_layers": len(names), **found.document()})
            report["int8"] = {**found.document(), "float_layers": names, "attempts": attempts}
            report["metrics"] |= {"INT8 Precision at Rank 1": found.precision_int8, "INT8 drop": found.drop}
        found.refuse_above(settings.int8.max_precision_drop, Path(report["onnx_file"]))
        report["int8_file"], report["int8_bytes"] = str(target), temporary.stat().st_size
    _say(settings, "%s: precision at rank 1 %.4f instead of %.4f.", target, found.precision_int8, found.precision_fp32)


def _cpu_engines(file: OnnxFile) -> list[Embedder]:
    """Load a file in every engine that may run it on this machine."""
    engines: list[Embedder] = [OnnxRuntimeEmbedder(file, _INT8_KEY)]
    if is_installed("openvino"):
        engines.append(OpenVinoEmbedder(file, "fp32", _INT8_KEY))
    return engines


def _say(settings: Export, message: str, *values: Any) -> None:
    log.log(logging.INFO if settings.verbose else logging.DEBUG, message, *values)
