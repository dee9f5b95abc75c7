"""Settings that are allowed but do nothing in this run; each is named in a warning."""

from collections.abc import Iterator, Mapping
from typing import Any

from tao_skill.config.keys import flatten
from tao_skill.config.loss import LOSSES_WITH_WEIGHTS
from tao_skill.config.placeholder import is_given

__all__ = ["no_effect_warnings"]


def no_effect_warnings(action: str, spec: Any, given: Mapping[str, Any]) -> list[str]:
    """Name each key that was given although the other values leave it without effect.

    ``spec`` is an instance of the action's dataclass; ``given`` holds, nested, what a user set.
    """
    keys = {key for key, value in flatten(given).items() if is_given(value)}
    idle = dict(_idle_everywhere(action, spec))
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
        if is_given(getattr(spec, action).gallery):
            yield "dataset.val_dataset.reference", f"the images of {action}.gallery are the reference"


def _idle_in_training(spec: Any) -> Iterator[tuple[str, str]]:
    train, optim, data = spec.train, spec.train.optim, spec.dataset
    for part in ("trunk", "embedder", "loss"):
        if optim.name != "SGD":
            yield f"train.optim.{part}.momentum", f"{optim.name} has no momentum setting"
    for part in ("trunk", "embedder"):
        if not getattr(train, f"train_{part}"):
            yield f"train.optim.{part}", f"train.train_{part} is false"
    yield from _idle_loss(train)
    if optim.steps and optim.steps[0] >= train.num_epochs:
        yield (
            "train.optim.gamma",
            f"no decay epoch of {optim.steps} comes before the end of {train.num_epochs} epochs",
        )
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
    yield from _idle_augmentation(data)


def _idle_loss(train: Any) -> Iterator[tuple[str, str]]:
    reason = f"train.loss.name = {train.loss.name} decides"
    for name in vars(train.loss):
        if name not in ("name", train.loss.name):
            yield f"train.loss.{name}", reason
    if train.loss.name != "triplet":
        yield "train.optim.triplet_loss_margin", reason
        yield "train.smooth_loss", reason
    if train.loss.name in LOSSES_WITH_WEIGHTS:
        for key in ("train.miner", "train.optim.miner_function_margin"):
            yield key, f"train.loss.name = {train.loss.name} compares images with class vectors, not with images"
        return
    yield "train.optim.loss", f"train.loss.name = {train.loss.name} has no weights of its own"
    reason = f"train.miner.name = {train.miner.name} decides"
    if train.miner.name != "multi_similarity":
        yield "train.optim.miner_function_margin", reason
    if train.miner.name != "triplet_margin":
        yield "train.miner.triplet_kind", reason
        yield "train.miner.triplet_margin", reason


def _idle_augmentation(data: Any) -> Iterator[tuple[str, str]]:
    for name in ("gaussian_blur", "color_augmentation"):
        section = getattr(data, name)
        if not section.enabled:
            for setting in vars(section):
                if setting != "enabled":
                    yield f"dataset.{name}.{setting}", f"dataset.{name}.enabled is false"
