"""This project's side of a comparison, in a process of its own: the real action, with the times of its steps noted.

``python -m tools.bench.product_loop --out FILE train -e spec.yaml …`` runs ``ml_recog train -e spec.yaml …``.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any


def main() -> int:
    """Run the trainer's command and write when its steps began, and when it was done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options, words = parser.parse_known_args()
    from tao_skill.metric_learning import actions

    steps: list[float] = []
    original = actions.run_action

    def run_action(action: str, spec: Any, *, results_dir: Path) -> dict[str, Any]:
        if action == "train":
            _note_steps(steps)
        return original(action, spec, results_dir=results_dir)

    actions.run_action = run_action
    from tao_skill.cli.ml_recog import main as ml_recog

    code = ml_recog(words)
    options.out.write_text(json.dumps({"steps": [*steps, time.time()]}), encoding="utf-8")
    return code


def _note_steps(steps: list[float]) -> None:
    """Write down when each training step begins."""
    from tao_skill.metric_learning.training.module import TrainingModule

    step = TrainingModule.training_step

    def noted(self: TrainingModule, *arguments: Any) -> Any:
        steps.append(time.time())
        return step(self, *arguments)

    TrainingModule.training_step = noted  # type: ignore[method-assign]


if __name__ == "__main__":
    sys.exit(main())
