"""The device of both sides of a comparison."""

import os

import pytest
import torch

from tools.bench.device import moment, reference_device, use
from tools.bench.processes import child_environment


def test_the_cpu_alone_hides_gpus_from_all_that_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    use("auto")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    use("cpu")
    assert child_environment()["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_reference_computes_on_the_cpu_and_asking_for_one_is_an_error() -> None:
    assert reference_device() == torch.device("cpu")
    assert moment() <= moment()
    with pytest.raises(RuntimeError, match="--device auto"):
        use("cuda")
