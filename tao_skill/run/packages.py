"""Say what to install where an optional package is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tao_skill.errors import NotAvailableError
from tao_skill.installation import install_command

__all__ = ["needing"]


@contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Translate the missing package of an import in the block; ``what`` says who needs it.

    Raises:
        NotAvailableError: a package that isn't this project's is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("tao_skill"):
            raise
        raise NotAvailableError(
            f"The package {error.name} is not installed, which {what} needs.",
            next_step=install_command(extra),
        ) from error
