"""What a training draws from its images: batches to learn from, and the task it is validated with."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from tao_skill.config.actions import TrainSpec
from tao_skill.metric_learning.data.batches import Batches, usable_workers
from tao_skill.metric_learning.data.check import CheckedSets
from tao_skill.metric_learning.data.dataset import TrainImages
from tao_skill.metric_learning.data.image_set import ImageSet, name_some
from tao_skill.metric_learning.data.pixels import PixelSource, decoded_once
from tao_skill.metric_learning.data.sampler import PKBatchSampler
from tao_skill.metric_learning.data.transforms import TrainTransform
from tao_skill.metric_learning.measure import RetrievalTask

__all__ = ["TrainingData", "all_pixels", "unseen_warning"]


@dataclass(frozen=True)
class TrainingData:
    """The sets of a training, the order its batches are drawn in, and where their pixels come from."""

    sets: CheckedSets
    sampler: PKBatchSampler
    pixels: PixelSource

    def batches(self, spec: TrainSpec, seed: int) -> Batches:
        """Return the augmented batches of each epoch."""
        images = self.sets.train
        transform = TrainTransform(spec.dataset, spec.model)
        return Batches(
            TrainImages(images.paths, images.labels, transform, seed, self.pixels),
            self.sampler,
            usable_workers(spec.dataset.workers, len(images)),
            pin_memory=torch.cuda.is_available(),
        )

    def validation(self, spec: TrainSpec) -> RetrievalTask | None:
        """Return what is validated with, or None where there is nothing."""
        if self.sets.reference is None or self.sets.query is None:
            return None
        return RetrievalTask(
            reference=self.sets.reference,
            query=self.sets.query,
            batch_size=spec.train.val_batch_size,
            workers=spec.dataset.workers,
            pixels=self.pixels,
        )


def all_pixels(spec: TrainSpec, sets: CheckedSets) -> AbstractContextManager[PixelSource]:
    """Return the source of all images of a training, each of which is decoded once."""
    given = [images.paths for images in (sets.train, sets.reference, sets.query) if images is not None]
    return decoded_once(given, spec.model.input_channels, spec.dataset.pixel_cache_gb)


def unseen_warning(images: ImageSet, sampler: PKBatchSampler, epochs: int) -> str:
    """Word a warning of images that a training of so many epochs never sees; empty where it sees all.

    Classes are drawn evenly, so a class that is larger than others needs more epochs.
    """
    left = sampler.unseen(epochs)
    if not left.any():
        return ""
    sizes = images.images_per_class()
    classes = [
        f"{images.classes[label]} ({left[label]} of {sizes[label]})" for label in (-left).argsort()[: (left > 0).sum()]
    ]
    return (
        f"{images.key}: {left.sum()} images are never seen in {epochs} epochs, since large classes are drawn as often "
        f"as small ones; train.num_epochs = {sampler.epochs_to_see_all()} sees all: {name_some(classes, 5)}"
    )
