"""Reads what an ONNX file says of itself: its input and output, and the model it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tao_skill.config.model_files import ONNX_ENDINGS, ends_with
from tao_skill.errors import CheckpointError, Problem
from tao_skill.metric_learning.engines.extras import import_extra
from tao_skill.metric_learning.engines.facts import ModelFacts, facts_from_document
from tao_skill.metric_learning.model.recogniser import ModelSettings

__all__ = ["METADATA_KEY", "Interface", "OnnxFile", "foreign_facts", "is_onnx", "read_interface", "read_onnx"]

METADATA_KEY = "tao_skill"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class OnnxFile:
    """A file's one input (batch, channels, height, width) and one output (batch, embed_dim); ``batch`` None is open.

    ``own`` says that export of this project wrote it.
    """

    path: Path
    facts: ModelFacts
    input_name: str
    output_name: str
    batch: int | None
    own: bool


@dataclass(frozen=True)
class Interface:
    """What a file says of itself: its input (batch, channels, height, width), its output (batch, embed_dim), its model.

    ``facts`` is None where export of this project didn't write the file, ``image[0]`` where the batch is open.
    """

    path: Path
    image: tuple[int | None, int, int, int]
    embed_dim: int
    input_name: str
    output_name: str
    facts: ModelFacts | None

    def shape(self) -> dict[str, int]:
        """Return the spec keys that the shapes decide, with their values."""
        _, channels, height, width = self.image
        sizes = {"input_width": width, "input_height": height, "input_channels": channels, "feat_dim": self.embed_dim}
        return {f"model.{name}": size for name, size in sizes.items()}

    def with_facts(self, facts: ModelFacts) -> OnnxFile:
        """Return the file of a model of which ``facts`` is known."""
        batch, own = self.image[0], self.facts is not None
        return OnnxFile(self.path, facts, self.input_name, self.output_name, batch, own)


def is_onnx(path: str | Path) -> bool:
    """Tell by its name whether a file is an ONNX file."""
    return ends_with(str(path), ONNX_ENDINGS)


def read_onnx(path: str | Path, key: str) -> OnnxFile:
    """Read a file that export of this project wrote.

    Raises:
        NotAvailableError: the package onnx isn't installed.
        CheckpointError: another file.
    """
    interface = read_interface(path, key)
    if interface.facts is None:
        problem = Problem(key, str(path), "a file that export of this project wrote")
        raise CheckpointError(f"{path} says nothing of its model.", problems=[problem])
    return interface.with_facts(interface.facts)


def read_interface(path: str | Path, key: str) -> Interface:
    """Read what an ONNX file says of itself.

    Raises:
        NotAvailableError: the package onnx isn't installed.
        CheckpointError: no ONNX file, or one that doesn't embed images.
    """
    file = Path(path)
    model = _load(file, key)
    shapes = [_only(list(getattr(model.graph, side)), file, key) for side in ("input", "output")]
    (input_name, image), (output_name, embedding) = shapes
    if len(image) != 4 or any(size is None for size in image[1:]) or len(embedding) != 2 or embedding[1] is None:
        raise _wrong(file, key, f"input {image} and output {embedding}")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    facts = None
    if METADATA_KEY in metadata:
        facts = facts_from_document(_json(metadata[METADATA_KEY], file, key), file, key)
        stated = (facts.model.input_channels, facts.model.input_height, facts.model.input_width)
        if stated != tuple(image[1:]) or facts.model.feat_dim != embedding[1]:
            raise _wrong(file, key, f"input {image} and output {embedding}, which its own metadata contradicts")
    batch, channels, height, width = image
    return Interface(file, (batch, channels, height, width), embedding[1], input_name, output_name, facts)  # type: ignore[arg-type]


def foreign_facts(
    path: Path, model: ModelSettings, pixel_mean: Sequence[float], pixel_std: Sequence[float]
) -> ModelFacts:
    """Return the facts of a file that says nothing of its model.

    Its fingerprint is that of its bytes and of how pixels become its numbers: another mean makes other embeddings.
    """
    mean, std = (tuple(float(value) for value in values) for values in (pixel_mean, pixel_std))
    digest = hashlib.sha256(json.dumps({"pixel_mean": mean, "pixel_std": std}).encode())
    with path.open("rb") as content:
        while block := content.read(_BLOCK):
            digest.update(block)
    return ModelFacts(model, mean, std, digest.hexdigest())


def _load(file: Path, key: str) -> Any:
    if not file.is_file():
        raise CheckpointError(
            f"{file} can't be read.", problems=[Problem(key, str(file), "an ONNX file; there is no such file")]
        )
    onnx = import_extra("onnx", "Reading an ONNX file")
    damaged = import_extra("google.protobuf.message", "Reading an ONNX file").DecodeError
    try:
        return onnx.load(file, load_external_data=False)
    except (damaged, ValueError, OSError) as error:
        problem = Problem(key, str(file), "a whole ONNX file, as export writes it")
        raise CheckpointError(f"{file} is damaged or no ONNX file: {error}", problems=[problem]) from error


def _only(values: list[Any], file: Path, key: str) -> tuple[str, list[int | None]]:
    if len(values) != 1:
        raise _wrong(file, key, f"{len(values)} inputs or outputs: {', '.join(value.name for value in values)}")
    shape = values[0].type.tensor_type.shape.dim
    return values[0].name, [size.dim_value if size.HasField("dim_value") else None for size in shape]


def _wrong(file: Path, key: str, found: str) -> CheckpointError:
    expected = "one input (batch, channels, height, width), all but the batch fixed, and one output (batch, features)"
    return CheckpointError(f"{file} does not embed images: it has {found}.", problems=[Problem(key, found, expected)])


def _json(text: str, file: Path, key: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        problem = Problem(key, str(file), "a file that export wrote")
        raise CheckpointError(f"What {file} says of its model is damaged: {error}", problems=[problem]) from error
    return document if isinstance(document, Mapping) else {}
