"""Which processor computes, and in which number format."""

import pytest
import timm
import torch
from torch import nn

from tao_skill.errors import NotAvailableError
from tao_skill.metric_learning import device
from tao_skill.metric_learning.device import Device, choose_device, choose_precision

CPU = Device("cpu", 1)


def able(monkeypatch: pytest.MonkeyPatch, *capabilities: str) -> None:
    """Let the processor have capabilities that the one here may lack."""
    monkeypatch.setattr(device.torch.cpu, "get_capabilities", lambda: dict.fromkeys(capabilities, True))


@pytest.mark.parametrize("capability", ["avx512_bf16", "amx_bf16"])
@pytest.mark.parametrize("name", ["resnet10t", "efficientnet_lite0", "convnext_atto"])
def test_x86_processors_with_bf16_train_every_network_in_it(
    name: str, capability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    able(monkeypatch, capability)
    assert choose_precision("auto", CPU, timm.create_model(name, num_classes=0)) == "bf16-mixed"


def test_other_processors_with_bf16_train_networks_without_grouped_convolutions_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    able(monkeypatch, "bf16")
    assert choose_precision("auto", CPU, timm.create_model("resnet10t", num_classes=0)) == "bf16-mixed"
    assert choose_precision("auto", CPU, timm.create_model("efficientnet_lite0", num_classes=0)) == "32-true"


def test_emulated_bf16_is_not_chosen_but_given_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    able(monkeypatch, "avx2")
    network = timm.create_model("resnet10t", num_classes=0)
    assert choose_precision("auto", CPU, network) == "32-true"
    assert choose_precision("bf16", CPU, network) == "bf16-mixed"
    assert choose_precision("fp32", CPU, network) == "32-true"


def test_fp16_needs_a_gpu() -> None:
    network = nn.Linear(1, 1)
    with pytest.raises(NotAvailableError, match="fp16 needs a GPU"):
        choose_precision("fp16", CPU, network)
    assert choose_precision("fp16", Device("gpu", [0]), network) == "16-mixed"


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_without_a_gpu_the_cpu_takes_as_many_processes_as_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    assert choose_device(2, [0, 1], "train.gpu_ids") == CPU
    assert "train.cpu_processes" in caplog.text
    assert choose_device(1, [0], "train.gpu_ids", cpu_processes=3).processes == 3


def test_each_process_has_a_device_of_its_own() -> None:
    assert Device("gpu", [2, 5]).of(1) == torch.device("cuda", 5)
    assert Device("gpu", [2, 5]).processes == 2
    assert Device("cpu", 4).of(3) == torch.device("cpu")
