"""Which values of a metric are better, read from its name where nobody says it."""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["direction_of"]

_SMALLER = re.compile(
    r"loss|error|latency|cost|perplexity|entropy|divergence|rmse"
    r"|(?<![a-z])(bpb|cer|crps|eer|err|fid|fnr|fpr|kid|kl|lpips|mae|mape|mse|msle|nll|ppl|seconds|smape|time|wer)(?![a-z])"
)
_LARGER = re.compile(
    r"accuracy|precision|recall|score|similarity|correlation|reward|throughput|auc|auroc|iou"
    r"|(?<![a-z])(acc|ap|bleu|dice|f[0-9]|fps|hits?|kappa|map|mcc|mrr|ndcg|[pr]@|psnr|r2|rank|rouge|ssim|top|tpr)(?![a-z])"
)
_WORD_BEGINS = re.compile(r"(?<=[a-z])(?=m?[A-Z]{2})")


def direction_of(metric: str) -> Literal["maximize", "minimize"] | None:
    """Return the direction that a metric's name tells; None where it tells none."""
    name = _WORD_BEGINS.sub(" ", metric).lower()  # valWER is val WER
    if _SMALLER.search(name):
        return "minimize"
    return "maximize" if _LARGER.search(name) else None
