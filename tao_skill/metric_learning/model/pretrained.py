"""Fits the weights of a file to a network, and reports what fitted."""

import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tao_skill.config.model import Model
from tao_skill.config.placeholder import is_given
from tao_skill.errors import CheckpointError, Problem
from tao_skill.metric_learning.model.adapt import adapt, in_packed_layout
from tao_skill.metric_learning.model.recogniser import ModelSettings, Recogniser, build_recogniser
from tao_skill.metric_learning.model.weight_file import HEADER, read_file, tensors_in

__all__ = ["LoadReport", "load_pretrained", "load_weights", "start_recogniser", "starts_pretrained"]

log = logging.getLogger(__name__)
# What training programs put before a tensor's name; what makes most names fit is taken off.
_WRAPPERS = ("", "recogniser.", "model.", "module.", "model.module.", "module.model.")
# Names of trunk and embedder within a whole model.
_PARTS = (("trunk.", "embedder."), ("0.", "1."))
# A classifier's weight and bias may stand behind the trunk's tensors.
_CLASSIFIER_TENSORS = 2
# They stand at its end, in no numbered block.
_OF_A_CLASSIFIER = re.compile(r"(?:[a-zA-Z_]+\.){1,2}(?:weight|bias)")
# A file that fills less than this share of a part is of another model, though some names agree by chance.
_LEAST_SHARE = 0.1


@dataclass(frozen=True)
class LoadReport:
    """Which tensors of a network a file filled; ``mismatched`` says of each which shape it has, and which it needs."""

    file: str
    part: str
    how: str
    loaded: int
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: dict[str, str] = field(default_factory=dict)
    adapted: list[str] = field(default_factory=list)

    @property
    def surplus(self) -> list[str]:
        """Return the tensors that the file has of this part beyond the network's, other than a classifier's.

        A deeper trunk has all tensors of a shallower one, and more: what is computed with those alone is neither.
        """
        start = _PARTS[0] if self.part == "model" else ("",)
        inside = [name for name in self.unexpected if name.startswith(start)]
        return [name for name in inside if not _OF_A_CLASSIFIER.fullmatch(name.removeprefix("trunk."))]

    @property
    def fits(self) -> bool:
        """Tell whether file and part agree; else a user should be warned: something stays random, or is left over."""
        return not (self.missing or self.mismatched or self.surplus)

    def document(self) -> dict[str, Any]:
        """Return the whole report as plain data."""
        return asdict(self)

    def __str__(self) -> str:
        counts = f"{self.loaded} tensors loaded by {self.how}"
        names = (
            ("adapted to the input", self.adapted),
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("of another shape", [f"{name} {shapes}" for name, shapes in self.mismatched.items()]),
        )
        rest = [f"{len(found)} {what} ({_some(found)})" for what, found in names if found]
        return f"{self.file} -> {self.part}: {', '.join([counts, *rest])}"


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def starts_pretrained(model: Model) -> bool:
    """Tell whether a spec's `model` section gives the trunk weights to start from."""
    paths = (model.pretrained_model_path, model.pretrained_trunk_path)
    return model.timm_pretrained or any(is_given(path) for path in paths)


def start_recogniser(settings: ModelSettings, model: Model, seed: int) -> tuple[Recogniser, list[LoadReport]]:
    """Build a recogniser with the weights that a spec's `model` section gives; the rest depends on the seed.

    What was loaded is logged, and returned.

    Raises:
        SpecError, NotAvailableError, CheckpointError: it can't be built, or a file of weights can't be used.
    """
    recogniser = build_recogniser(settings, seed, timm_pretrained=model.timm_pretrained)
    reports = load_pretrained(
        recogniser,
        model=model.pretrained_model_path,
        trunk=model.pretrained_trunk_path,
        embedder=model.pretrained_embedder_path,
    )
    for report in reports:
        log.log(logging.INFO if report.fits else logging.WARNING, "%s", report)
    return recogniser, reports


def load_pretrained(
    recogniser: Recogniser, *, model: str | None, trunk: str | None, embedder: str | None
) -> list[LoadReport]:
    """Fill a recogniser from the files that a spec's `model.pretrained_*_path` name; the parts win over the whole.

    Raises:
        CheckpointError: a file can't be read, or fits nothing in its part.
    """
    reports = []
    for path, part, name in (
        (model, recogniser, "model"),
        (trunk, recogniser.trunk, "trunk"),
        (embedder, recogniser.embedder, "embedder"),
    ):
        if path:
            key = f"model.pretrained_{name}_path"
            content = read_file(path, key)
            tensors, size = tensors_in(content), _input_size(content)
            reports.append(load_weights(part, tensors, file=path, key=key, part=name, input_size=size))
    return reports


