"""The other side of every comparison: a plain training loop, as it is usually put together.

torchvision's transforms on PIL images, a DataLoader with worker processes, a torchvision ResNet in fp32, two Adam
optimizers, and pytorch-metric-learning's loss, miner, sampler and tester, with the defaults of the recogniser's spec.
Nothing in here is slowed down, and nothing is tuned: ``python -m tools.bench.reference_loop --help``.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning  # noqa: F401 - such a trainer is built on it: its import is part of the start
import torch
from pytorch_metric_learning import distances, losses, miners, samplers, testers
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, models, transforms

from tools.bench.device import moment, reference_device

__all__ = ["eval_transform", "train_transform"]

MEAN, STD = [0.485, 0.456, 0.406], [0.226, 0.226, 0.226]
FEAT_DIM = 256
INSTANCES = 4
RATE, DECAY = 3.5e-4, 5e-4


def train_transform(size: int) -> Any:
    """Return the augmentations of training, with the spec's defaults."""
    return transforms.Compose(
        [
            transforms.RandomResizedCrop((size, size)),
            transforms.RandomHorizontalFlip(0.5),
            transforms.ColorJitter(0.5, 0.3, 0.1, 0.1),
            transforms.GaussianBlur([15, 15], [0.3, 0.7]),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
            transforms.RandomErasing(0.5),
        ]
    )


def eval_transform(size: int) -> Any:
    """Return what validation does to images."""
    larger = round(size * 1.14)
    return transforms.Compose(
        [
            transforms.Resize((larger, larger)),
            transforms.CenterCrop((size, size)),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )


def build(network: str) -> tuple[nn.Module, nn.Module]:
    """Return a trunk with random weights and an embedder for its features."""
    if hasattr(models, network):
        trunk = getattr(models, network)()
        features = trunk.fc.in_features
        trunk.fc = nn.Identity()
    else:
        import timm

        trunk = timm.create_model(network, num_classes=0)
        features = trunk.eval()(torch.zeros(1, 3, 64, 64)).shape[1]
    return trunk, nn.Linear(features, FEAT_DIM)


def loader(images: datasets.ImageFolder, batch: int, workers: int) -> "DataLoader[Any]":
    """Return batches of four images of each class."""
    sampler = samplers.MPerClassSampler(images.targets, INSTANCES, batch, length_before_new_iter=len(images))
    return DataLoader(
        images,
        batch,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        drop_last=True,
        pin_memory=torch.cuda.is_available(),
    )


def forever(batches: "DataLoader[Any]") -> Iterator[Any]:
    """Yield batches, epoch after epoch."""
    while True:
        yield from batches


def train(options: argparse.Namespace) -> tuple[dict[str, Any], nn.Module, nn.Module]:
    """Train for so many steps and return the time at which each began, and the last ended."""
    torch.manual_seed(options.seed)
    device = reference_device()
    trunk, embedder = (part.to(device) for part in build(options.network))
    images = datasets.ImageFolder(str(options.train), train_transform(options.size))
    optimizers = [torch.optim.Adam(part.parameters(), lr=RATE, weight_decay=DECAY) for part in (trunk, embedder)]
    distance = distances.LpDistance(normalize_embeddings=True)
    criterion = losses.TripletMarginLoss(margin=0.3, smooth_loss=True, distance=distance)
    miner = miners.MultiSimilarityMiner(epsilon=0.1)
    trunk.train(), embedder.train()
    times = []
    batches = forever(loader(images, options.batch, options.workers))
    for _ in range(options.steps):
        pixels, labels = next(batches)
        times.append(moment())
        pixels, labels = pixels.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        embeddings = embedder(trunk(pixels))
        loss = criterion(embeddings, labels, miner(embeddings, labels))
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
    times.append(moment())
    return {"steps": times}, trunk, embedder


def embed(options: argparse.Namespace, folder: Path, trunk: nn.Module, embedder: nn.Module) -> tuple[Any, Any]:
    """Return embeddings and labels of a folder's images, by the library's tester."""
    images = datasets.ImageFolder(str(folder), eval_transform(options.size))
    tester = testers.GlobalEmbeddingSpaceTester(
        batch_size=options.val_batch, dataloader_num_workers=options.workers, data_device=reference_device()
    )
    return tester.get_all_embeddings(images, trunk, embedder)  # type: ignore[no-any-return]


def validate(options: argparse.Namespace, trunk: nn.Module, embedder: nn.Module) -> dict[str, Any]:
    """Embed reference and query, and return P@1 and the images embedded in a second."""
    begin = moment()
    reference, query = (embed(options, folder, trunk, embedder) for folder in (options.reference, options.query))
    seconds = moment() - begin
    knn = CustomKNN(distances.CosineSimilarity())
    calculator = AccuracyCalculator(include=("precision_at_1",), k=1, knn_func=knn)
    found = calculator.get_accuracy(query[0], query[1].squeeze(1), reference[0], reference[1].squeeze(1))
    rate = (len(reference[0]) + len(query[0])) / seconds
    return {"precision_at_1": float(found["precision_at_1"]), "embedded_per_s": rate}


def main() -> None:
    """Train, validate if there is something to validate with, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, required=True, help="folder of class folders")
    parser.add_argument("--reference", type=Path, help="folder of class folders to validate with")
    parser.add_argument("--query", type=Path, help="as reference")
    parser.add_argument("--network", default="resnet50", help="of torchvision, else of timm")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--val-batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    measured, trunk, embedder = train(options)
    if options.reference and options.query:
        measured |= validate(options, trunk, embedder)
    options.out.write_text(json.dumps(measured), encoding="utf-8")


if __name__ == "__main__":
    main()
