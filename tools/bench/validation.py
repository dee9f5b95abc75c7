"""Validation: images embedded in a second."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tools.bench.pictures import make_classes
from tools.bench.processes import FOR_REFERENCE, answer_of
from tools.bench.table import Row, pairs

__all__ = ["validation_rows"]

# More than few, so that both sides warm up what they are going to use.
_CLASSES, _WARM_UP = 8, 80
_BATCH, _WORKERS = 4, 2


def validation_rows(folder: Path, rounds: int, threads: int, images: int = 512) -> list[Row]:
    """Compare embedding with the settings of a validation: resnet_50, 224 pixels, the default batch of 4.

    What a validation does for each set of images counts on both sides: listing them, building what reads them, on our
    side the network's copy in bfloat16 and writing pixels into the cache. What a training does once, such as choosing
    the number format, is done before; so is the validation of other images, which warms up.
    """
    row = Row("validation, resnet_50, 224: embedding", "images/s", 3.0)
    first, timed = _made(folder / "first", _WARM_UP), _made(folder / "images", images)

    def side(name: str) -> float:
        command = [sys.executable, "-m", "tools.bench.validation", name, str(first), str(timed)]
        with tempfile.TemporaryDirectory() as cache:  # a new one: its pixels are decoded, as in a first validation
            environment = FOR_REFERENCE if name == "theirs" else {"TAO_SKILL_CACHE": cache}
            return float(answer_of(command, {"OMP_NUM_THREADS": str(threads)} | environment))

    pairs(rounds, lambda: row.ours.append(side("ours")), lambda: row.theirs.append(side("theirs")))
    return [row]


def _made(folder: Path, images: int) -> Path:
    return make_classes(folder, _CLASSES, images // _CLASSES, 256, 256)


def _ours(folders: list[Path]) -> list[float]:
    import torch

    from tao_skill.config.dataset import TrainData
    from tao_skill.config.model import Model
    from tao_skill.metric_learning.data.pixels import decoded_once
    from tao_skill.metric_learning.data.transforms import EvalTransform
    from tao_skill.metric_learning.device import choose_device, choose_precision
    from tao_skill.metric_learning.embed import embed_images
    from tao_skill.metric_learning.freed_memory import keep_freed_memory
    from tao_skill.metric_learning.half import validating
    from tao_skill.metric_learning.model.recogniser import ModelSettings, build_recogniser
    from tao_skill.metric_learning.quick_layers import make_quick
    from tools.bench.device import moment

    device = choose_device(1, [0], "")
    network = build_recogniser(ModelSettings.of(Model()), 1).to(memory_format=torch.channels_last)
    precision = choose_precision("auto", device, network)
    if device.accelerator == "cpu":  # as a training does before its first step
        make_quick(network)
        keep_freed_memory()
    network.to(device.torch_device)
    data = TrainData()
    transform = EvalTransform(data.pixel_mean, data.pixel_std, 224, 224)
    times = [moment()]
    with decoded_once([_files(folder) for folder in folders], 3, data.pixel_cache_gb) as pixels:
        for folder in folders:
            paths = _files(folder)
            with validating(network, transform, device.torch_device, precision, len(paths)) as embedder:
                embed_images(embedder, paths, batch_size=_BATCH, workers=_WORKERS, pixels=pixels)
            times.append(moment())
    return times


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.jpg"))


def _theirs(folders: list[Path]) -> list[float]:
    from tools.bench.device import moment, reference_device
    from tools.bench.reference_loop import build, embed

    trunk, embedder = (part.to(reference_device()) for part in build("resnet50"))
    options = argparse.Namespace(size=224, val_batch=_BATCH, workers=_WORKERS)
    times = [moment()]
    for folder in folders:
        embed(options, folder, trunk, embedder)
        times.append(moment())
    return times


def main() -> None:
    """Measure one side and print images per second."""
    name, first, images = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    times = {"ours": _ours, "theirs": _theirs}[name]([first, images])
    count = sum(1 for _ in images.rglob("*.jpg"))
    print(json.dumps(count / (times[2] - times[1])))


if __name__ == "__main__":
    main()
