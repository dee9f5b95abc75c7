"""What an agent is told of data fits its context however many classes there are, and can be stopped."""

import json
from pathlib import Path

import anyio
import pytest

from tao_skill.agent.call import call_tool
from tao_skill.agent.desk import Desk


def write_classes(root: Path, pixel: bytes, counts: list[int]) -> Path:
    for number, images in enumerate(counts):
        folder = root / f"class-{number:04}"
        folder.mkdir(parents=True)
        for image in range(images):
            (folder / f"{image}.png").write_bytes(pixel)
    return root


def test_many_classes_are_told_in_short(desk: Desk, folder: Path, pixel: bytes) -> None:
    write_classes(folder / "many", pixel, [3] + [2] * 298 + [1])
    answer = call_tool("check_data", {"train": "many"}, desk).document
    (one,) = answer["sets"]
    assert (one["classes"], len(one["class_counts"])) == (300, 40)
    assert one["class_counts"]["class-0000"] == 3
    assert one["class_counts"]["class-0299"] == 1
    assert len(json.dumps(answer)) < 10_000
    write_classes(folder / "few", pixel, [2, 2])
    assert call_tool("check_data", {"train": "few"}, desk).document["sets"][0]["class_counts"] == {
        "class-0000": 2, "class-0001": 2,
    }  # fmt: skip


def test_many_problems_of_a_spec_are_told_in_short(desk: Desk) -> None:
    spec = {"train": {f"num_epoch{number}": "x" * 50_000 for number in range(100)}}
    answer = call_tool("check_spec", {"action": "train", "spec": spec}, desk).document
    assert answer["total_problems"] >= 100
    assert len(answer["problems"]) == 40
    assert len(json.dumps(answer["problems"])) < 100_000


def test_a_look_at_data_tells_how_far_it_is_and_can_be_canceled(desk: Desk, folder: Path, pixel: bytes) -> None:
    pytest.importorskip("mcp")
    from tao_skill.agent.server import _call

    write_classes(folder / "many", pixel, [200] * 10)
    told: list[tuple[float, float | None]] = []

    async def go() -> bool:
        with anyio.CancelScope() as scope:

            async def report(done: float, total: float | None, _message: str) -> None:
                told.append((done, total))
                scope.cancel()

            await _call("check_data", {"train": "many"}, desk, report)
        return scope.cancelled_caught

    assert anyio.run(go)
    assert len(told) == 1
    assert 0 < told[0][0] < told[0][1] == 2000  # type: ignore[operator]
