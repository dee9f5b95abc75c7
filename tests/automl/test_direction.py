"""Which values of a metric are better, by its name."""

import pytest

from tao_skill.automl.direction import direction_of


@pytest.mark.parametrize(
    "name",
    ["loss", "val_loss", "logloss", "rmse", "val RMSE", "valRMSE", "mae", "val/MAE", "perplexity", "wer", "valWER",
     "test_cer", "FID", "top5_error", "word error rate", "latency_ms", "mse", "inference_time", "cross_entropy"],
)  # fmt: skip
def test_smaller_values_are_better(name: str) -> None:
    assert direction_of(name) == "minimize"


@pytest.mark.parametrize(
    "name",
    ["val Precision at Rank 1", "accuracy", "val_acc", "mAP", "val_mAP50", "mIoU", "f1", "f1_macro", "P@1", "AUROC",
     "score", "top5", "BLEU", "r2", "psnr"],
)  # fmt: skip
def test_larger_values_are_better(name: str) -> None:
    assert direction_of(name) == "maximize"


@pytest.mark.parametrize("name", ["", "m", "metric", "mapping", "kidney", "sometimes", "answer", "farmer"])
def test_other_names_tell_nothing(name: str) -> None:
    assert direction_of(name) is None
