"""A child job has the shape of the model that its checkpoint holds."""

from tao_skill.config.keys import flatten
from tao_skill.config.schema import template
from tao_skill.run.child_settings import DECIDED_KEYS, take_from_checkpoint

RECORD = {
    "model": {
        "backbone": "resnet_101",
        "timm_name": "",
        "input_width": 96,
        "input_height": 64,
        "input_channels": 3,
        "feat_dim": 128,
    },
    "transform": {"pixel_mean": [0.5, 0.5, 0.5], "pixel_std": [0.2, 0.2, 0.2]},
}
EVALUATE = flatten(template("evaluate")).keys()


def test_the_decided_keys_are_keys_of_the_spec() -> None:
    assert set(DECIDED_KEYS) <= set(EVALUATE)


def test_what_is_unset_comes_from_the_checkpoint() -> None:
    settings = take_from_checkpoint(EVALUATE, {"model.feat_dim": 128}, "c.pth", RECORD, strict=True)
    assert settings.problems == []
    assert settings.left_out == frozenset()
    assert settings.values["model.backbone"] == "resnet_101"
    assert settings.values["dataset.pixel_std"] == [0.2, 0.2, 0.2]
    assert "model.feat_dim" not in settings.values
    assert len(settings.values) == len(DECIDED_KEYS) - 1


def test_an_override_that_contradicts_is_a_problem_that_says_so() -> None:
    explicit = {
        "model.feat_dim": 256,
        "model.input_width": 96.0,
        "dataset.pixel_mean": [0.5, 0.5, 0.5000000001],
        "dataset.pixel_std": [0.2],
        "model.backbone": "resnet_50",
    }
    settings = take_from_checkpoint(EVALUATE, explicit, "c.pth", RECORD, strict=True)
    assert sorted(problem.key for problem in settings.problems) == [
        "dataset.pixel_std",
        "model.backbone",
        "model.feat_dim",
    ]
    assert "128, as in the checkpoint c.pth" in str(settings.problems)


def test_without_a_record_no_default_pretends_to_know() -> None:
    settings = take_from_checkpoint(EVALUATE, {"model.feat_dim": 256}, "c.pth", None, strict=True)
    assert settings.values == {}
    assert settings.left_out == set(DECIDED_KEYS) - {"model.feat_dim"}


def test_training_from_a_parents_weights_may_differ() -> None:
    train = flatten(template("train")).keys()
    settings = take_from_checkpoint(train, {"model.feat_dim": 256}, "c.pth", RECORD, strict=False)
    assert settings.problems == []
    assert settings.values["model.input_width"] == 96
    assert take_from_checkpoint(train, {}, "c.pth", None, strict=False).left_out == frozenset()


def test_only_what_the_action_reads() -> None:
    engine = flatten(template("gen_trt_engine")).keys()
    assert "model.feat_dim" not in take_from_checkpoint(engine, {}, "c.pth", RECORD, strict=True).values
