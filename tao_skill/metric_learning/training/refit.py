"""An embedder computed anew from a trained trunk, as an alternative to the trained one.

A trunk may have learned more than its embedder shows: the loss of small batches compares few classes at a time, while
the discriminant projection sees all of them. Which of the two recognises better is measured, not assumed.
"""

from copy import deepcopy

import torch

from tao_skill.config.actions import TrainSpec
from tao_skill.metric_learning.data.image_set import ImageSet
from tao_skill.metric_learning.data.pixels import PixelSource
from tao_skill.metric_learning.engines.embedder import Embeds
from tao_skill.metric_learning.measure import EmbedsImages
from tao_skill.metric_learning.model.heads import LinearHead
from tao_skill.metric_learning.model.recogniser import Recogniser
from tao_skill.metric_learning.training.discriminant import (
    MOST_IMAGES,
    discriminant_projection,
    images_at_once,
    shuffled,
)

__all__ = ["Refit"]


class Refit:
    """Replaces the embedder of a recogniser by the discriminant projection of its trunk's features."""

    def __init__(self, spec: TrainSpec, images: ImageSet, pixels: PixelSource | None) -> None:
        self._images, self._pixels = images, pixels
        self._batch = images_at_once(spec.model.input_height, spec.model.input_width)
        self._workers, self._embed_dim = spec.dataset.workers, spec.model.feat_dim
        self._wanted = spec.train.embedder_refit and bool(spec.train.train_embedder)

    @property
    def num_images(self) -> int:
        """Return how many images the embedder is computed from."""
        return min(len(self._images), MOST_IMAGES)

    def features_of(self, recogniser: Recogniser) -> int:
        """Return trunk_dim where there is an embedder to compute, which is a linear one that learns; else 0."""
        head = recogniser.embedder
        return head.in_features if self._wanted and isinstance(head, LinearHead) else 0

    def __call__(self, recogniser: Recogniser, trunk: Embeds, embed: EmbedsImages, seed: int) -> Recogniser:
        """Return a recogniser with the same trunk and a computed embedder; the one given stays as it is.

        ``trunk`` gives features of images, (num_images, trunk_dim), and ``embed`` those of image files. Which images
        are taken follows from the seed, which all processes that embed together must have in common.
        """
        chosen = shuffled(len(self._images), seed)[: self.num_images]
        paths, labels = [self._images.paths[index] for index in chosen], torch.from_numpy(self._images.labels[chosen])
        head = deepcopy(recogniser.embedder)
        assert isinstance(head, LinearHead)
        features = embed(trunk, paths, batch_size=self._batch, workers=self._workers, pixels=self._pixels)
        head.start_from(*discriminant_projection(features, labels, self._embed_dim))
        return Recogniser(recogniser.trunk, head)
