"""Train as `ml_recog train` does, and write down what each process draws and embeds.

Run as a program: the first word is a folder, the rest is what `ml_recog` takes. Each process writes `rank-<n>.jsonl`.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from tao_skill.cli.ml_recog import main
from tao_skill.metric_learning.training import data
from tao_skill.metric_learning.training.module import TrainingModule

_step, _embed = TrainingModule.training_step, data.embed_images
_rank = [0]


def note(folder: Path, **facts: Any) -> None:
    with (folder / f"rank-{_rank[0]}.jsonl").open("a") as file:
        file.write(json.dumps(facts) + "\n")


def watch(folder: Path) -> None:
    def training_step(self: TrainingModule, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        _rank[0] = self.global_rank
        note(folder, drawn=batch[1].tolist())
        _step(self, batch, batch_idx)

    def embed_images(embedder: Any, paths: Sequence[Path], **reading: Any) -> Tensor:
        note(folder, embedded=[str(path) for path in paths])
        return _embed(embedder, paths, **reading)

    TrainingModule.training_step = training_step  # type: ignore[method-assign]
    data.embed_images = embed_images


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
