"""A recogniser for a spec: from a checkpoint, or from pretrained weights alone."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tao_skill.config.build import build_spec
from tao_skill.config.keys import get_leaf, merge, nest
from tao_skill.config.placeholder import is_given
from tao_skill.errors import CheckpointError, Problem
from tao_skill.metric_learning.engines.facts import ModelFacts
from tao_skill.metric_learning.engines.fingerprint import model_fingerprint
from tao_skill.metric_learning.model.checkpoint import Checkpoint, load_recogniser, read_checkpoint
from tao_skill.metric_learning.model.pretrained import start_recogniser
from tao_skill.metric_learning.model.recogniser import ModelSettings, Recogniser

__all__ = ["LoadedModel", "complete_spec", "load_model"]

log = logging.getLogger(__name__)
# So that a model without trained embedder is the same in each measurement.
_UNTRAINED_SEED = 1234


@dataclass(frozen=True)
class LoadedModel:
    """A recogniser on the CPU, the checked spec it serves, and where its weights are from."""

    spec: Any
    recogniser: Recogniser
    facts: ModelFacts
    source: str
    warnings: list[str]
    epoch: int | None


def load_model(action: str, given: Mapping[str, Any]) -> LoadedModel:
    """Check a spec, complete it from the checkpoint that it names, and load the network.

    ``given`` holds what is set; model.* and dataset.pixel_* that are left out come from the checkpoint.

    Raises:
        SpecError, CheckpointError: with all problems.
    """
    key = f"{action}.checkpoint"
    path = get_leaf(given, key)
    checkpoint = read_checkpoint(path, key) if is_given(path) else None
    spec, warnings = complete_spec(action, given, _known(checkpoint), path)
    settings = ModelSettings.of(spec.model)
    recogniser, source, more = _recogniser(spec, settings, checkpoint, key)
    mean, std = tuple(spec.dataset.pixel_mean), tuple(spec.dataset.pixel_std)
    fingerprint = model_fingerprint(recogniser.state_dict(), settings, mean, std)
    facts = ModelFacts(settings, mean, std, fingerprint, checkpoint.recognition if checkpoint else {})
    epoch = checkpoint.epoch if checkpoint else None
    return LoadedModel(spec, recogniser.eval(), facts, source, [*warnings, *more], epoch)


def complete_spec(action: str, given: Mapping[str, Any], known: Mapping[str, Any], path: Any) -> tuple[Any, list[str]]:
    """Return the checked spec, with ``known`` for what it leaves open, and its warnings, which are logged too.

    ``known`` holds, by spec key, what the model file at ``path`` decides.

    Raises:
        CheckpointError: the spec sets something else than the file; all such keys are named.
        SpecError: the spec is wrong.
    """
    unset = object()
    settled = {key: get_leaf(given, key, unset) for key in known}
    problems = [
        Problem(key, value, f"{known[key]!r}, as the model was trained with; or leave the key out")
        for key, value in settled.items()
        if value is not unset and value != known[key]
    ]
    if problems:
        raise CheckpointError(f"The spec contradicts its model {path}.", problems=problems)
    spec, warnings = build_spec(action, merge(given, nest(dict(known))))
    for warning in warnings:
        log.warning("%s", warning)
    return spec, warnings


def _known(checkpoint: Checkpoint | None) -> dict[str, Any]:
    if checkpoint is None:
        return {}
    known = {f"model.{name}": value for name, value in checkpoint.model.items()}
    return known | {f"dataset.{name}": value for name, value in checkpoint.transform.items()}


def _recogniser(
    spec: Any, settings: ModelSettings, checkpoint: Checkpoint | None, key: str
) -> tuple[Recogniser, str, list[str]]:
    """Return the recogniser, where its weights are from, and warnings of what no file filled."""
    if checkpoint is None:
        recogniser, reports = start_recogniser(settings, spec.model, _UNTRAINED_SEED)
        misfits = [str(report) for report in reports if not report.fits]
        return recogniser, "pretrained weights, without training", misfits
    recogniser, notes = load_recogniser(checkpoint, settings, key)
    for note in notes:
        log.info("%s", note)
    return recogniser, str(Path(checkpoint.path).resolve()), []
