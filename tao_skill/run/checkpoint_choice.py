"""Choose one file among those a job left behind, and say why.

What a job recorded (`checkpoints.json`, its spec) comes first; names come second, and what a name can't tell is never
guessed: either there is one candidate, or the reason says what was missing, or it is an error that lists the files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Literal, NoReturn

from tao_skill.config.model_files import ENGINE_ENDINGS, ONNX_ENDINGS
from tao_skill.errors import CheckpointError, Problem

__all__ = [
    "EXTENSIONS",
    "LOG_FOLDERS",
    "OTHER_CHECKPOINTS",
    "SKIPPED_FOLDERS",
    "Candidate",
    "Choice",
    "Choose",
    "Consumer",
    "from_name",
    "select",
]

Consumer = Literal["torch", "onnx", "engine"]
Choose = Literal["best", "latest", "epoch"]

EXTENSIONS: dict[Consumer, tuple[str, ...]] = {
    "torch": (".pth", ".pt", ".ckpt", ".tlt"),
    "onnx": ONNX_ENDINGS,
    "engine": ENGINE_ENDINGS,
}
# What programs of other skills call their checkpoints; some of it may as well be a table of labels.
OTHER_CHECKPOINTS = (
    ".safetensors", ".keras", ".h5", ".hdf5", ".pdparams", ".msgpack", ".joblib", ".pkl", ".pickle", ".ubj", ".cbm",
)  # fmt: skip
# Staged inputs, pretrained weights and caches are not what a job made.
SKIPPED_FOLDERS = frozenset({"inputs", "ptm", "__pycache__", ".tao"})
# Copies of what lies elsewhere, mostly; but a program that leaves everything to Lightning writes nothing else.
LOG_FOLDERS = frozenset({"lightning_logs"})

_EPOCH = re.compile(r"(?:^|[^a-z])(?:epoch|ep)[=_-]?(\d+)(?![^\W_])", re.IGNORECASE)
_STEP = re.compile(r"(?:^|[^a-z])(?:step|iter|iteration)[=_-]?(\d+)(?![^\W_])", re.IGNORECASE)
# `model_best`, `best-epoch=3`, `model_best_12` are the best; `best_buy_epoch_003` is a shop.
_BEST = re.compile(r"(?:^|[_.=-])best(?:[_.=-](?:epoch|ep|step)?[_=-]?\d.*)?$", re.IGNORECASE)
_BEST_NUMBER = re.compile(r"(?:^|[_.=-])best[_=-](\d+)$", re.IGNORECASE)
_LATEST = re.compile(r"(?:^|[_.=-])(?:latest|last)$", re.IGNORECASE)


@dataclass(frozen=True)
class Candidate:
    """One file of a job; ``path`` is relative to the job's folder, with forward slashes.

    ``recorded`` says that epoch, kind and metric come from a record that the job wrote, not from the name. ``metric``
    is already turned so that higher is better. ``named`` holds `best` or `latest` where the record, or else the
    name, says so, `output` where the job's spec names the file, `result` where its results do.
    """

    path: str
    epoch: int | None = None
    step: int | None = None
    metric: float | None = None
    metric_text: str = ""
    named: frozenset[str] = field(default_factory=frozenset)
    recorded: bool = False
    periodic: bool = True


@dataclass(frozen=True)
class Choice:
    """The chosen file with the reason; ``warning`` is set where the wish could be met only in part."""

    path: str
    epoch: int | None
    step: int | None
    reason: str
    warning: str = ""


def from_name(path: str) -> Candidate:
    """Return a candidate with what the file's own name tells; folders of the path tell nothing."""
    stem = PurePosixPath(path).stem
    epoch = _EPOCH.findall(stem) or _BEST_NUMBER.findall(stem)
    step = _STEP.findall(stem)
    words = {word for word, pattern in (("best", _BEST), ("latest", _LATEST)) if pattern.search(stem)}
    return Candidate(
        path,
        epoch=int(epoch[-1]) if epoch else None,
        step=int(step[-1]) if step else None,
        named=frozenset(words),
        periodic=not words,
    )


def select(
    candidates: Iterable[Candidate], consumer: Consumer, choose: Choose = "best", epoch: int | None = None
) -> Choice:
    """Return the file that ``consumer`` should load.

    Epochs count from 0 and name the epoch that was finished; an epoch is met exactly or not at all.

    Raises:
        CheckpointError: nothing fits, or several files fit equally; the message lists what was found.
    """
    everything = list(candidates)
    fitting = _fitting(everything, consumer)
    if not fitting:
        _nothing(everything, consumer)
    if consumer != "torch":
        return _select_output(fitting, consumer)
    if choose == "epoch":
        return _select_epoch(fitting, epoch)
    return _select_best(fitting) if choose == "best" else _select_latest(fitting)


def _fitting(candidates: Sequence[Candidate], consumer: Consumer) -> list[Candidate]:
    """Return what a consumer may load; logs and other programs' checkpoints only where there is nothing else."""
    there = [one for one in candidates if not _lies_in(one, SKIPPED_FOLDERS)]
    named_so = [one for one in there if _suffix(one) in EXTENSIONS[consumer]]
    usual = [one for one in named_so if not _lies_in(one, LOG_FOLDERS)]
    if consumer != "torch":
        return usual
    handed_on = [one for one in there if "result" in one.named and one not in usual]
    return usual + handed_on or named_so or [one for one in there if _suffix(one) in OTHER_CHECKPOINTS]


def _suffix(one: Candidate) -> str:
    return PurePosixPath(one.path).suffix.lower()


