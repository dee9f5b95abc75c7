"""A cluster that is full is waited for; one without a node of use is told of, and given up after a while."""

from __future__ import annotations

import logging

import pytest

from tao_skill.automl.ray_room import RoomWatch
from tao_skill.errors import NotAvailableError


class Cluster:
    """A cluster with its own time, in seconds."""

    def __init__(self) -> None:
        self.room, self.now = 2, 100.0
        self.watch = RoomWatch(
            lambda: self.room, "python -m tao_skill automl resume JOB", patience=60, clock=lambda: self.now
        )

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.watch.look()
            self.now += 1


def test_a_full_cluster_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    Cluster().wait(10_000)
    assert not caplog.messages


def test_a_cluster_without_nodes_is_told_of_and_given_up(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    cluster = Cluster()
    cluster.room = 0
    cluster.wait(50)
    assert caplog.messages == ["No node of the cluster can run a trial any more; waiting 1 minutes for one."]
    cluster.room = 1
    cluster.wait(50)
    assert "has a node again" in caplog.messages[-1]
    cluster.room = 0
    cluster.wait(20)
    cluster.now += 600  # a trial was placed, and nothing waited for a while
    cluster.wait(60)
    with pytest.raises(NotAvailableError, match="lost all nodes") as caught:
        cluster.wait(10)
    assert "automl resume JOB" in caught.value.next_step
