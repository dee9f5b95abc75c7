"""What is said of a spec that is wrong."""

from typing import Any

import pytest

from tao_skill.config.build import build_spec
from tao_skill.config.check import check_spec
from tao_skill.config.keys import merge, nest
from tao_skill.config.placeholder import is_given, is_placeholder
from tao_skill.errors import SpecError

DATA = {
    "dataset.train_dataset": "/data/train",
    "dataset.val_dataset": {"reference": "/data/reference", "query": "/data/query"},
}


def problems(action: str = "train", **changes: Any) -> dict[str, str]:
    """Return the problems of a sound train spec with changes, by key; `__` stands for a dot."""
    flat = {key.replace("__", "."): value for key, value in changes.items()}
    found, _ = check_spec(action, merge(nest(DATA) if action == "train" else {}, nest(flat)))
    return {problem.key: problem.expected for problem in found}


def warnings(**changes: Any) -> list[str]:
    flat = {key.replace("__", "."): value for key, value in changes.items()}
    return check_spec("train", merge(nest(DATA), nest(flat)))[1]


def test_sound_spec_has_no_problems_and_no_warnings() -> None:
    assert problems() == {}
    assert warnings() == []


def test_everything_is_reported_at_once() -> None:
    found = problems(train__batch_size=18, train__optim__trunk__base_lr=-1, train__num_epoch=3, model__feat_dim="many")
    assert set(found) == {"train.batch_size", "train.optim.trunk.base_lr", "train.num_epoch", "model.feat_dim"}


def test_unknown_key_names_the_nearest() -> None:
    assert "train.num_epochs" in problems(train__num_epoch=3)["train.num_epoch"]
    assert "train.optim.trunk.base_lr" in problems(train__trunk__base_lr=0.1)["train.trunk.base_lr"]


def test_key_of_another_action_is_a_warning() -> None:
    found, said = check_spec("train", merge(nest(DATA), {"evaluate": {"topk": 4}}))
    assert found == []
    assert said == ["evaluate.topk is not read by train, only by evaluate."]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("train__optim__trunk__base_lr", 0, "above 0"),
        ("train__optim__trunk__base_lr", 1.5, "at most 1"),
        ("train__optim__trunk__base_lr", "fast", "a number"),
        ("train__optim__trunk__base_lr", float("nan"), "finite"),
        ("train__optim__warmup_iters", float("inf"), "finite"),
        ("train__num_epochs", 0, "at least 1"),
        ("train__num_epochs", True, "whole number"),
        ("train__gpu_ids", "0", "a list"),
        ("model__backbone", "resnet_51", "resnet_50, resnet_101"),
        ("model__input_channels", 2, "one of 1, 3"),
        ("dataset__gaussian_blur__kernel", [3], "2 entries"),
        ("dataset__gaussian_blur__kernel", [4, 4], "odd"),
        ("dataset__gaussian_blur__kernel", [301, 3], "at most the input"),
        ("dataset__gaussian_blur__sigma", [0.7, 0.3], "smaller value first"),
        ("train__optim__steps", [70, 40], "ascending"),
        ("train__optim__steps", [40, 40], "ascending"),
        ("dataset__pixel_std", [0, 1, 1], "above 0"),
        ("dataset__pixel_mean", [0.5, 0.5], "each of the 3 channels"),
        ("train__gpu_ids", [0, 1], "num_gpus = 1"),
        ("dataset__train_dataset", "???", "placeholder"),
        ("dataset__train_dataset", "<your data>", "placeholder"),
        ("dataset__train_dataset", "", "folder"),
        ("dataset__val_dataset__query", "", "Evaluation requires reference and query"),  # R36
    ],
)
def test_value_that_is_wrong_is_named_with_what_is_allowed(key: str, value: Any, expected: str) -> None:
    assert expected in problems(**{key: value})[key.replace("__", ".")]


def test_names_of_best_checkpoints_count_where_they_are_written() -> None:
    assert problems(train__checkpointer__filename="best") == {}
    found = problems(train__checkpointer__filename="best", train__checkpointer__enable_topk=True)
    assert "{epoch}" in found["train.checkpointer.filename"]


