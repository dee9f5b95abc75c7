"""Values that did well elsewhere, by action: what a search tries right after the template's own.

Of 16 candidates on rendered products (`python -m tools.bench.starting_points --candidates 16 --count 2`) these did best
where a network was trained from nothing: a P@1 of 0.38 and 0.33 after 100 epochs, the template's values 0.23. Where
pretrained weights were tuned, none did better than the template's values, which a search tries first of all.
"""

from typing import Any

__all__ = ["STARTING_POINTS"]


def _point(*, rate: float, decay: float, gamma: float, margin: float) -> dict[str, Any]:
    """Return values by dotted key; trunk and embedder have the same learning rate and weight decay."""
    parts = ("train.optim.trunk", "train.optim.embedder")
    both = {"base_lr": rate, "weight_decay": decay, "weight_decay_bias": decay}
    point = {f"{part}.{name}": value for part in parts for name, value in both.items()}
    return point | {"train.optim.gamma": gamma, "train.optim.triplet_loss_margin": margin}


STARTING_POINTS: dict[str, list[dict[str, Any]]] = {
    "train": [
        _point(rate=1.1e-3, decay=1.9e-5, gamma=0.28, margin=0.097),
        _point(rate=2.2e-3, decay=7e-8, gamma=0.42, margin=0.14),
    ]
}
