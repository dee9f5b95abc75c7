"""Let freed memory stay with the process.

A training step frees all that it took. The C library gives that back to the system, which hands it out again page by
page, each filled with zeros: of a small network's step on a CPU, a tenth.
"""

import ctypes
from collections.abc import Callable
from typing import Any

__all__ = ["keep_freed_memory"]

# Parameters of glibc's mallopt, from its malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT = 2**30
# Larger pieces go back: they are a large network's, for whose steps that counts little, and gaps that they leave take
# up to a quarter more memory.
_PIECE = 16 * 2**20


def keep_freed_memory(load: Callable[[None], Any] = ctypes.CDLL) -> bool:
    """Keep freed pieces of up to 16 MiB for what is taken next; tell whether this C library can do that.

    Only glibc can. With musl, on macOS and on Windows nothing happens. ``load`` returns what this process has loaded.
    """
    try:
        library = load(None)
    except (OSError, TypeError):  # a Python linked statically; Windows, which has no library of all that is loaded
        return False
    mallopt = getattr(library, "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _KEPT) and mallopt(_MMAP_THRESHOLD, _PIECE))
