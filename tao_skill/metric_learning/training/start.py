"""Where a training begins: its weights, and its state if it was interrupted."""

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tao_skill.config.actions import TrainSpec
from tao_skill.config.placeholder import is_given
from tao_skill.errors import CheckpointError, Problem
from tao_skill.metric_learning.data.image_set import ImageSet
from tao_skill.metric_learning.data.pixels import PixelSource
from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.embed import embed_images
from tao_skill.metric_learning.engines.torch_network import Network, evaluating
from tao_skill.metric_learning.model.checkpoint import Checkpoint, read_checkpoint
from tao_skill.metric_learning.model.heads import LinearHead
from tao_skill.metric_learning.model.pretrained import (
    LoadReport,
    load_weights,
    start_recogniser,
    starts_pretrained,
)
from tao_skill.metric_learning.model.recogniser import ModelSettings, Recogniser, build_recogniser
from tao_skill.metric_learning.training.criterion import Criterion
from tao_skill.metric_learning.training.discriminant import (
    MOST_IMAGES,
    discriminant_projection,
    images_at_once,
    shuffled,
)

__all__ = ["Start", "Warmup", "load_start"]

log = logging.getLogger(__name__)
_RESUME_KEY = "train.resume_training_checkpoint_path"
_CALIBRATION_IMAGES = 512


@dataclass(frozen=True)
class Start:
    """The recogniser, the seed of all that follows, and the checkpoint that is resumed, if one is.

    ``loaded`` tells what files of pretrained weights filled.
    """

    recogniser: Recogniser
    seed: int
    checkpoint: Checkpoint | None
    loaded: list[LoadReport] = field(default_factory=list)


def load_start(spec: TrainSpec) -> Start:
    """Build the recogniser and fill it from the checkpoint to resume, or from pretrained weights.

    Raises:
        CheckpointError: a file can't be read, does not fit, or holds nothing to resume.
    """
    path = spec.train.resume_training_checkpoint_path
    settings = ModelSettings.of(spec.model)
    if is_given(path):
        return _resumed(str(path), spec, settings)
    # A seed of -1 asks for a new one each time; it is kept in the checkpoints.
    seed = spec.train.seed if spec.train.seed >= 0 else random.SystemRandom().randrange(2**32)
    recogniser, loaded = start_recogniser(settings, spec.model, seed)
    return Start(recogniser.to(memory_format=torch.channels_last), seed, None, loaded)


def _resumed(path: str, spec: TrainSpec, settings: ModelSettings) -> Start:
    checkpoint = read_checkpoint(path, _RESUME_KEY)
    if not checkpoint.training:
        problem = Problem(_RESUME_KEY, path, "a periodic checkpoint of this project: it holds the optimizers' state")
        raise CheckpointError(f"{path} holds weights, but no training to resume.", problems=[problem])
    wanted = {f"model.{name}": value for name, value in settings.document().items()}
    wanted |= {f"dataset.{name}": list(getattr(spec.dataset, name)) for name in checkpoint.transform}
    had = {f"model.{name}": value for name, value in checkpoint.model.items()}
    had |= {f"dataset.{name}": list(value) for name, value in checkpoint.transform.items()}
    problems = [
        Problem(key, wanted.get(key), f"{value!r}, as in {checkpoint.path}")
        for key, value in had.items()
        if wanted.get(key) != value
    ]
    if problems:
        raise CheckpointError("The checkpoint to resume is of another model.", problems=problems)
    seed = checkpoint.training["seed"]
    recogniser = build_recogniser(settings, seed)
    load_weights(recogniser, checkpoint.tensors, file=checkpoint.path, key=_RESUME_KEY, part="model")
    return Start(recogniser.to(memory_format=torch.channels_last), seed, checkpoint)


class Warmup:
    """What is computed from the training images before the first step of a new training; with ``half`` in bfloat16."""

    def __init__(
        self,
        spec: TrainSpec,
        images: ImageSet,
        transform: EvalTransform,
        device: torch.device,
        seed: int,
        *,
        pixels: PixelSource | None = None,
        half: bool = False,
    ) -> None:
        self.spec, self.images, self.transform, self.device = spec, images, transform, device
        self._pixels, self._precision = pixels, "bf16" if half else "fp32"
        self._order = shuffled(len(images), seed)
        self._batch = images_at_once(spec.model.input_height, spec.model.input_width)

    def start_embedder(self, recogniser: Recogniser) -> None:
        """Set the embedder to the discriminant projection of the trunk's features, unless the spec says otherwise.

        An untrained trunk is given batch statistics in either case.
        """
        wanted = self.spec.train.embedder_start
        model, head = self.spec.model, recogniser.embedder
        given = is_given(model.pretrained_model_path) or is_given(model.pretrained_embedder_path)
        recogniser.to(self.device)
        if wanted == "random" or given or not isinstance(head, LinearHead):
            if wanted == "discriminant":
                log.warning("train.embedder_start has no effect: the embedder has weights already, or several layers.")
            if not starts_pretrained(model) and _normalisations(recogniser.trunk):
                self._calibrate(recogniser.trunk)
            return
        features = None if starts_pretrained(model) else self._calibrate(recogniser.trunk)
        chosen = self._order[:MOST_IMAGES]
        if features is None or len(chosen) > min(self._batch, len(features)):
            with evaluating(recogniser):
                features = self._embed(recogniser.trunk, chosen)
        labels = torch.from_numpy(self.images.labels[chosen])
        head.start_from(*discriminant_projection(features, labels, model.feat_dim))
        log.info("The embedder starts as the discriminant projection of %d training images.", len(chosen))

    def start_criterion(self, recogniser: Recogniser, criterion: Criterion) -> None:
        """Fill the cross-batch memory, without which the first step would have no negatives; place class vectors."""
        if criterion.memory is not None or criterion.has_weights:
            memory = criterion.memory
            chosen = self._order[: memory.memory_size] if memory is not None else self._some_of_each_class()
            with evaluating(recogniser):
                embeddings = self._embed(recogniser.to(self.device), chosen)
            criterion.start_from(embeddings, torch.from_numpy(self.images.labels[chosen]))

    def _some_of_each_class(self) -> list[int]:
        """Return images of all classes, of large sets in the main as they come."""
        chosen, more = self._order[:MOST_IMAGES], self._order[MOST_IMAGES:]
        seen = set(self.images.labels[chosen].tolist())
        for index, label in zip(more, self.images.labels[more].tolist(), strict=True):
            if label not in seen:
                seen.add(label)
                chosen.append(index)
        return chosen

    def _calibrate(self, trunk: nn.Module) -> torch.Tensor:
        """Give an untrained trunk the batch statistics of these images: those it is built with fit none.

        Returns the features meanwhile: of a single batch, they are those that the trunk has then.
        """
        trunk.eval()
        layers = _normalisations(trunk)
        momenta = [layer.momentum for layer in layers]
        for layer in layers:
            layer.momentum = None  # a plain average over all batches
            layer.train()
        features = self._embed(trunk, self._order[:_CALIBRATION_IMAGES])
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        return features

    def _embed(self, network: nn.Module, chosen: Sequence[int]) -> torch.Tensor:
        return embed_images(
            Network(network, self.transform, self.device, self._precision),
            [self.images.paths[index] for index in chosen],
            batch_size=self._batch,
            workers=self.spec.dataset.workers,
            pixels=self._pixels,
        )


def _normalisations(trunk: nn.Module) -> list[_BatchNorm]:
    return [layer for layer in trunk.modules() if isinstance(layer, _BatchNorm)]
