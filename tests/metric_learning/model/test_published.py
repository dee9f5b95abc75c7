"""The seven backbones against published facts: tensor names, shapes, parameter counts, and outputs.

`published/golden.json` holds the first eight values of the first row and the norms of both rows for trunk and
embedding, of weights that `fill` draws and images that `images` draws. `published/layouts.csv` counts the tensors of
the published layout, numbers inside their names left out: the weights below hang on the whole names, so outputs that
agree prove those too.
"""

import csv
import json
import math
import re
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tao_skill.config.keys import nest
from tao_skill.metric_learning.actions import run_action
from tao_skill.metric_learning.model.checkpoint import read_checkpoint
from tao_skill.metric_learning.model.recogniser import ModelSettings, Recogniser, build_recogniser

PUBLISHED = Path(__file__).parent / "published"
GOLDEN: dict[str, dict[str, Any]] = json.loads((PUBLISHED / "golden.json").read_text())
RESIDUAL = {"resnet_50", "resnet_101"}
QUICK = {"resnet_50", "fan_tiny", "fan_small"}
TOLERANCE = 1e-3
BY_SPEED = [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in GOLDEN]


def build(backbone: str) -> Recogniser:
    """Return the recogniser in its published size: for transformers, embeddings are as long as features."""
    feat_dim = 256 if backbone in RESIDUAL else GOLDEN[backbone]["trunk_out"][1]
    return build_recogniser(ModelSettings(backbone, "", 224, 224, 3, feat_dim), seed=1)


def images() -> Tensor:
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1234))


def fill(network: nn.Module) -> None:
    """Give each tensor values that follow from its name and shape alone."""
    for name, tensor in network.state_dict().items():
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        if name.endswith("running_var"):
            tensor.fill_(1)
        elif name.endswith("running_mean"):
            tensor.zero_()
        elif tensor.is_floating_point():
            scale = 0.02 if tensor.ndim <= 1 else math.sqrt(1 / tensor[0].numel())
            shift = 1.0 if tensor.ndim <= 1 and name.endswith("weight") else 0.0
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale + shift)


def layout(network: nn.Module) -> Counter[tuple[str, str, str]]:
    return Counter(
        (
            re.sub(r"\.\d+(?=\.)", ".*", name),
            "x".join(map(str, tensor.shape)),
            str(tensor.dtype).removeprefix("torch."),
        )
        for name, tensor in network.state_dict().items()
    )


def published_layout(backbone: str) -> Counter[tuple[str, str, str]]:
    with (PUBLISHED / "layouts.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["backbone"] == backbone]
    return Counter({(row["tensor"], row["shape"], row["dtype"]): int(row["count"]) for row in rows})


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("backbone", GOLDEN)
def test_names_shapes_and_parameter_counts_are_the_published_ones(backbone: str) -> None:  # R38
    with torch.device("meta"):  # no memory, no time
        recogniser = build(backbone)
    assert layout(recogniser) == published_layout(backbone)
    assert parameters(recogniser.trunk) == GOLDEN[backbone]["trunk_parameters"]
    assert parameters(recogniser.embedder) == GOLDEN[backbone]["embedder_parameters"]


@pytest.mark.parametrize("backbone", BY_SPEED)
def test_outputs_are_the_published_ones(backbone: str) -> None:  # R38
    recogniser, golden = build(backbone).eval(), GOLDEN[backbone]
    fill(recogniser)
    with torch.inference_mode():
        features = recogniser.trunk(images())
        embeddings = recogniser.embedder(features)
    assert list(features.shape) == golden["trunk_out"]
    for output, name in ((features, "trunk"), (embeddings, "embedding")):
        torch.testing.assert_close(output[0, :8], torch.tensor(golden[f"{name}_first8"]), rtol=TOLERANCE, atol=1e-5)
        torch.testing.assert_close(output.norm(dim=1), torch.tensor(golden[f"{name}_norms"]), rtol=TOLERANCE, atol=0)


@pytest.mark.long
@pytest.mark.parametrize("backbone", ["fan_base", "resnet_101"])
def test_a_large_backbone_trains_an_epoch(
    backbone: str, task: dict[str, Path], tmp_path: Path
) -> None:  # R38, 8.15, 8.28
    spec = {
        "model.backbone": backbone,
        "model.input_width": 96,
        "model.input_height": 64,
        "model.feat_dim": 32,
        "dataset.train_dataset": str(task["train"]),
        "dataset.val_dataset.reference": str(task["reference"]),
        "dataset.val_dataset.query": str(task["query"]),
        "dataset.workers": 0,
        "dataset.num_instance": 2,
        "train.batch_size": 8,
        "train.num_epochs": 1,
        "train.optim.warmup_iters": 1,
    }
    result = run_action("train", nest(spec), results_dir=tmp_path)
    assert 0.0 <= result["metrics"]["val Precision at Rank 1"] <= 1.0
    # The best checkpoint may be the model that training started from: what has learned is the latest.
    (latest,) = Path(result["results_dir"]).glob("model_epoch_*.pth")
    trained = read_checkpoint(latest, "evaluate.checkpoint").tensors
    start = build_recogniser(ModelSettings(backbone, "", 96, 64, 3, 32), seed=1234).state_dict()
    moved = [name for name, value in start.items() if not torch.equal(value, trained[name])]
    assert len(moved) > 0.9 * len(start)