def _lies_in(one: Candidate, folders: frozenset[str]) -> bool:
    path = PurePosixPath(one.path)
    # An absolute path is an output that the job's own record or spec put elsewhere: its folders are the user's.
    return not path.is_absolute() and not folders.isdisjoint(path.parts[:-1])


def _select_output(fitting: list[Candidate], consumer: Consumer) -> Choice:
    recorded = [one for one in fitting if "output" in one.named]
    if len(recorded) == 1:
        return _choice(recorded[0], "the job's spec names it as its output")
    if len(fitting) == 1:
        return _choice(fitting[0], f"the job's only {'ONNX file' if consumer == 'onnx' else 'engine'}")
    return _ambiguous(fitting, f"{len(fitting)} files fit and nothing says which one was meant")


def _select_epoch(fitting: list[Candidate], epoch: int | None) -> Choice:
    if epoch is None:
        raise CheckpointError("An epoch is asked for, but not said which.", next_step="--parent-checkpoint 9")
    there = _trusted([one for one in fitting if one.epoch == epoch])
    if not there:
        known = sorted({one.epoch for one in fitting if one.epoch is not None})
        raise CheckpointError(
            f"No checkpoint of epoch {epoch} was kept.",
            problems=[Problem("epoch", epoch, f"one of {_few(known)}; epochs count from 0")],
            next_step="--parent-checkpoint best, latest, or one of these epochs",
        )
    return _newest(there, f"the checkpoint of epoch {epoch}, as asked")


def _select_best(fitting: list[Candidate]) -> Choice:
    recorded = [one for one in fitting if one.recorded]
    said = [one for one in recorded if "best" in one.named]
    if said:
        one = said[0]
        return _choice(one, f"the best by the job's record{': ' + one.metric_text if one.metric_text else ''}")
    measured = [one for one in recorded if one.metric is not None and math.isfinite(one.metric)]
    if measured:
        top = max(one.metric for one in measured if one.metric is not None)
        ties = [one for one in measured if one.metric == top]
        return _newest(ties, f"the best by the job's record: {ties[0].metric_text}")
    if handed_on := [one for one in fitting if "result" in one.named]:
        return _choice(handed_on[0], "the job's results name it")
    named = [one for one in fitting if "best" in one.named]
    if named:
        # A "best" file is written only when the metric has improved, so the newest of them is the best.
        return _newest(named, "its name says best; the job left no record")
    newest = _select_latest(fitting)
    if len(fitting) == 1:
        return newest
    warning = "No metric was recorded for these checkpoints, so which is best isn't known; the newest was taken."
    return replace(newest, reason=f"best isn't known without a record; {newest.reason}", warning=warning)


def _select_latest(fitting: list[Candidate]) -> Choice:
    recorded = [one for one in fitting if one.recorded]
    said = [one for one in recorded if "latest" in one.named]
    if said:
        return _choice(said[0], f"the latest by the job's record{_position(said[0])}")
    if len(fitting) == 1:
        return _choice(fitting[0], "the only checkpoint")
    # A `_latest` link may have been turned back by a failed attempt: numbers decide where there are any.
    numbered = [one for one in _trusted(fitting) if one.epoch is not None]
    numbered = numbered or [one for one in _trusted(fitting) if one.step is not None]
    if numbered:
        return _newest(numbered, "the newest by epoch, then step")
    named = [one for one in fitting if "latest" in one.named]
    if len(named) == 1:
        return _choice(named[0], "its name says latest, and no other tells its epoch")
    if handed_on := [one for one in fitting if "result" in one.named]:
        return _choice(handed_on[0], "the job's results name it, and no name tells an epoch")
    return _ambiguous(fitting, "their names tell neither epoch nor step")


def _trusted(candidates: list[Candidate]) -> list[Candidate]:
    """Return those with a record where there are any: a record beats a name."""
    return [one for one in candidates if one.recorded] or candidates


def _newest(candidates: list[Candidate], reason: str) -> Choice:
    def age(one: Candidate) -> tuple[int, int, bool]:
        return (-1 if one.epoch is None else one.epoch, -1 if one.step is None else one.step, one.periodic)

    newest = max(age(one) for one in candidates)
    ties = [one for one in candidates if age(one) == newest]
    if len(ties) > 1:
        return _ambiguous(ties, "they claim the same epoch and step")
    return _choice(ties[0], reason + _position(ties[0]))


def _position(one: Candidate) -> str:
    numbers = [f"{name} {value}" for name, value in (("epoch", one.epoch), ("step", one.step)) if value is not None]
    return f" ({', '.join(numbers)})" if numbers else ""


def _choice(one: Candidate, reason: str) -> Choice:
    return Choice(one.path, one.epoch, one.step, reason)


def _nothing(everything: Sequence[Candidate], consumer: Consumer) -> NoReturn:
    wanted = ", ".join(EXTENSIONS[consumer])
    raise CheckpointError(
        f"The job left no file that can be loaded here ({wanted}).",
        problems=[Problem("files", [one.path for one in everything][:10], f"a file that ends with {wanted}")],
        next_step="python -m tao_skill jobs show JOB: did it finish, and is it the right parent?",
    )


def _ambiguous(candidates: Sequence[Candidate], why: str) -> NoReturn:
    raise CheckpointError(
        f"Which checkpoint is meant can't be told: {why}.",
        problems=[Problem("files", one.path, "the only candidate") for one in candidates[:10]],
        next_step="name it: --overrides <action>.checkpoint=PATH",
    )


def _few(numbers: list[int]) -> str:
    if not numbers:
        return "none (no file tells its epoch)"
    shown = ", ".join(map(str, numbers[:10]))
    return shown if len(numbers) <= 10 else f"{shown}, … {numbers[-1]}"
