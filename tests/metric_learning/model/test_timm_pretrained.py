"""timm's own weights, from the hub's local cache; these tests never use a network."""

from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file

from tao_skill.errors import NotAvailableError, SpecError
from tao_skill.metric_learning.model.recogniser import ModelSettings, build_recogniser

SETTINGS = ModelSettings("resnet_50", "resnet10t", 32, 32, 3, 8)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache folder of a machine that is cut off from the hub."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def put(cache: Path, name: str, tensors: dict[str, torch.Tensor]) -> None:
    """Lay weights into the cache as the hub's client does."""
    folder = cache / ("models--" + timm.get_pretrained_cfg(name).hf_hub_id.replace("/", "--"))
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    save_file(tensors, folder / "snapshots" / "abc" / "model.safetensors")


@pytest.mark.parametrize("channels", [1, 3])
def test_trunk_starts_from_timms_weights(cache: Path, channels: int) -> None:
    published = timm.create_model("resnet10t")
    torch.nn.init.normal_(published.layer1[0].conv1.weight)
    put(cache, "resnet10t", published.state_dict())
    settings = ModelSettings("resnet_50", "resnet10t", 32, 32, channels, 8)
    recogniser = build_recogniser(settings, seed=1, timm_pretrained=True)
    assert torch.equal(recogniser.trunk.layer1[0].conv1.weight, published.layer1[0].conv1.weight)
    assert recogniser(torch.zeros(2, channels, 32, 32)).shape == (2, 8)


def test_unreachable_weights_say_what_to_do(cache: Path) -> None:
    with pytest.raises(NotAvailableError) as raised:
        build_recogniser(SETTINGS, seed=1, timm_pretrained=True)
    assert timm.get_pretrained_cfg("resnet10t").hf_hub_id in raised.value.message
    assert raised.value.problems[0].key == "model.timm_pretrained"
    assert "model.pretrained_trunk_path=" in raised.value.next_step
    assert not list(cache.rglob("*.safetensors"))


def test_a_model_without_weights_says_so(cache: Path) -> None:
    assert not list(cache.iterdir())
    without = next(name for name in timm.list_models() if not timm.get_pretrained_cfg(name).has_weights)
    for settings in (ModelSettings("resnet_50", without, 32, 32, 3, 8), ModelSettings("fan_tiny", "", 32, 32, 3, 8)):
        with pytest.raises(SpecError, match="no pretrained weights"):
            build_recogniser(settings, timm_pretrained=True)


def test_weights_are_random_unless_asked_for(cache: Path) -> None:
    assert build_recogniser(SETTINGS, seed=1).trunk.conv1 is not None
    assert not list(cache.iterdir())