def test_a_metric_that_no_training_measures_is_named_with_the_nearest() -> None:
    assert "nearest is train_loss" in problems(train__checkpointer__monitor="train_los")["train.checkpointer.monitor"]
    assert problems(train__checkpointer__monitor="val MAP@R (macro)") == {}


def test_batch_must_hold_whole_classes() -> None:  # R41
    assert "such as 16 or 20" in problems(train__batch_size=18)["train.batch_size"]
    assert problems(train__batch_size=18, dataset__num_instance=3) == {}


def test_batch_of_one_class_needs_the_memory() -> None:
    assert "no negatives" in problems(train__cross_batch_memory_size=0)["train.batch_size"]
    assert problems(train__cross_batch_memory_size=64) == {}
    assert problems(train__cross_batch_memory_size=0, train__batch_size=8) == {}


def test_evaluation_needs_both_sets_and_weights() -> None:  # R36
    found = problems("evaluate")
    assert set(found) == {"dataset.val_dataset.reference", "dataset.val_dataset.query", "evaluate.checkpoint"}


@pytest.mark.parametrize("action", ["export", "gen_trt_engine"])
def test_batch_of_no_image_is_refused(action: str) -> None:
    key = f"{action}.batch_size"
    expected = "-1 for any batch, or a batch of at least 1"
    assert [problems(action, **{key: size}).get(key) for size in (0, -1, 4)] == [expected, None, None]


def test_files_that_later_steps_load_are_called_what_they_are() -> None:
    for name, refused in (("/out/net.bin", True), ("/out/net", True), ("/out/net.ONNX", False), (None, False)):
        assert ("export.onnx_file" in problems("export", export__onnx_file=name)) is refused
        assert ("export.int8.onnx_file" in problems("export", export__int8__onnx_file=name)) is refused
    for name, refused in (("/out/net", True), ("net.onnx", True), ("net.trt", False), ("net.plan", False)):
        found = problems("gen_trt_engine", gen_trt_engine__trt_engine=name)
        assert ("gen_trt_engine.trt_engine" in found) is refused


def test_the_int8_file_replaces_no_other() -> None:
    names = {"export__onnx_file": "a/net.onnx", "export__int8__onnx_file": "./a/net.onnx"}
    assert "another file" in problems("export", export__int8__enabled=True, **names)["export.int8.onnx_file"]
    assert "export.int8.onnx_file" not in problems("export", **names)
    names["export__int8__onnx_file"] = "a/net.int8.onnx"
    assert "export.int8.onnx_file" not in problems("export", export__int8__enabled=True, **names)


def test_weights_come_from_one_source() -> None:
    both = problems("evaluate", evaluate__checkpoint="/a.pth", model__pretrained_trunk_path="/b.pth")
    assert "one source" in both["evaluate.checkpoint"]
    both = problems("evaluate", evaluate__checkpoint="/a.pth", model__timm_pretrained=True)
    assert "one source" in both["evaluate.checkpoint"]
    for alone in (
        {"model__pretrained_trunk_path": "/b.pth"},
        {"model__timm_pretrained": True},
        {"model__timm_pretrained": True, "model__pretrained_embedder_path": "/c.pth"},
    ):
        assert "evaluate.checkpoint" not in problems("evaluate", **alone)


