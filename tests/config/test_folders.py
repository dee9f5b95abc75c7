"""Where an action writes, and what of a path is there."""

from pathlib import Path
from typing import Any

import pytest

from tao_skill.config.folders import action_folder, nearest_existing


@pytest.mark.parametrize(
    ("spec", "folder"),
    [
        ({}, "/job/train"),
        ({"train": None}, "/job/train"),
        ({"train": {"results_dir": ""}}, "/job/train"),
        ({"train": {"results_dir": "???"}}, "/job/train"),
        ({"train": {"results_dir": "/own"}, "evaluate": {"results_dir": "/other"}}, "/own"),
    ],
)
def test_where_an_action_writes(spec: dict[str, Any], folder: str) -> None:
    assert action_folder("train", spec, "/job") == Path(folder)


def test_the_nearest_that_is_there(tmp_path: Path) -> None:
    assert nearest_existing(tmp_path / "a" / "b") == tmp_path
    assert nearest_existing(tmp_path) == tmp_path
    assert nearest_existing(Path("/no-such/folder")) == Path("/")
