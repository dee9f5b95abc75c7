"""Validation: images embedded in a second."""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from tools.bench.pictures import make_classes
from tools.bench.table import Row, pairs

__all__ = ["validation_rows"]

_WARM_UP, _IMAGES = 8, 64


def validation_rows(folder: Path, rounds: int, threads: int) -> list[Row]:
    """Compare embedding with the settings of a validation: resnet_50, 224 pixels, the default batch of 4."""
    make_classes(folder / "images", 8, _IMAGES // 8, 256, 256)
    make_classes(folder / "first", 2, _WARM_UP // 2, 256, 256)
    row = Row("validation, resnet_50, 224: embedding", "images/s", 3.0)

    def side(name: str) -> float:
        command = [sys.executable, "-m", "tools.bench.validation", name, str(folder), str(threads)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        return float(json.loads(answer.stdout.splitlines()[-1]))

    pairs(rounds, lambda: row.ours.append(side("ours")), lambda: row.theirs.append(side("theirs")))
    return [row]


def _ours(folders: list[Path], batch: int, workers: int) -> list[float]:
    import torch

    from tao_skill.config.model import Model
    from tao_skill.metric_learning.data.transforms import EvalTransform
    from tao_skill.metric_learning.device import choose_device, choose_precision
    from tao_skill.metric_learning.embed import embed_images
    from tao_skill.metric_learning.engines.torch_network import Network, evaluating
    from tao_skill.metric_learning.half import HalfRecogniser
    from tao_skill.metric_learning.model.recogniser import ModelSettings, build_recogniser

    network = build_recogniser(ModelSettings.of(Model()), 1).to(memory_format=torch.channels_last)
    transform = EvalTransform([0.485, 0.456, 0.406], [0.226], 224, 224)
    half = choose_precision("auto", choose_device(1, [0], ""), network) == "bf16-mixed"
    times = [time.perf_counter()]
    with evaluating(network):
        embedder = Network(HalfRecogniser(network) if half else network, transform, torch.device("cpu"))
        for folder in folders:
            embed_images(embedder, sorted(folder.rglob("*.jpg")), batch_size=batch, workers=workers)
            times.append(time.perf_counter())
    return times


def _theirs(folders: list[Path], batch: int, workers: int) -> list[float]:
    from tools.bench.reference_loop import build, embed

    trunk, embedder = build("resnet50")
    options = argparse.Namespace(size=224, val_batch=batch, workers=workers)
    times = [time.perf_counter()]
    for folder in folders:
        embed(options, folder, trunk, embedder)
        times.append(time.perf_counter())
    return times


def main() -> None:
    """Measure one side and print images per second."""
    name, folder, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    import torch

    torch.set_num_threads(threads)
    times = {"ours": _ours, "theirs": _theirs}[name]([folder / "first", folder / "images"], 4, 2)
    print(json.dumps(_IMAGES / (times[2] - times[1])))


if __name__ == "__main__":
    main()