def load_weights(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    file: str | Path,
    key: str,
    part: str,
    input_size: tuple[int, int] | None = None,
) -> LoadReport:
    """Copy tensors into a network by name or, where the names are another library's, by order and shape.

    Position embeddings and the first convolution are adapted to the network's input; ``input_size`` is the
    (height, width) that the file's network takes, where that is known.

    Raises:
        CheckpointError: nothing fits, or too little for the file to be of this network.
    """
    _refuse_non_finite(tensors, file, key)
    own = network.state_dict()
    enough = max(1, _LEAST_SHARE * len(own))
    found, how = _best_names(own, in_packed_layout(tensors), part), "name"
    if len(_fitting(own, found)) < enough and (in_order := _by_order(own, tensors)):
        found, how = in_order, "order and shape, under other names"
    renamed = {
        name: adapt(network, name, value, own[name], input_size) if name in own else value
        for name, value in found.items()
    }
    fitting = _fitting(own, renamed)
    if len(fitting) < enough:
        found_little = f"fills only {len(fitting)} of {len(own)} tensors of" if fitting else "has no tensor that fits"
        other = "; those of a trunk alone go to model.pretrained_trunk_path" if part == "model" else ""
        raise CheckpointError(
            f"{file} {found_little} the {part}.",
            problems=[Problem(key, str(file), f"weights of this {part}, which has {_some(list(own))}{other}")],
        )
    network.load_state_dict(fitting, strict=False)
    return LoadReport(
        file=str(file),
        part=part,
        how=how,
        loaded=len(fitting),
        missing=[name for name in own if name not in renamed],
        unexpected=[name for name in renamed if name not in own],
        mismatched={
            name: f"{_size(value)}, not {_size(own[name])}"
            for name, value in renamed.items()
            if name in own and name not in fitting
        },
        adapted=[name for name in fitting if fitting[name] is not found[name]],
    )


def _refuse_non_finite(tensors: Mapping[str, Tensor], file: str | Path, key: str) -> None:
    broken = [name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        problem = Problem(key, str(file), "finite weights: these are of a training that diverged")
        raise CheckpointError(f"{file} holds weights that are not finite: {_some(broken)}.", problems=[problem])


def _input_size(content: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the (height, width) of the images of the network in a file, if this project wrote the file."""
    header = content.get(HEADER)
    model = header.get("model") if isinstance(header, Mapping) else None
    if not isinstance(model, Mapping):
        return None
    return int(model["input_height"]), int(model["input_width"])


def _fitting(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in tensors.items() if name in own and own[name].shape == value.shape}


def _best_names(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """Return the tensors under the names that match most of the network's own."""
    if part == "model":
        candidates = [
            _both_parts(tensors, wrapper + trunk, wrapper + embedder)
            for wrapper in _WRAPPERS
            for trunk, embedder in _PARTS
        ]
    else:
        inner = ("", "backbone.", *(trunk if part == "trunk" else embedder for trunk, embedder in _PARTS))
        candidates = [_without_prefix(tensors, wrapper + name) for wrapper in _WRAPPERS for name in inner]
    return max(candidates, key=lambda renamed: len(_fitting(own, renamed)))


def _without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _both_parts(tensors: Mapping[str, Tensor], trunk: str, embedder: str) -> dict[str, Tensor]:
    """Return tensors under this project's names for both parts; others, which belong to neither, keep theirs."""
    return {
        f"trunk.{name.removeprefix(trunk)}"
        if name.startswith(trunk)
        else f"embedder.{name.removeprefix(embedder)}"
        if name.startswith(embedder)
        else name: value
        for name, value in tensors.items()
    }


def _by_order(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Pair tensors in their order, if every shape agrees; only a classifier may be left over at the end."""
    values = list(tensors.values())
    left_over = len(values) - len(own)
    if not 0 <= left_over <= _CLASSIFIER_TENSORS:
        return {}
    pairs = dict(zip(own, values, strict=False))
    return pairs if all(own[name].shape == value.shape for name, value in pairs.items()) else {}
