"""Reading image files once: what is begun is ended, and no more where nobody wants it any longer."""

from typing import Any

import pytest

from tao_skill.metric_learning.data.fingerprints import fingerprints


class Counted:
    """A file that can't be opened, and counts who tries."""

    opened = 0

    def __fspath__(self) -> str:
        return "none.png"

    def open(self, *_: Any) -> Any:
        Counted.opened += 1
        raise OSError("not to be had")


def test_what_raises_while_it_is_told_ends_the_work() -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt(f"{done} of {total}")

    files: list[Any] = [Counted()] * 200_000
    with pytest.raises(KeyboardInterrupt):
        fingerprints(files, 1, stop)
    assert Counted.opened < len(files) / 2
