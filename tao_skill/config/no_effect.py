"""Settings that are allowed but do nothing in this run; each is named in a warning."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from tao_skill.config.keys import flatten
from tao_skill.config.leaves import leaves
from tao_skill.config.loss import LOSSES_WITH_WEIGHTS
from tao_skill.config.placeholder import is_given
from tao_skill.config.relations import without_effect

__all__ = ["no_effect_warnings"]


def no_effect_warnings(action: str, spec: Any, given: Mapping[str, Any]) -> list[str]:
    """Name each key that was given although the other values leave it without effect.

    ``spec`` is an instance of the action's dataclass; ``given`` holds, nested, what a user set.
    """
    keys = {key for key, value in flatten(given).items() if is_given(value)}
    idle = without_effect(leaves(action), flatten(asdict(spec))) | dict(_idle_everywhere(action, spec))
    if action == "train":
        idle |= dict(_idle_in_training(spec))
    return [f"{key} has no effect: {idle[prefix]}." for key in sorted(keys) for prefix in idle if _under(key, prefix)]


def _under(key: str, prefix: str) -> bool:
    return key == prefix or key.startswith(f"{prefix}.")


def _idle_everywhere(action: str, spec: Any) -> Iterator[tuple[str, str]]:
    yield "encryption_key", "checkpoints are never encrypted"
    if action != "gen_trt_engine" and spec.model.timm_name:
        yield "model.backbone", f"model.timm_name = {spec.model.timm_name} decides"
    if action != "gen_trt_engine" and spec.model.timm_pretrained:
        for key in ("model.pretrained_model_path", "model.pretrained_trunk_path"):
            if is_given(getattr(spec.model, key.removeprefix("model."))):
                yield "model.timm_pretrained", f"{key} wins"
    if action in ("evaluate", "inference"):
        if getattr(spec, action).num_nodes > 1:
            yield f"{action}.num_nodes", "this action runs on one machine"
        if getattr(spec, action).num_gpus > 1:
            yield f"{action}.num_gpus", f"this action computes on one GPU, the first of {action}.gpu_ids"
        if is_given(getattr(spec, action).gallery):
            yield "dataset.val_dataset.reference", f"the images of {action}.gallery are the reference"


def _idle_in_training(spec: Any) -> Iterator[tuple[str, str]]:
    train, optim, data = spec.train, spec.train.optim, spec.dataset
    yield from _idle_loss(train)
    if optim.warmup_method == "constant" and optim.warmup_factor == 1.0:
        yield "train.optim.warmup_iters", "a constant warm-up with factor 1 changes nothing"
    if not train.checkpointer.enable_topk:
        reason = "train.checkpointer.enable_topk is false"
        for name in ("save_top_k", "filename", "dirpath", "auto_insert_metric_name"):
            yield f"train.checkpointer.{name}", reason
    if is_given(train.resume_training_checkpoint_path):
        for name in ("model", "trunk", "embedder"):
            yield f"model.pretrained_{name}_path", "train.resume_training_checkpoint_path wins"
        if spec.model.timm_pretrained:
            yield "model.timm_pretrained", "train.resume_training_checkpoint_path wins"
        for name in ("seed", "batch_statistics", "embedder_start"):
            yield f"train.{name}", "train.resume_training_checkpoint_path goes on as its checkpoint began"
    yield from _idle_augmentation(data)


def _idle_loss(train: Any) -> Iterator[tuple[str, str]]:
    if train.loss.name in LOSSES_WITH_WEIGHTS:
        yield "train.miner", f"train.loss.name = {train.loss.name} compares images with class vectors, not with images"


def _idle_augmentation(data: Any) -> Iterator[tuple[str, str]]:
    for name in ("gaussian_blur", "color_augmentation"):
        section = getattr(data, name)
        if not section.enabled:
            for setting in vars(section):
                if setting != "enabled":
                    yield f"dataset.{name}.{setting}", f"dataset.{name}.enabled is false"
