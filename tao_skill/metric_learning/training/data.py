"""The batches that a training draws from its images."""

from tao_skill.metric_learning.data.image_set import ImageSet, name_some
from tao_skill.metric_learning.data.sampler import PKBatchSampler

__all__ = ["unseen_warning"]


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
