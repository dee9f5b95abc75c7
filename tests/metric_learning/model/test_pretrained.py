"""Fitting foreign weights to a network."""

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tao_skill.errors import CheckpointError
from tao_skill.metric_learning.model.checkpoint import load_recogniser, read_checkpoint
from tao_skill.metric_learning.model.pretrained import load_pretrained, load_weights
from tao_skill.metric_learning.model.recogniser import ModelSettings, Recogniser, build_recogniser

FAN = ModelSettings("fan_tiny", "", 32, 32, 3, 8)
SETTINGS = ModelSettings("resnet_50", "resnet10t", 32, 32, 3, 8)


@pytest.fixture(scope="module")
def other() -> Recogniser:
    return build_recogniser(SETTINGS, seed=7)


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("prefix", ["", "model.", "backbone.", "module.", "trunk.", "0.", "model.backbone."])
def test_trunk_weights_load_under_the_usual_prefixes(other: Recogniser, prefix: str) -> None:  # R4 R74
    mine = build_recogniser(SETTINGS, seed=1)
    tensors = {prefix + name: value for name, value in other.trunk.state_dict().items()}
    report = load_weights(mine.trunk, tensors, file="x", key="k", part="trunk")
    assert report.how == "name"
    assert not report.missing
    assert equal(mine.trunk.state_dict(), other.trunk.state_dict())


WHOLE = [("trunk.", "embedder."), ("0.", "1."), ("model.0.", "model.1."), ("module.trunk.", "module.embedder.")]


@pytest.mark.parametrize(("trunk", "embedder"), WHOLE)
def test_whole_model_loads_under_the_usual_prefixes(other: Recogniser, trunk: str, embedder: str) -> None:  # R4
    mine = build_recogniser(SETTINGS, seed=1)
    tensors = {trunk + name: value for name, value in other.trunk.state_dict().items()}
    tensors |= {embedder + name: value for name, value in other.embedder.state_dict().items()}
    report = load_weights(mine, tensors | {"neck.weight": torch.ones(1)}, file="x", key="k", part="model")
    assert not report.missing
    assert report.unexpected == ["neck.weight"]
    assert equal(mine.state_dict(), other.state_dict())
    alone = build_recogniser(SETTINGS, seed=1)
    for part in ("trunk", "embedder"):
        assert not load_weights(getattr(alone, part), tensors, file="x", key="k", part=part).missing
    assert equal(alone.state_dict(), other.state_dict())


def test_other_names_load_by_order_and_shape_with_a_classifier_behind(other: Recogniser) -> None:
    mine = build_recogniser(SETTINGS, seed=1)
    tensors = OrderedDict((f"_t{number}", value) for number, value in enumerate(other.trunk.state_dict().values()))
    tensors["_fc.weight"], tensors["_fc.bias"] = torch.zeros(1000, 512), torch.zeros(1000)
    # One name that agrees by chance must not hide the others.
    first = "conv1.0.weight"
    tensors = OrderedDict((first if name == "_t0" else name, value) for name, value in tensors.items())
    report = load_weights(mine.trunk, tensors, file="x", key="k", part="trunk")
    assert "order" in report.how
    assert equal(mine.trunk.state_dict(), other.trunk.state_dict())


def test_one_shape_that_differs_stops_loading_by_order(other: Recogniser) -> None:
    mine = build_recogniser(SETTINGS, seed=1)
    values = list(other.trunk.state_dict().values())
    values[10] = torch.zeros(3)
    with pytest.raises(CheckpointError, match="no tensor that fits"):
        load_weights(mine.trunk, {f"_t{n}": v for n, v in enumerate(values)}, file="x", key="k", part="trunk")


