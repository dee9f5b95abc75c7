"""The names of what is measured, by which settings refer to it."""

from typing import Literal

__all__ = ["EPOCH_MEANS", "MONITOR", "TITLES", "public_names"]

TITLES = {
    "mean_average_precision": "Mean Average Precision",
    "mean_reciprocal_rank": "Mean Reciprocal Rank",
    "r_precision": "r-Precision",
    "precision_at_1": "Precision at Rank 1",
    "map_at_r": "MAP@R",
}
# What is reported of an epoch's steps.
EPOCH_MEANS = ("train_loss", "embedding_spread")
# Ranks checkpoints where a spec says nothing else.
MONITOR = "val Precision at Rank 1"  # R25


def public_names(prefix: Literal["val", "test"]) -> list[str]:
    """Return the public names of all metrics that every measurement has."""
    averages = [f"{prefix} {title}{kind}" for kind in ("", " (macro)") for title in TITLES.values()]
    return [f"{prefix}_AMI", f"{prefix}_NMI", *averages]
