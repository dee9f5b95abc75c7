"""What surrounds TensorRT's builder: this machine may have neither TensorRT nor a GPU."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch

from tao_skill.errors import NotAvailableError
from tao_skill.metric_learning.engines import tensorrt_calls
from tao_skill.metric_learning.engines.tensorrt_calls import Library, find_builder, gpu_of

PLAIN = Library("tensorrt", None)


class Cache:
    """A timing cache of some GPU, as TensorRT reads it from bytes that begin with its name."""

    def __init__(self, content: bytes) -> None:
        self.content = content


class Config:
    """Answers about timing caches as a builder's configuration on the GPU "here" does."""

    used: Cache | None = None

    def create_timing_cache(self, content: bytes) -> Cache | None:
        return Cache(content) if content == b"" or content.startswith(b"gpu ") else None

    def set_timing_cache(self, cache: Cache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        fits = cache.content in (b"", b"gpu here")
        self.used = cache if fits else self.used
        return fits


@pytest.mark.parametrize(
    ("known", "used", "kept", "told"),
    [
        (b"", b"", True, ""),
        (b"gpu here", b"gpu here", True, ""),
        (b"gpu elsewhere", b"", True, "of another GPU"),
        (b"holiday photo", b"", False, "stays as it is"),
    ],
)
def test_a_timing_cache_that_is_not_taken_is_told_and_kernels_are_timed_anew(
    known: bytes, used: bytes, kept: bool, told: str
) -> None:
    config = Config()
    cache, keep, warnings = tensorrt_calls._timing_cache(PLAIN, config, known)
    assert (cache, keep) == (config.used, kept)
    assert cache.content == used
    assert len(warnings) == bool(told)
    assert all(told in warning for warning in warnings)


def test_no_timing_cache_is_made_where_none_is_asked_for() -> None:
    config: Any = None
    assert tensorrt_calls._timing_cache(PLAIN, config, None) == (None, False, ())
    assert tensorrt_calls._timing_cache(Library("tensorrt_rtx", None), config, b"") == (None, False, ())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_plain_tensorrt_builds_on_no_machine_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    with pytest.raises(NotAvailableError, match="no NVIDIA GPU"):
        find_builder("tensorrt")
    assert find_builder("tensorrt_rtx").name == "tensorrt_rtx"
    assert gpu_of(0) is None
