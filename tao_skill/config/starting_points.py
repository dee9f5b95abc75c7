"""Values that did well elsewhere, by action: what a search tries right after the template's own.

Of 16 candidates on rendered products (`python -m tools.bench.starting_points --candidates 16 --count 2`) these did best
where a network was trained from nothing: a P@1 of 0.44 and 0.40 after 100 epochs, 0.46 and 0.49 after 200, the
template's values 0.23 and 0.24. Both lower the learning rates less at each decay, of which the template's last comes at
epoch 70. Where pretrained weights were tuned, the best did no better than the template's values (0.78 and 0.78), which
a search tries first of all.
"""

from typing import Any

__all__ = ["STARTING_POINTS"]


def _point(*, trunk: float, embedder: float, decay: float, gamma: float, margin: float) -> dict[str, Any]:
    """Return values by dotted key; ``trunk`` and ``embedder`` are their learning rates."""
    point = {"train.optim.gamma": gamma, "train.optim.triplet_loss_margin": margin}
    for part, rate in (("trunk", trunk), ("embedder", embedder)):
        values = {"base_lr": rate, "weight_decay": decay, "weight_decay_bias": decay}
        point |= {f"train.optim.{part}.{name}": value for name, value in values.items()}
    return point


STARTING_POINTS: dict[str, list[dict[str, Any]]] = {
    "train": [
        _point(trunk=2.3e-3, embedder=1.8e-4, decay=1e-6, gamma=0.96, margin=0.11),
        _point(trunk=1.8e-3, embedder=1.2e-3, decay=1.1e-5, gamma=0.59, margin=0.042),
    ]
}
