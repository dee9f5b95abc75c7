"""Say in the project's words what the machine ran out of: libraries say it in theirs."""

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tao_skill.config.keys import get_leaf
from tao_skill.errors import JobError, Problem, StorageError, TaoSkillError

__all__ = ["translated"]

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# What PyTorch says of main memory, of memory on a GPU, and of a file that it could not write to its end.
_MEMORY = ("can't allocate memory", "Cannot allocate memory", "out of memory")
_UNWRITTEN = ("PytorchStreamWriter failed", "inline_container", "file write failed")
_SIZES = ("model.input_width", "model.input_height")


@contextmanager
def translated(action: str, spec: Mapping[str, Any], folder: Path) -> Iterator[None]:
    """Raise the project's errors for what libraries raise within, where the cause is memory or disk.

    Raises:
        JobError: memory ran out; the settings that decide how much is needed are named.
        StorageError: the disk is full.
    """
    try:
        yield
    except TaoSkillError:
        raise
    except (OSError, RuntimeError, MemoryError) as error:
        text = f"{type(error).__name__}: {error}"
        if getattr(error, "errno", None) in _NO_SPACE or any(words in text for words in _UNWRITTEN):
            raise _disk_is_full(folder, error) from error
        if isinstance(error, MemoryError) or any(words in text for words in _MEMORY):
            raise _memory_ran_out(action, spec, error) from error
        raise


def _disk_is_full(folder: Path, error: BaseException) -> StorageError:
    reason = getattr(error, "strerror", None) or "the file could not be written to its end"
    return StorageError(
        f"A file can't be written below {folder}: {reason}.",
        problems=[Problem("results_dir", str(folder), "a folder on a disk with space left, within all quotas")],
        next_step="make room, or choose another disk with --results-root; what was written before is sound",
    )


def _memory_ran_out(action: str, spec: Mapping[str, Any], error: BaseException) -> JobError:
    on_gpu = "CUDA" in str(error) or type(error).__name__ == "OutOfMemoryError"
    keys = [f"{action}.batch_size", *_SIZES, *(["train.val_batch_size"] if action == "train" else [])]
    given = {key: get_leaf(spec, key) for key in keys}
    return JobError(
        f"Memory ran out on the {'GPU' if on_gpu else 'machine'}.",
        problems=[Problem(key, value, "less") for key, value in given.items() if value is not None],
        next_step="give the same command with smaller values; training keeps its checkpoints",
    )
