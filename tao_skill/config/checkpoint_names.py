"""What checkpoints are called, and what a pattern of their names has to be so that none takes the place of another."""

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from string import Formatter

from tao_skill.config.metrics import EPOCH_MEANS, public_names

__all__ = ["BEST_NAME", "best_name", "pattern_problem", "periodic_name"]

SUFFIX = ".pth"
BEST_NAME = f"model_best{SUFFIX}"
_COUNTERS = ("epoch", "step")
_RATES = tuple(f"{part}_base_lr" for part in ("trunk", "embedder", "loss"))
_METRICS = (*EPOCH_MEANS, *public_names("val"), *_RATES)
_TAKEN = re.compile(r"model_epoch_\d+_step_\d+\.pth|model_best\.pth")


def periodic_name(epoch: int, step: int) -> str:
    """Return the file name of a checkpoint that training can go on from."""
    return f"model_epoch_{epoch:03d}_step_{step:05d}{SUFFIX}"


def best_name(pattern: str, values: Mapping[str, float], *, with_fields: bool) -> str:
    """Fill the fields of a pattern, such as ``{epoch:03d}`` or ``{val MAP@R:.2f}``, and return the file's name.

    A metric without a value becomes nan. ``with_fields`` writes ``field=value`` in place of the value alone.

    Raises:
        ValueError: the pattern can't be filled.
    """
    return "".join(text + value for text, value in _parts(pattern, values, with_fields)) + SUFFIX


def _parts(pattern: str, values: Mapping[str, float], with_fields: bool) -> Iterator[tuple[str, str]]:
    for text, field, layout, conversion in Formatter().parse(pattern):
        if field is None:
            yield text, ""
            continue
        if conversion:
            raise ValueError(f"{field} can't be converted by !{conversion}")
        value = format(values.get(field, math.nan), layout or "")
        yield text, f"{field}={value}" if with_fields else value


def pattern_problem(pattern: str) -> str:
    """Return what a pattern of the best checkpoints' names has to be and isn't; empty where nothing is wrong."""
    if "/" in pattern or "\0" in pattern:
        return "a file name without folders: train.checkpointer.dirpath names the folder"
    metrics = dict.fromkeys(_METRICS, 0.5)
    try:
        fields = {field for _, field, _, _ in Formatter().parse(pattern) if field is not None}
        if unknown := sorted(fields - {*_COUNTERS, *_METRICS}):
            return f"no field {unknown[0]!r}{_nearest(unknown[0])}"
        first, later = (
            best_name(pattern, {**metrics, "epoch": count, "step": count}, with_fields=False) for count in (1, 2)
        )
    except ValueError as error:
        return f"a pattern that can be filled in, such as model_best_{{epoch:03d}}: {error}"
    if first == later:
        return "a pattern with {epoch} or {step}: without, all of the best checkpoints have one name"
    return "another name than the periodic checkpoints have" if _TAKEN.fullmatch(first) else ""


def _nearest(field: str) -> str:
    near = difflib.get_close_matches(field, (*_COUNTERS, *_METRICS), n=1)
    return f"; the nearest is {near[0]}" if near else f"; fields are {', '.join((*_COUNTERS, *_METRICS))}"
