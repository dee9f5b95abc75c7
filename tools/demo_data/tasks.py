"""The demo's data sets, and how to train on each."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tools.demo_data.digits import DigitsSize, digit_pictures
from tools.demo_data.layout import Picture
from tools.demo_data.retail import RetailSize, retail_pictures

__all__ = ["SEED", "Task", "tasks"]

SEED = 7


@dataclass(frozen=True)
class Task:
    """A data set and how to train on it."""

    name: str
    title: str
    pictures: Callable[[], Iterable[Picture]]
    input_side: int
    train: tuple[str, ...]

    @property
    def model(self) -> list[str]:
        """Return the overrides that describe the network."""
        side = self.input_side
        return ["model.timm_name=tf_efficientnet_lite0", f"model.input_width={side}", f"model.input_height={side}"]


def tasks(quick: bool) -> list[Task]:
    """Return the demo's data sets, or tiny ones."""
    # Flips would mirror print and digits; a strong change of hue would turn one flavour into another.
    common = ("dataset.prob=0", "dataset.color_augmentation.hue=0.02", "train.val_batch_size=64")
    if quick:
        retail = RetailSize(
            known_families=2, unknown_families=1, reference=1, train=4, train_catalogue=1, val=1, test=1, unknown_test=1
        )
        digits = DigitsSize(reference=1, train=8, val=1, test=1, unknown_test=1)
        short = (*common, "train.num_epochs=1", "train.batch_size=16", "train.optim.warmup_iters=1")
        return [
            Task("retail", "retail products", lambda: retail_pictures(retail, SEED), 32, short),
            Task("digits", "handwritten digits", lambda: digit_pictures(digits), 32, short),
        ]
    return [
        Task(
            "retail",
            "120 rendered retail products: 90 known, 30 unknown",
            lambda: retail_pictures(RetailSize(), SEED),
            96,
            (
                *common,
                *_schedule(epochs=12, warmup=2, steps=[9], validation=3),
                "dataset.re_prob=0.2",
            ),
        ),
        Task(
            "digits",
            "scans of handwritten digits: 0 to 6 known, 7 to 9 unknown",
            lambda: digit_pictures(DigitsSize()),
            64,
            (
                *common,
                *_schedule(epochs=6, batch=28, warmup=1, steps=[4], validation=1),
                "train.optim.trunk.base_lr=3e-5",
                "train.smooth_loss=false",
                "train.optim.triplet_loss_margin=0.1",
                "dataset.color_augmentation.enabled=false",
                "dataset.re_prob=0",
            ),
        ),
    ]


def _schedule(*, epochs: int, batch: int = 32, warmup: int, steps: list[int], validation: int) -> tuple[str, ...]:
    return (
        f"train.num_epochs={epochs}",
        f"train.batch_size={batch}",
        f"train.optim.warmup_iters={warmup}",
        f"train.optim.steps={json.dumps(steps, separators=(',', ':'))}",
        f"train.validation_interval={validation}",
        # Pretrained weights are already good: a low rate improves them, the default would first undo them.
        "train.optim.trunk.base_lr=5e-5",
        "train.optim.embedder.base_lr=5e-5",
        f"train.checkpoint_interval={epochs}",
    )