def test_timms_weights_are_for_timms_models() -> None:
    assert problems(model__timm_pretrained=True) == {}
    assert problems(model__timm_pretrained=True, model__backbone="fan_tiny", model__timm_name="vit_tiny") == {}
    for backbone in ("fan_tiny", "nvdinov2_vit_large_legacy"):
        found = problems(model__timm_pretrained=True, model__backbone=backbone)
        assert "model.pretrained_trunk_path" in found["model.timm_pretrained"]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"train__optim__trunk__momentum": 0.5}, "train.optim.trunk.momentum"),
        ({"dataset__gaussian_blur__enabled": False, "dataset__gaussian_blur__kernel": [3, 3]}, "gaussian_blur.kernel"),
        ({"model__timm_name": "resnet18", "model__backbone": "resnet_101"}, "model.backbone"),
        ({"model__timm_pretrained": True, "model__pretrained_trunk_path": "/a.pth"}, "model.timm_pretrained"),
        ({"train__checkpointer__save_top_k": 3}, "train.checkpointer.save_top_k"),
        ({"train__train_trunk": False, "train__optim__trunk__base_lr": 0.1}, "train.optim.trunk.base_lr"),
        ({"train__resume_training_checkpoint_path": "/a.pth", "train__seed": 7}, "train.seed"),
        ({"encryption_key": "secret"}, "encryption_key"),
        ({"train__optim__gamma": 0.5}, "train.optim.gamma"),
        ({"train__loss__name": "supcon", "train__smooth_loss": False}, "train.smooth_loss"),
        ({"train__loss__name": "supcon", "train__loss__ntxent__temperature": 0.2}, "train.loss.ntxent.temperature"),
        ({"train__loss__name": "arcface", "train__miner__name": "batch_hard"}, "train.miner.name"),
        ({"train__optim__loss__base_lr": 0.1}, "train.optim.loss.base_lr"),
        ({"train__miner__triplet_margin": 0.3}, "train.miner.triplet_margin"),
        ({"train__miner__name": "none", "train__optim__miner_function_margin": 0.3}, "miner_function_margin"),
    ],
)
def test_setting_without_effect_is_named(changes: dict[str, Any], key: str) -> None:
    said = warnings(**changes)
    assert any(key in line and "no effect" in line for line in said), said
    assert "secret" not in " ".join(said)


@pytest.mark.parametrize("action", ["evaluate", "inference"])
def test_actions_that_take_one_gpu_say_so(action: str) -> None:
    data = {"dataset.val_dataset.reference": "/r", "dataset.val_dataset.query": "/q", "inference.input_path": "/i"}
    given = {key: value for key, value in data.items() if key.startswith((action, "dataset"))}
    devices = {f"{action}.num_gpus": 2, f"{action}.num_nodes": 2, f"{action}.checkpoint": "/c.pth"}
    _, said = build_spec(action, nest(given | devices))
    assert [line.partition(" ")[0] for line in said] == [f"{action}.num_gpus", f"{action}.num_nodes"]


def test_gpu_ids_follow_num_gpus() -> None:  # R51 R52
    spec, _ = build_spec("train", merge(nest(DATA), nest({"train.num_gpus": 2})))
    assert spec.train.gpu_ids == [0, 1]
    spec, _ = build_spec("train", merge(nest(DATA), nest({"train.gpu_ids": [1, 3]})))
    assert spec.train.num_gpus == 2


def test_miner_follows_the_loss_where_only_that_is_given() -> None:
    def miner(**changes: Any) -> str:
        spec, said = build_spec(
            "train", merge(nest(DATA), nest({key.replace("__", "."): changes[key] for key in changes}))
        )
        assert not [line for line in said if "miner" in line]
        return str(spec.train.miner.name)

    assert miner() == "multi_similarity"
    assert miner(train__loss__name="contrastive") == "multi_similarity"
    assert miner(train__loss__name="supcon") == "none"
    assert miner(train__loss__name="supcon", train__miner__name="batch_hard") == "batch_hard"


def test_memory_serves_losses_that_compare_images() -> None:
    assert problems(train__loss__name="supcon", train__cross_batch_memory_size=64) == {}
    for name in ("arcface", "subcenter_arcface", "proxy_anchor", "soft_triple"):
        found = problems(train__loss__name=name, train__cross_batch_memory_size=64)
        assert "class vectors" in found["train.cross_batch_memory_size"]
        assert problems(train__loss__name=name, train__cross_batch_memory_size=0) == {}


def test_build_raises_with_all_problems() -> None:
    with pytest.raises(SpecError) as raised:
        build_spec("train", {"train": {"batch_size": 18, "nonsense": 1}})
    assert {"train.batch_size", "train.nonsense", "dataset.train_dataset"} <= {p.key for p in raised.value.problems}
    assert "schema train" in raised.value.next_step


@pytest.mark.parametrize("text", ["???", " ??? ", "<selected train/AutoML checkpoint>"])
def test_placeholders_are_no_values(text: str) -> None:
    assert is_placeholder(text)
    assert not is_given(text)


@pytest.mark.parametrize("value", ["a<b>c", "/data", 0, False, [0]])
def test_values_are_values(value: Any) -> None:
    assert is_given(value)
