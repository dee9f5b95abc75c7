"""Import many modules without looking for garbage among them.

What is imported stays. Python looks through all of it several times meanwhile, and again and again afterwards: a
seventh of the time that importing PyTorch and Lightning takes.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["importing_for_good"]


@contextmanager
def importing_for_good() -> Iterator[None]:
    """Collect no garbage inside, and never look again through what is there at the end.

    Where no module was new, nothing is set aside: a process that runs one training after another would otherwise keep
    the garbage of each.
    """
    enabled, known = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > known:
            gc.freeze()
        if enabled:
            gc.enable()
