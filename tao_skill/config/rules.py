"""Rules that bind several keys of a spec together: one short function each."""

import itertools
from collections.abc import Iterator
from typing import Any

from tao_skill.config.checkpoint_rules import monitor_is_measured, names_differ
from tao_skill.config.deploy_rules import ENGINE_RULES, EXPORT_RULES
from tao_skill.config.loss import LOSSES_WITH_WEIGHTS
from tao_skill.config.model_files import ONNX_ENDINGS, ends_with
from tao_skill.config.placeholder import is_given
from tao_skill.config.rule import Rule, required
from tao_skill.errors import Problem

__all__ = ["cross_field_problems"]


def cross_field_problems(action: str, spec: Any) -> list[Problem]:
    """Return every broken rule of an action; ``spec`` is an instance of its dataclass."""
    return [problem for rule in _RULES[action] for problem in rule(spec)]


def _compares_images_of_a_batch(spec: Any) -> bool:
    return spec.train.cross_batch_memory_size == 0 and spec.train.loss.name not in LOSSES_WITH_WEIGHTS


def _memory_has_a_use(spec: Any) -> Iterator[Problem]:
    size, loss = spec.train.cross_batch_memory_size, spec.train.loss.name
    if size > 0 and loss in LOSSES_WITH_WEIGHTS:
        yield Problem(
            "train.cross_batch_memory_size",
            size,
            f"0 or -1: train.loss.name = {loss} compares images with class vectors, not with images",
        )


def _batch_has_negatives(spec: Any) -> Iterator[Problem]:
    batch, instances = spec.train.batch_size, spec.dataset.num_instance
    if _compares_images_of_a_batch(spec) and batch // instances < 2 and batch % instances == 0:
        yield Problem(
            "train.batch_size",
            batch,
            f"at least {2 * instances}, two classes of dataset.num_instance = {instances} images: one class has no "
            "negatives; or train.cross_batch_memory_size = -1, which takes negatives from earlier batches",
        )


def _batch_has_positives(spec: Any) -> Iterator[Problem]:
    if spec.dataset.num_instance < 2 and _compares_images_of_a_batch(spec):
        yield Problem(
            "dataset.num_instance",
            spec.dataset.num_instance,
            "at least 2, since one image has no positive; or train.cross_batch_memory_size = -1",
        )


def _something_learns(spec: Any) -> Iterator[Problem]:
    if not spec.train.train_trunk and not spec.train.train_embedder:
        yield Problem(
            "train.train_embedder", False, "true, or train.train_trunk true: with both off nothing is learned"
        )


def _steps_ascend(spec: Any) -> Iterator[Problem]:
    steps = spec.train.optim.steps
    if any(later <= earlier for earlier, later in itertools.pairwise(steps)) or any(s < 1 for s in steps):
        yield Problem("train.optim.steps", steps, "epochs of 1 and more in ascending order, such as [40, 70]")


def _blur_fits(spec: Any) -> Iterator[Problem]:
    blur, model = spec.dataset.gaussian_blur, spec.model
    if blur.enabled:
        if any(size % 2 == 0 for size in blur.kernel):
            yield Problem("dataset.gaussian_blur.kernel", blur.kernel, "odd sizes, such as [15, 15]")
        if blur.kernel[0] > model.input_width or blur.kernel[1] > model.input_height:
            largest = [model.input_width, model.input_height]
            yield Problem(
                "dataset.gaussian_blur.kernel",
                blur.kernel,
                f"at most the input's width and height, {largest}",
            )
    if blur.sigma[0] > blur.sigma[1]:
        yield Problem("dataset.gaussian_blur.sigma", blur.sigma, "the smaller value first, such as [0.3, 0.7]")


def _pixels_match_channels(spec: Any) -> Iterator[Problem]:
    channels = spec.model.input_channels
    for key, values in (("pixel_mean", spec.dataset.pixel_mean), ("pixel_std", spec.dataset.pixel_std)):
        # Three values serve gray images too: their average is taken.
        if len(values) not in (channels, 3):
            yield Problem(f"dataset.{key}", values, f"one value for each of the {channels} channels")


def _gpus_are_listed(section: str) -> Rule:
    def rule(spec: Any) -> Iterator[Problem]:
        part = getattr(spec, section)
        if len(part.gpu_ids) != part.num_gpus:
            yield Problem(
                f"{section}.gpu_ids",
                part.gpu_ids,
                f"as many indices as {section}.num_gpus = {part.num_gpus}, such as {list(range(part.num_gpus))}",
            )
        if len(set(part.gpu_ids)) != len(part.gpu_ids):
            yield Problem(f"{section}.gpu_ids", part.gpu_ids, "each GPU once")

    return rule


