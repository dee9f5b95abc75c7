"""The embedder that evaluation and inference use: from a checkpoint, or from pretrained weights alone."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tao_skill.config.build import build_spec
from tao_skill.config.keys import get_leaf, merge, nest
from tao_skill.config.placeholder import is_given
from tao_skill.errors import CheckpointError, NotAvailableError, Problem
from tao_skill.metric_learning.device import choose_device
from tao_skill.metric_learning.engines.embedder import Embedder
from tao_skill.metric_learning.engines.facts import ModelFacts
from tao_skill.metric_learning.engines.fingerprint import model_fingerprint
from tao_skill.metric_learning.engines.torch_network import TorchEmbedder
from tao_skill.metric_learning.model.checkpoint import Checkpoint, load_recogniser, read_checkpoint
from tao_skill.metric_learning.model.pretrained import start_recogniser
from tao_skill.metric_learning.model.recogniser import ModelSettings, Recogniser

__all__ = ["ReadyModel", "prepare"]

log = logging.getLogger(__name__)
# So that a model without trained embedder is the same in each measurement.
_UNTRAINED_SEED = 1234


@dataclass(frozen=True)
class ReadyModel:
    """An embedder on its device, the checked spec it serves, and where its weights are from."""

    spec: Any
    embedder: Embedder
    source: str
    warnings: list[str]
    epoch: int | None


def prepare(action: str, given: Mapping[str, Any]) -> ReadyModel:
    """Check a spec, complete it from its checkpoint, and load the network.

    ``given`` holds what is set; model.* and dataset.pixel_* that are left out come from the checkpoint.

    Raises:
        SpecError, CheckpointError: with all problems.
    """
    if is_given(get_leaf(given, f"{action}.trt_engine")):
        raise NotAvailableError(
            f"{action}.trt_engine can't be used by this version.", next_step=f"set {action}.checkpoint instead"
        )
    key = f"{action}.checkpoint"
    path = get_leaf(given, key)
    checkpoint = read_checkpoint(path, key) if is_given(path) else None
    complete = given if checkpoint is None else merge(given, nest(_from_checkpoint(given, checkpoint)))
    spec, warnings = build_spec(action, complete)
    for warning in warnings:
        log.warning("%s", warning)
    settings = ModelSettings.of(spec.model)
    recogniser, source = _recogniser(spec, settings, checkpoint, key)
    section = getattr(spec, action)
    device = choose_device(section.num_gpus, section.gpu_ids, f"{action}.gpu_ids").torch_device
    embedder = TorchEmbedder(recogniser, _facts(spec, settings, recogniser, checkpoint), device)
    return ReadyModel(spec, embedder, source, warnings, checkpoint.epoch if checkpoint else None)


def _from_checkpoint(given: Mapping[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what the checkpoint knows and the spec leaves open.

    Raises:
        CheckpointError: the spec sets something else; all such keys are named.
    """
    known = {f"model.{name}": value for name, value in checkpoint.model.items()}
    known |= {f"dataset.{name}": value for name, value in checkpoint.transform.items()}
    unset = object()
    settled = {key: get_leaf(given, key, unset) for key in known}
    problems = [
        Problem(key, value, f"{known[key]!r}, as the checkpoint was trained with; or leave the key out")
        for key, value in settled.items()
        if value is not unset and value != known[key]
    ]
    if problems:
        raise CheckpointError(f"The spec contradicts its checkpoint {checkpoint.path}.", problems=problems)
    return known


def _facts(spec: Any, settings: ModelSettings, recogniser: Recogniser, checkpoint: Checkpoint | None) -> ModelFacts:
    mean, std = tuple(spec.dataset.pixel_mean), tuple(spec.dataset.pixel_std)
    fingerprint = model_fingerprint(recogniser.state_dict(), settings, mean, std)
    return ModelFacts(settings, mean, std, fingerprint, checkpoint.recognition if checkpoint else {})


def _recogniser(spec: Any, settings: ModelSettings, checkpoint: Checkpoint | None, key: str) -> tuple[Recogniser, str]:
    if checkpoint is not None:
        recogniser, notes = load_recogniser(checkpoint, settings, key)
        for note in notes:
            log.info("%s", note)
        source = str(Path(checkpoint.path).resolve())
    else:
        recogniser = start_recogniser(settings, spec.model, _UNTRAINED_SEED)
        source = "pretrained weights, without training"
    return recogniser, source
