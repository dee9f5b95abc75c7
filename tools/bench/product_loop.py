"""This project's side of a comparison: the real action in a process of its own, steps timed, decodings counted.

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
    from tao_skill.metric_learning.importing import importing_for_good

    with importing_for_good():  # as the command does
        from tao_skill.metric_learning import actions
    from tao_skill.metric_learning.late_packages import make_packages_late

    steps: list[float] = []
    decoded: list[Path] = []
    original = actions.run_action

    def run_action(action: str, spec: Any, *, results_dir: Path) -> dict[str, Any]:
        make_packages_late()  # as the action does before all else: what is noted here is imported early
        with importing_for_good():
            if action == "train":
                _note_steps(steps)
            _note_decodings(decoded)
        return original(action, spec, results_dir=results_dir)

    actions.run_action = run_action
    from tao_skill.cli.ml_recog import main as ml_recog

    code = ml_recog(words)
    measured = {"steps": [*steps, time.time()], "decoded": len(decoded)}
    options.out.write_text(json.dumps(measured), encoding="utf-8")
    return code


def _note_steps(steps: list[float]) -> None:
    """Write down when each training step begins, and all that came before it is done."""
    from tao_skill.metric_learning.training.module import TrainingModule
    from tools.bench.device import moment

    step: Any = TrainingModule.training_step

    def noted(*arguments: Any) -> Any:
        steps.append(moment())
        return step(*arguments)

    setattr(TrainingModule, "training_step", noted)  # noqa: B010 - mypy takes no assignment to a method


def _note_decodings(decoded: list[Path]) -> None:
    """Write down each file that is decoded for its pixels; looking whether it can be is something else."""
    from tao_skill.metric_learning.data import pixels
    from tao_skill.metric_learning.data.decode import decode_image

    def noted(path: Path, channels: int) -> Any:
        decoded.append(path)
        return decode_image(path, channels)

    setattr(pixels, "decode_image", noted)  # noqa: B010 - as above


if __name__ == "__main__":
    sys.exit(main())