def _reference_or_gallery(section: str, expected: str) -> Rule:
    def rule(spec: Any) -> Iterator[Problem]:
        if not is_given(getattr(spec, section).gallery):
            yield from required("dataset.val_dataset.reference", f"{expected}; or {section}.gallery")(spec)

    return rule


def _weights(section: str) -> Rule:
    def rule(spec: Any) -> Iterator[Problem]:
        part, model = getattr(spec, section), spec.model
        given = [f"{section}.{name}" for name in ("checkpoint", "trt_engine") if is_given(getattr(part, name))]
        names = ("pretrained_model_path", "pretrained_trunk_path", "pretrained_embedder_path")
        given += [f"model.{name}" for name in names if is_given(getattr(model, name))]
        given += ["model.timm_pretrained"] if model.timm_pretrained else []
        if not given:
            yield Problem(
                f"{section}.checkpoint",
                part.checkpoint,
                "a trained checkpoint, the job that wrote one (--parent-job-id), or model.pretrained_trunk_path to "
                "measure a model without training",
            )
        elif len({"model" if key.startswith("model.") else key for key in given}) > 1:
            yield Problem(
                f"{section}.checkpoint",
                part.checkpoint,
                f"one source of weights, but {', '.join(given)} are given",
            )

    return rule


def _engine_fits(section: str) -> Rule:
    """The engine must be able to read the file, and to compute in the precision."""

    def rule(spec: Any) -> Iterator[Problem]:
        part = getattr(spec, section)
        fitting: tuple[str, ...]
        if is_given(part.trt_engine):
            fitting, file = ("auto", "tensorrt"), f"{section}.trt_engine"
        elif ends_with(str(part.checkpoint), ONNX_ENDINGS):
            fitting, file = ("auto", "onnxruntime", "openvino"), f"the ONNX file in {section}.checkpoint"
        else:
            fitting, file = ("auto", "torch"), f"{section}.checkpoint, which is no ONNX file"
        if part.engine not in fitting:
            yield Problem(f"{section}.engine", part.engine, f"{' or '.join(fitting)} for {file}")
        elif part.precision == "bf16" and (part.engine in ("onnxruntime", "tensorrt") or is_given(part.trt_engine)):
            yield Problem(f"{section}.precision", "bf16", "fp32: only torch and OpenVINO choose it when they run")

    return rule


def _timm_has_weights(spec: Any) -> Iterator[Problem]:
    model = spec.model
    if model.timm_pretrained and not model.timm_name and not model.backbone.startswith("resnet"):
        yield Problem(
            "model.timm_pretrained",
            True,
            f"false: the timm library has no weights for {model.backbone}; give a file in model.pretrained_trunk_path, "
            "or name a timm model in model.timm_name",
        )


_NEEDS_BOTH = (
    "a folder of class folders. Required. Evaluation requires reference and query datasets for retrieval metrics"
)
_REFERENCE = required("dataset.val_dataset.reference", _NEEDS_BOTH)
_QUERY = required("dataset.val_dataset.query", _NEEDS_BOTH)

_RULES: dict[str, tuple[Rule, ...]] = {
    "train": (
        required("dataset.train_dataset", "a folder with one folder of images for each class"),
        _REFERENCE,
        _QUERY,
        _batch_has_negatives,
        _batch_has_positives,
        _memory_has_a_use,
        _something_learns,
        _steps_ascend,
        monitor_is_measured,
        names_differ,
        _blur_fits,
        _pixels_match_channels,
        _timm_has_weights,
        _gpus_are_listed("train"),
    ),
    "evaluate": (
        _reference_or_gallery("evaluate", _NEEDS_BOTH),
        _QUERY,
        _weights("evaluate"),
        _engine_fits("evaluate"),
        _pixels_match_channels,
        _timm_has_weights,
        _gpus_are_listed("evaluate"),
    ),
    "inference": (
        _reference_or_gallery("inference", "a folder of class folders to compare with"),
        required("inference.input_path", "an image, a folder of images, or a folder of class folders"),
        _weights("inference"),
        _engine_fits("inference"),
        _pixels_match_channels,
        _timm_has_weights,
        _gpus_are_listed("inference"),
    ),
    "export": (*EXPORT_RULES, _pixels_match_channels),
    "gen_trt_engine": (*ENGINE_RULES, _pixels_match_channels),
}
