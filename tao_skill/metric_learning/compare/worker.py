"""A process of its own for each contender, so that memory is told apart; it works only when it is asked to."""

import logging
import multiprocessing
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tao_skill.errors import JobError, TaoSkillError
from tao_skill.metric_learning.compare.contender import Contender, open_contender
from tao_skill.metric_learning.embed import embed_images
from tao_skill.metric_learning.engines.batches import Array
from tao_skill.metric_learning.engines.embedder import Embedder

__all__ = ["Worker"]

_KIBIBYTE = 1024
_PATIENCE = 3600.0


class Worker:
    """One contender in a process; its calls wait for the answer."""

    def __init__(self, contender: Contender) -> None:
        """Start the process and load the contender.

        Raises:
            TaoSkillError: it can't be loaded.
        """
        self.contender = contender
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, contender), daemon=True)
        self._process.start()
        theirs.close()
        self.load_seconds: float = self._answer()

    def embed(self, paths: Sequence[Path], batch_size: int) -> Array:
        """Return the embeddings of images, (num_images, embed_dim)."""
        self._connection.send(("embed", paths, batch_size))
        found: Array = self._answer()
        return found

    def seconds_per_batch(self, batch: int, at_least: float) -> float:
        """Return the mean time of a batch, over as many as fill ``at_least`` seconds."""
        self._connection.send(("time", batch, at_least))
        return float(self._answer())

    def memory(self) -> int:
        """Return the bytes that the process took at its peak beyond what it had before the model was loaded."""
        self._connection.send(("memory",))
        return int(self._answer())

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.terminate()

    def _answer(self) -> Any:
        try:
            if not self._connection.poll(_PATIENCE):
                raise JobError(f"{self.contender.label} gave no answer within {_PATIENCE:.0f} seconds.")
            answer = self._connection.recv()
        except EOFError as error:
            self._process.join(timeout=5)
            code = self._process.exitcode
            raise JobError(f"The process of {self.contender.label} ended with exit code {code}.") from error
        if isinstance(answer, TaoSkillError):
            raise JobError(f"{self.contender.label} failed: {answer.message}", problems=answer.problems)
        return answer


def _serve(connection: Connection, contender: Contender) -> None:
    logging.basicConfig(level=logging.ERROR)
    try:
        before = _peak_memory()
        started = time.perf_counter()
        embedder = open_contender(contender)
        connection.send(time.perf_counter() - started)
        while True:
            kind, *arguments = connection.recv()
            if kind == "embed":
                connection.send(_embed(embedder, *arguments))
            elif kind == "time":
                connection.send(_time(embedder, *arguments))
            else:
                connection.send(_peak_memory() - before)
    except EOFError:
        return
    except TaoSkillError as error:
        connection.send(error)


def _embed(embedder: Embedder, paths: Sequence[Path], batch_size: int) -> Array:
    found: Array = embed_images(embedder, paths, batch_size=batch_size, workers=2).numpy()
    return found


def _time(embedder: Embedder, batch: int, at_least: float) -> float:
    size = embedder.facts.model
    shape = (batch, size.input_channels, size.input_height, size.input_width)
    images = torch.from_numpy(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    embedder.embed(images)
    started, runs = time.perf_counter(), 0
    while not runs or time.perf_counter() - started < at_least:
        embedder.embed(images)
        runs += 1
    return (time.perf_counter() - started) / runs


def _peak_memory() -> int:
    """Return the most bytes that this process has held."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * _KIBIBYTE
    import resource

    # macOS tells bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else _KIBIBYTE)
