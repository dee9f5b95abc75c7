"""Parse and build every backbone in FP32, FP16 and INT8 with TensorRT for RTX, which needs no GPU for that.

    python -m tools.bench.engines [BACKBONE …] [--precisions FP32 FP16 INT8]

One line for each build: size of the engine, number of network layers, seconds; or what the parser or the builder said.
Weights are random, and INT8 is calibrated on parts of two photographs: whether a model builds doesn't depend on them.
"""

import argparse
import copy
import sys
import time
from typing import Any, get_args

import torch

from tao_skill.config.model import Backbone
from tao_skill.errors import TaoSkillError
from tao_skill.metric_learning.engines.facts import ModelFacts
from tao_skill.metric_learning.engines.tensorrt_calls import BuildSettings, build_plan, find_library
from tao_skill.metric_learning.export.node_precision import set_node_precision
from tao_skill.metric_learning.export.quantise import TENSORRT, measure_ranges, quantise
from tao_skill.metric_learning.export.samples import sample_batch
from tao_skill.metric_learning.export.trace import INPUT, trace
from tao_skill.metric_learning.model.recogniser import ModelSettings, build_recogniser

PRECISIONS = ("FP32", "FP16", "INT8")
MEAN, STD = (0.485, 0.456, 0.406), (0.226, 0.226, 0.226)
SIDE = 224
CALIBRATION_IMAGES = 4
WORKSPACE_MB = 1024


def main() -> int:
    """Build what was asked for and return 1 if anything failed."""
    parser = argparse.ArgumentParser(description="Build engines of backbones with TensorRT for RTX.")
    parser.add_argument("backbones", nargs="*", default=list(get_args(Backbone)))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    asked = parser.parse_args()
    failed = False
    print("| backbone | precision | engine MB | layers | seconds |\n|---|---|---|---|---|")
    for backbone in asked.backbones:
        started = time.perf_counter()
        facts = ModelFacts(ModelSettings(backbone, "", SIDE, SIDE, 3, 256), MEAN, STD, "")
        recogniser = build_recogniser(facts.model, seed=0)
        model = trace(recogniser, facts, opset=18, batch=None, device=torch.device("cpu"))
        del recogniser
        print(f"{backbone}: traced in {time.perf_counter() - started:.1f} s", file=sys.stderr)
        for precision in asked.precisions:
            try:
                line = build_line(model, facts, precision)
            except TaoSkillError as error:
                failed, line = True, " ".join(str(error).split())
            print(f"| {backbone} | {precision} | {line} |", flush=True)
    return int(failed)


def build_line(model: Any, facts: ModelFacts, precision: str) -> str:
    """Build an engine and return its size, layers and seconds as cells of a table."""
    started = time.perf_counter()
    if precision == "INT8":
        images = sample_batch(None, CALIBRATION_IMAGES, facts.transform()).numpy()
        ready = quantise(model, measure_ranges(model, [images], TENSORRT), TENSORRT)
    else:
        ready = set_node_precision(copy.deepcopy(model), precision, {})
    settings = BuildSettings(INPUT, (3, SIDE, SIDE), (1, 4, 16), WORKSPACE_MB)
    built = build_plan(find_library("tensorrt_rtx"), ready.SerializeToString(), settings)
    return f"{len(built.plan) / 1e6:.1f} | {built.num_layers} | {time.perf_counter() - started:.1f}"


if __name__ == "__main__":
    sys.exit(main())
