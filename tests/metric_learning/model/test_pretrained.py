"""Fitting foreign weights to a network."""

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tao_skill.errors import CheckpointError
from tao_skill.metric_learning.model.pretrained import load_pretrained, load_weights
from tao_skill.metric_learning.model.recogniser import ModelSettings, Recogniser, build_recogniser

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


@pytest.mark.parametrize(("trunk", "embedder"), [("trunk.", "embedder."), ("0.", "1."), ("model.0.", "model.1.")])
def test_whole_model_loads_under_the_usual_prefixes(other: Recogniser, trunk: str, embedder: str) -> None:  # R4
    mine = build_recogniser(SETTINGS, seed=1)
    tensors = {trunk + name: value for name, value in other.trunk.state_dict().items()}
    tensors |= {embedder + name: value for name, value in other.embedder.state_dict().items()}
    report = load_weights(mine, tensors, file="x", key="k", part="model")
    assert not report.missing
    assert not report.unexpected
    assert equal(mine.state_dict(), other.state_dict())


def test_other_names_load_by_order_and_shape_with_a_classifier_behind(other: Recogniser) -> None:
    mine = build_recogniser(SETTINGS, seed=1)
    tensors = OrderedDict((f"_t{number}", value) for number, value in enumerate(other.trunk.state_dict().values()))
    tensors["_fc.weight"], tensors["_fc.bias"] = torch.zeros(1000, 512), torch.zeros(1000)
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
    assert report.mismatched == [first]
    assert report.unexpected == ["extra"]
    assert report.missing == [last]
    assert first in str(report)


def test_weights_of_something_else_are_an_error() -> None:
    mine = build_recogniser(SETTINGS, seed=1)
    with pytest.raises(CheckpointError, match="no tensor that fits") as raised:
        load_weights(mine.trunk, {"w": torch.ones(3, 3)}, file="x", key="model.pretrained_trunk_path", part="trunk")
    assert raised.value.problems[0].key == "model.pretrained_trunk_path"


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
