"""What a training draws from its images: batches to learn from, and the task it is validated with."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor

from tao_skill.config.actions import TrainSpec
from tao_skill.config.wording import counted
from tao_skill.metric_learning.data.batches import Batches, usable_workers
from tao_skill.metric_learning.data.check import CheckedSets
from tao_skill.metric_learning.data.dataset import TrainImages
from tao_skill.metric_learning.data.image_set import ImageSet, name_some
from tao_skill.metric_learning.data.pixels import PixelSource, decoded_once
from tao_skill.metric_learning.data.sampler import PKBatchSampler
from tao_skill.metric_learning.data.transforms import TrainTransform
from tao_skill.metric_learning.embed import embed_images
from tao_skill.metric_learning.engines.embedder import Embeds
from tao_skill.metric_learning.measure import RetrievalTask
from tao_skill.metric_learning.training.module import TrainingModule
from tao_skill.metric_learning.training.processes import Processes

__all__ = ["SharedEmbedding", "TrainingData", "all_pixels", "unseen_warning"]


class TrainingData(pl.LightningDataModule):
    """The sets of a training, the order its batches are drawn in, and where their pixels come from.

    Each process draws its part of each batch, from where a resumed training goes on.
    """

    def __init__(self, spec: TrainSpec, sets: CheckedSets, module: TrainingModule, processes: Processes) -> None:
        super().__init__()
        self.spec, self.sets, self.module, self.processes = spec, sets, module, processes
        self.sampler = self._sampler(0, processes.count)
        self.pixels: PixelSource | None = None

    def train_dataloader(self) -> Batches:
        """Return the augmented batches of each epoch; Lightning asks once all processes are there and know the seed."""
        assert self.trainer is not None
        self.sampler = self._sampler(self.trainer.global_rank, self.trainer.world_size)
        # The first epoch's batches are drawn before any callback runs.
        self.sampler.set_epoch(self.module.start_epoch)
        self.sampler.set_start_batch(self.module.epoch_step)
        images, data = self.sets.train, self.spec.dataset
        transform = TrainTransform(data, self.spec.model)
        return Batches(
            TrainImages(images.paths, images.labels, transform, self.module.seed, self.pixels),
            self.sampler,
            workers_of_a_process(data.workers, len(images), self.processes),
            pin_memory=torch.cuda.is_available(),
        )

    def _sampler(self, rank: int, count: int) -> PKBatchSampler:
        batch, instances = self.spec.train.batch_size, self.spec.dataset.num_instance
        return PKBatchSampler(self.sets.train.labels, batch, instances, self.module.seed, rank=rank, world_size=count)

    def validation(self) -> RetrievalTask | None:
        """Return what is validated with, or None where there is nothing."""
        if self.sets.reference is None or self.sets.query is None:
            return None
        return RetrievalTask(
            reference=self.sets.reference,
            query=self.sets.query,
            batch_size=self.spec.train.val_batch_size,
            workers=self.spec.dataset.workers,
            pixels=self.pixels,
        )


class SharedEmbedding:
    """Embed images with all processes, each a part of them, and give all embeddings to every process."""

    def __init__(self, trainer: pl.Trainer, processes: Processes, embed_dim: int) -> None:
        self.trainer, self.processes, self.embed_dim = trainer, processes, embed_dim

    def __call__(
        self,
        embedder: Embeds,
        paths: Sequence[Path],
        *,
        batch_size: int,
        workers: int,
        pixels: PixelSource | None = None,
    ) -> Tensor:
        """Return the embeddings of images, (num_images, embed_dim), float32 on the CPU, in the order of the paths."""
        workers = workers_of_a_process(workers, len(paths), self.processes)
        count = self.processes.count
        if count == 1:
            return embed_images(embedder, paths, batch_size=batch_size, workers=workers, pixels=pixels)
        share = -(-len(paths) // count)
        own = paths[self.trainer.global_rank * share :][:share]
        # All shares have the same size, the last ones filled up with zeros that are cut off again.
        part = torch.zeros(share, self.embed_dim)
        if own:
            part[: len(own)] = embed_images(embedder, own, batch_size=batch_size, workers=workers, pixels=pixels)
        strategy = self.trainer.strategy
        gathered = strategy.all_gather(part.to(strategy.root_device))
        assert isinstance(gathered, Tensor)
        return gathered.flatten(0, 1)[: len(paths)].cpu()


def workers_of_a_process(requested: int, num_images: int, processes: Processes) -> int:
    """Return how many loading threads one process gets: those of a machine share its processors."""
    usable = usable_workers(requested, num_images)
    return max(usable // processes.per_machine, 1) if usable else 0


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
    lost = counted(int(left.sum()), "image is", "images are")
    return (
        f"{images.key}: {lost} never seen in {counted(epochs, 'epoch')}, since large classes are drawn as often "
        f"as small ones; train.num_epochs = {sampler.epochs_to_see_all()} sees all: {name_some(classes, 5)}"
    )