def test_what_does_not_fit_is_reported(other: Recogniser) -> None:
    mine = build_recogniser(SETTINGS, seed=1)
    tensors = dict(other.trunk.state_dict())
    first = next(iter(tensors))
    tensors[first] = torch.zeros(1)
    tensors["extra"] = torch.zeros(1)
    last = list(tensors)[-2]
    del tensors[last]
    report = load_weights(mine.trunk, tensors, file="x", key="k", part="trunk")
    size = "x".join(map(str, mine.trunk.state_dict()[first].shape))
    assert report.mismatched == {first: f"1, not {size}"}
    assert report.unexpected == ["extra"]
    assert report.missing == [last]
    assert f"1 of another shape ({first} 1, not {size})" in str(report)


def test_weights_of_something_else_are_an_error() -> None:
    mine = build_recogniser(SETTINGS, seed=1)
    with pytest.raises(CheckpointError, match="no tensor that fits") as raised:
        load_weights(mine.trunk, {"w": torch.ones(3, 3)}, file="x", key="model.pretrained_trunk_path", part="trunk")
    assert raised.value.problems[0].key == "model.pretrained_trunk_path"


@pytest.fixture(scope="module")
def fan() -> Recogniser:
    return build_recogniser(FAN, seed=7)


@pytest.mark.parametrize("prefix", ["backbone.", "model.backbone.", "0.", "model.0.", "model.trunk."])
def test_published_trunk_loads_and_its_classifier_is_reported(fan: Recogniser, prefix: str) -> None:  # R74, 8.28
    mine = build_recogniser(FAN, seed=1)
    tensors = {prefix + name: value for name, value in fan.trunk.state_dict().items()}
    tensors |= {f"{prefix}head.weight": torch.zeros(1000, 192), f"{prefix}head.bias": torch.zeros(1000)}
    report = load_weights(mine.trunk, tensors, file="x", key="k", part="trunk")
    assert (report.missing, report.unexpected) == ([], ["head.weight", "head.bias"])
    assert equal(mine.trunk.state_dict(), fan.trunk.state_dict())
    assert report.fits


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("trunk", "embedder"), [("model.trunk.", "model.embedder."), ("model.0.", "model.1."), ("0.", "1.")]
)
def test_published_recogniser_loads_from_a_file(
    fan: Recogniser, tmp_path: Path, suffix: str, trunk: str, embedder: str
) -> None:  # R57
    tensors = {trunk + name: value for name, value in fan.trunk.state_dict().items()}
    tensors |= {embedder + name: value for name, value in fan.embedder.state_dict().items()}
    file = tmp_path / f"model{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": tensors, "epoch": 3}, file)
    else:
        save_file(tensors, file)
    mine = build_recogniser(FAN, seed=1)
    (report,) = load_pretrained(mine, model=str(file), trunk=None, embedder=None)
    assert (report.missing, report.unexpected, report.mismatched, report.adapted) == ([], [], {}, [])
    assert equal(mine.state_dict(), fan.state_dict())


def test_trunk_and_embedder_are_found_in_a_file_of_the_whole_model(fan: Recogniser, tmp_path: Path) -> None:  # R74
    file = tmp_path / "model.pth"
    torch.save({"state_dict": {f"model.{name}": value for name, value in fan.state_dict().items()}}, file)
    mine = build_recogniser(FAN, seed=1)
    reports = load_pretrained(mine, model=None, trunk=str(file), embedder=str(file))
    assert not any(report.missing for report in reports)
    assert equal(mine.state_dict(), fan.state_dict())


def test_head_of_another_length_is_reported_and_the_rest_loads(fan: Recogniser) -> None:  # R39, 8.9
    mine = build_recogniser(replace(FAN, feat_dim=5), seed=1)
    report = load_weights(mine, fan.state_dict(), file="x", key="k", part="model")
    assert list(report.mismatched) == ["embedder.embedding_fc.1.weight", "embedder.embedding_fc.1.bias"]
    assert not report.fits
    assert equal(mine.trunk.state_dict(), fan.trunk.state_dict())


