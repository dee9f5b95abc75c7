"""Rules that bind several keys of export and gen_trt_engine together, or a key to what later steps need."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tao_skill.config.model_files import ENGINE_ENDINGS, ONNX_ENDINGS, ends_with
from tao_skill.config.placeholder import is_given
from tao_skill.config.rule import Rule, required, value_of
from tao_skill.errors import Problem

__all__ = ["ENGINE_RULES", "EXPORT_RULES"]

_LAYER_PRECISIONS = ("fp32", "fp16", "bf16")


def _int8_can_be_judged(spec: Any) -> Iterator[Problem]:
    if spec.export.int8.enabled:
        for name, use in (("reference", "to measure value ranges on"), ("query", "to compare INT8 with FP32 on")):
            yield from required(f"export.int8.{name}", f"a folder of class folders, {use}")(spec)


def _written_as(key: str, endings: tuple[str, ...]) -> Rule:
    """A file that later steps find and load by the end of its name must have it."""

    def rule(spec: Any) -> Iterator[Problem]:
        value = value_of(spec, key)
        if is_given(value) and not ends_with(str(value), endings):
            yield Problem(key, value, f"a name that ends with {' or '.join(endings)}")

    return rule


def _int8_file_is_another(spec: Any) -> Iterator[Problem]:
    whole, small = spec.export.onnx_file, spec.export.int8.onnx_file
    given = spec.export.int8.enabled and is_given(whole) and is_given(small)
    if given and Path(whole).resolve() == Path(small).resolve():
        yield Problem("export.int8.onnx_file", small, "another file than export.onnx_file, which it would replace")


def _batch_is_open_or_fixed(section: str) -> Rule:
    def rule(spec: Any) -> Iterator[Problem]:
        if getattr(spec, section).batch_size == 0:
            yield Problem(f"{section}.batch_size", 0, "-1 for any batch, or a batch of at least 1")

    return rule


def _profile_ascends(spec: Any) -> Iterator[Problem]:
    profile = spec.gen_trt_engine.tensorrt
    sizes = [profile.min_batch_size, profile.opt_batch_size, profile.max_batch_size]
    if sizes != sorted(sizes):
        yield Problem("gen_trt_engine.tensorrt.opt_batch_size", sizes, "smallest ≤ optimum ≤ largest batch")


def _layer_precisions_are_known(spec: Any) -> Iterator[Problem]:
    key = "gen_trt_engine.tensorrt.layers_precision"
    for entry in spec.gen_trt_engine.tensorrt.layers_precision or []:
        layer, _, precision = entry.rpartition(":")
        if not layer or precision.lower() not in _LAYER_PRECISIONS:
            yield Problem(key, entry, f"layer:precision, such as *norm*:fp32; one of {', '.join(_LAYER_PRECISIONS)}")


def _calibration_is_complete(spec: Any) -> Iterator[Problem]:
    if spec.gen_trt_engine.tensorrt.data_type == "INT8":
        yield from required(
            "gen_trt_engine.tensorrt.calibration.cal_image_dir", "folders of calibration images, for INT8"
        )(spec)
        yield from required("gen_trt_engine.tensorrt.calibration.cal_cache_file", "a file to write, for INT8")(spec)


EXPORT_RULES: tuple[Rule, ...] = (
    required("export.checkpoint", "a trained checkpoint, or the job that wrote one (--parent-job-id)"),
    _written_as("export.onnx_file", ONNX_ENDINGS),
    _written_as("export.int8.onnx_file", ONNX_ENDINGS),
    _int8_file_is_another,
    _batch_is_open_or_fixed("export"),
    _int8_can_be_judged,
)

ENGINE_RULES: tuple[Rule, ...] = (
    required("gen_trt_engine.onnx_file", "an ONNX file, or the export job that wrote one (--parent-job-id)"),
    required("gen_trt_engine.trt_engine", "an engine file to write"),
    _written_as("gen_trt_engine.trt_engine", ENGINE_ENDINGS),
    _batch_is_open_or_fixed("gen_trt_engine"),
    _profile_ascends,
    _layer_precisions_are_known,
    _calibration_is_complete,
)
