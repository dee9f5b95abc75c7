"""Import many modules without looking for garbage among them.

What is imported stays. Python's garbage collector does not know that: while modules are imported it walks through all
that is there several times, which takes a seventh to a quarter of the time that importing PyTorch and Lightning takes,
depending on the machine. Afterwards it would walk through their hundreds of thousands of objects again whenever it
looks at old ones.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["importing_for_good"]


@contextmanager
def importing_for_good() -> Iterator[None]:
    """Collect no garbage inside, and keep all that is there at the end away from the collector for good.

    That is all objects of the process, not only those of the imported modules: whatever becomes garbage in a cycle of
    references among them is never freed. (Without a cycle it is freed at once, as always.) So nothing is set aside
    where no module was new: a process that runs one training after another would keep the cycles of each.
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
