"""Names of checkpoints: filled in, and never one for several."""

import pytest

from tao_skill.config.checkpoint_names import BEST_NAME, best_name, pattern_problem, periodic_name

SOUND = [
    "model_best_{epoch:03d}",
    "{step}",
    "a_{epoch:02d}_{val Precision at Rank 1:.2f}_{train_loss:.3e}_{trunk_base_lr}",
    "model_epoch_{epoch:03d}",
]


@pytest.mark.parametrize("pattern", SOUND)
def test_sound_patterns_are_filled(pattern: str) -> None:
    assert pattern_problem(pattern) == ""


def test_metrics_are_filled_in_with_their_names_where_wanted() -> None:
    values = {"epoch": 7, "val MAP@R": 0.456}
    assert best_name("m_{epoch:03d}_{val MAP@R:.2f}", values, with_fields=False) == "m_007_0.46.pth"
    assert best_name("{epoch:03d}-{val MAP@R:.2f}", values, with_fields=True) == "epoch=007-val MAP@R=0.46.pth"
    assert best_name("{epoch}_{val_AMI:.2f}", values, with_fields=False) == "7_nan.pth"  # not validated


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("model_best", "one name"),
        ("best_{val Precision at Rank 1:.2f}", "one name"),
        ("model_{epoch:03d}_{val_acc:.2f}", "no field 'val_acc'"),
        ("model_{epoch:03d}_{train_los:.2f}", "the nearest is train_loss"),
        ("model_{epoch:03d", "can be filled in"),
        ("model_{}", "no field ''"),
        ("model_{epoch:.2q}", "can be filled in"),
        ("model_{epoch!r}", "can be filled in"),
        ("model_{epoch}_{train_loss:03d}", "can be filled in"),
        ("best/model_{epoch}", "dirpath"),
        ("model_epoch_{epoch:03d}_step_{step:05d}", "periodic"),
    ],
)
def test_patterns_by_which_a_checkpoint_would_be_lost_are_refused(pattern: str, says: str) -> None:
    assert says in pattern_problem(pattern)


def test_own_names_are_taken() -> None:
    assert (BEST_NAME, periodic_name(2, 9)) == ("model_best.pth", "model_epoch_002_step_00009.pth")