def test_names_that_agree_by_chance_are_not_loading(fan: Recogniser) -> None:  # 8.12
    other = {name: value for name, value in fan.trunk.state_dict().items() if name.startswith(("norm.", "cls_token"))}
    other |= {f"layers.{number}.weight": torch.zeros(3) for number in range(50)}
    mine = build_recogniser(FAN, seed=1)
    before = {name: value.clone() for name, value in mine.state_dict().items()}
    with pytest.raises(CheckpointError, match="fills only 3 of"):
        load_weights(mine.trunk, other, file="x", key="k", part="trunk")
    assert equal(mine.state_dict(), before)


def test_own_checkpoint_of_another_size_of_input_brings_its_positions(tmp_path: Path) -> None:  # 8.10
    wide = ModelSettings("resnet_50", "vit_tiny_patch16_224", 64, 32, 3, 8)
    theirs = build_recogniser(wide, seed=7)
    file = tmp_path / "model.pth"
    torch.save({"state_dict": theirs.state_dict(), "tao_skill": {"model": wide.document()}}, file)
    # As many patches, differently arranged: 2 x 4 becomes 4 x 2.
    mine = build_recogniser(replace(wide, input_width=32, input_height=64), seed=1)
    (report,) = load_pretrained(mine, model=str(file), trunk=None, embedder=None)
    assert report.adapted == ["trunk.pos_embed"]
    assert not torch.equal(mine.trunk.pos_embed, theirs.trunk.pos_embed)
    again = build_recogniser(wide, seed=1)
    (report,) = load_pretrained(again, model=str(file), trunk=None, embedder=None)
    assert report.adapted == []
    assert equal(again.state_dict(), theirs.state_dict())


def test_parts_win_over_the_whole(other: Recogniser, tmp_path: Path) -> None:
    mine, third = build_recogniser(SETTINGS, seed=1), build_recogniser(SETTINGS, seed=3)
    torch.save(other.state_dict(), tmp_path / "model.pth")
    torch.save(third.embedder.state_dict(), tmp_path / "embedder.pth")
    reports = load_pretrained(
        mine, model=str(tmp_path / "model.pth"), trunk=None, embedder=str(tmp_path / "embedder.pth")
    )
    assert [report.part for report in reports] == ["model", "embedder"]
    assert equal(mine.trunk.state_dict(), other.trunk.state_dict())
    assert equal(mine.embedder.state_dict(), third.embedder.state_dict())


SHALLOW, DEEP = (replace(SETTINGS, timm_name=name) for name in ("resnet18", "resnet34"))


@pytest.fixture(scope="module")
def deep() -> Recogniser:
    return build_recogniser(DEEP, seed=7)


def test_checkpoint_of_a_deeper_network_is_refused(deep: Recogniser, tmp_path: Path) -> None:  # 8.12
    file = tmp_path / "deep.pth"
    torch.save({"state_dict": {f"model.{name}": value for name, value in deep.state_dict().items()}}, file)
    checkpoint = read_checkpoint(file, "evaluate.checkpoint")
    with pytest.raises(CheckpointError, match="does not fit resnet18") as raised:
        load_recogniser(checkpoint, SHALLOW, "evaluate.checkpoint")
    told = {problem.key: problem.expected for problem in raised.value.problems}
    assert "trunk.layer1.2.conv1.weight" in told["model.timm_name"]
    same, _ = load_recogniser(checkpoint, DEEP, "evaluate.checkpoint")
    assert equal(same.state_dict(), deep.state_dict())


@pytest.mark.parametrize("part", ["trunk", "model"])
def test_pretrained_file_of_a_deeper_network_is_warned_of(deep: Recogniser, part: str) -> None:  # 8.12
    mine = build_recogniser(SHALLOW, seed=1)
    network = mine if part == "model" else mine.trunk
    tensors = {**deep.state_dict(), "trunk.fc.weight": torch.zeros(9, 512), "trunk.fc.bias": torch.zeros(9)}
    report = load_weights(network, tensors, file="x", key="k", part=part)
    assert not report.missing
    assert not report.mismatched
    assert len(report.surplus) == len(deep.state_dict()) - len(mine.state_dict())
    assert not report.fits
