"""Rules of the `train.checkpointer` section: which metric ranks checkpoints, and what they are called."""

import difflib
from collections.abc import Iterator
from typing import Any

from tao_skill.config.checkpoint_names import pattern_problem
from tao_skill.config.metrics import EPOCH_MEANS, public_names
from tao_skill.errors import Problem

__all__ = ["monitor_is_measured", "names_differ"]


def monitor_is_measured(spec: Any) -> Iterator[Problem]:
    """A training must measure the metric that ranks its checkpoints."""
    monitor, known = spec.train.checkpointer.monitor, [*EPOCH_MEANS, *public_names("val")]
    if monitor and monitor not in known:
        near = difflib.get_close_matches(monitor, known, n=1)
        expected = f"one of {', '.join(known)}" + (f"; the nearest is {near[0]}" if near else "")
        yield Problem("train.checkpointer.monitor", monitor, expected)


def names_differ(spec: Any) -> Iterator[Problem]:
    """The best checkpoints need names of their own, or one would be written over another."""
    checkpointer = spec.train.checkpointer
    if checkpointer.enable_topk and (expected := pattern_problem(checkpointer.filename)):
        yield Problem("train.checkpointer.filename", checkpointer.filename, expected)
