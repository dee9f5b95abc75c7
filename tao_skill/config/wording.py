"""Words that follow a number."""

__all__ = ["counted"]


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: ``1 image``, ``3 images``; ``many`` is a plural that is not made with an s."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"
