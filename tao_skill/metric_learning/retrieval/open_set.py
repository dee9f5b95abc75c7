"""Tell known from unknown: how well distances do it, and beyond which distance a query is called unknown.

A query is accepted where its nearest reference is at most so far away, whatever the reference's class. Rates, all in
[0, 1] (as in Grother, Micheals & Phillips 2003, "Face Recognition Vendor Test 2002 Performance Metrics"):

=============================  ===================================================================================
known accept rate              share of queries of known classes that are accepted; higher is better
unknown accept rate            share of queries of unknown classes that are accepted (false accepts); lower is better
detection and identification   share of queries of known classes that are accepted and get the right class
AUROC                          chance that an unknown query is farther from its nearest reference than a known one,
                               ties count half; higher is better
FPR at 95% TPR                 unknown accept rate at the smallest distance that accepts 95 % of the known queries;
                               lower is better (as in Liang, Li & Srikant 2018, "ODIN")
=============================  ===================================================================================

**The distance is chosen on validation data, in which every query's class is known.** What an unknown thing would look
like is found by leaving classes out: were the query's own class not in the reference, its nearest reference would be
the nearest of another class. The distances to those are taken for unknown queries' (Mendes Júnior et al. 2017,
"Nearest neighbors distance ratio open-set classifier", tune on classes that are held out in the same way).
Classes that training saw lie farther apart than new ones do, so that the rate on really new things may be higher than
the one asked for: `evaluate.open_set` measures it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tao_skill.metric_learning.retrieval.metrics import RetrievalMetrics

__all__ = [
    "UNKNOWN",
    "Rejection",
    "Threshold",
    "auroc",
    "choose_rejection",
    "false_positive_rate",
    "largest_distance",
    "open_set_metrics",
    "rejection_threshold",
]

Floats = NDArray[np.float64]

UNKNOWN = "unknown"
"""What results call an image that is farther from every reference than the threshold."""

_FEW_ACCEPTED = 0.5

METHOD = "leave own class out"
TRUE_POSITIVE_RATE = 0.95


@dataclass(frozen=True)
class Rejection:
    """Hold the squared distance of unit vectors beyond which a query is unknown, and what was found when choosing it.

    ``false_accept_rate`` is what was asked for; ``known_accept_rate`` is that of the ``num_queries`` validation
    queries.
    """

    distance: float
    false_accept_rate: float
    known_accept_rate: float
    num_queries: int
    method: str = METHOD

    def document(self) -> dict[str, Any]:
        """Return plain data, which checkpoints and results hold."""
        return asdict(self)


def choose_rejection(metrics: RetrievalMetrics, false_accept_rate: float) -> Rejection | None:
    """Choose the largest distance at which at most such a share of queries is accepted for another class's reference.

    Returns None where the reference has one class only: then nothing can play the unknown.
    """
    foreign = metrics.foreign_distance[metrics.scored]
    if not np.isfinite(foreign).all():
        return None
    distance = largest_distance(foreign, false_accept_rate)
    accepted = metrics.nearest_distance[metrics.scored] <= distance
    return Rejection(distance, false_accept_rate, float(accepted.mean()), len(foreign))


def largest_distance(unknown: Floats, false_accept_rate: float) -> float:
    """Return the largest float32 at or below which at most such a share of the distances ``(n,)`` lies.

    It is never below 0: a query that equals a reference is accepted even where data holds the same image twice.
    """
    ascending = np.sort(unknown).astype(np.float32)
    allowed = int(false_accept_rate * len(ascending) + 1e-9)  # 0.07 * 100 is 7.000000000000001
    if allowed >= len(ascending):
        return 4.0
    return max(0.0, float(np.nextafter(ascending[allowed], np.float32(-np.inf))))


def open_set_metrics(metrics: RetrievalMetrics, distance: float | None) -> dict[str, float]:
    """Return the rates of the module's docstring that the queries and the distance allow.

    Without queries of unknown classes only those of known ones are there; without a distance only AUROC and FPR.
    """
    known = metrics.nearest_distance[metrics.scored]
    unknown = metrics.nearest_distance[~metrics.scored]
    found: dict[str, float] = {}
    if len(unknown):
        found["Open-Set AUROC"] = auroc(known, unknown)
        found["Open-Set FPR at 95% TPR"] = false_positive_rate(known, unknown)
    if distance is not None:
        accepted = known <= distance
        found["Known Accept Rate"] = float(accepted.mean())
        right = metrics.per_query["precision_at_1"][metrics.scored] == 1
        found["Detection and Identification Rate"] = float((accepted & right).mean())
        if len(unknown):
            found["Unknown Accept Rate"] = float((unknown <= distance).mean())
    return found


def auroc(known: Floats, unknown: Floats) -> float:
    """Return the chance that an unknown's distance is larger than a known's; ties count half (Mann-Whitney U)."""
    ascending = np.sort(known)
    below = np.searchsorted(ascending, unknown, side="left")
    equal = np.searchsorted(ascending, unknown, side="right") - below
    return float((below + equal / 2).mean() / len(known))


def false_positive_rate(known: Floats, unknown: Floats, true_positive_rate: float = TRUE_POSITIVE_RATE) -> float:
    """Return the share of unknown distances at or below the smallest one that accepts so many known ones."""
    needed = int(np.ceil(true_positive_rate * len(known) - 1e-9))
    threshold = np.sort(known)[max(needed, 1) - 1]
    return float((unknown <= threshold).mean())


@dataclass(frozen=True)
class Threshold:
    """Hold the distance beyond which a query counts as unknown, None where there is none, and where it is from."""

    distance: float | None
    source: Literal["setting", "model", "none"]
    chosen: Mapping[str, Any] = field(default_factory=dict)

    def accepts(self, distance: float) -> bool:
        """Say whether a query with this squared distance to its nearest reference counts as known."""
        # In the precision of distances: what is written as 0.1 lies at 0.1.
        return self.distance is None or distance <= float(np.float32(self.distance))

    def document(self) -> dict[str, Any]:
        """Return plain data for results."""
        return {**self.chosen, "distance": self.distance, "source": self.source}

    def warnings(self, classes: Sequence[str]) -> list[str]:
        """Return what a user should know of it."""
        accepted = self.chosen.get("known_accept_rate", 1.0)
        if self.source == "model" and accepted < _FEW_ACCEPTED:
            return [
                f"The model rejects most images: at the distance chosen, only {accepted:.0%} of the validation queries "
                "of known classes are accepted; train it further, with a higher train.false_accept_rate, or set "
                "reject_distance."
            ]
        if self.source == "none":
            return [
                "Nothing is called unknown: the model was not validated, so no distance was chosen beyond which an "
                "image counts as unknown; set reject_distance."
            ]
        if UNKNOWN in classes:
            return [f"A class is called {UNKNOWN!r}: in results, images of it look like rejected ones."]
        return []


def rejection_threshold(setting: float | None, recognition: Mapping[str, Any]) -> Threshold:
    """Return the distance that is set, else the one that the model carries."""
    if setting is not None:
        return Threshold(setting, "setting")
    stored = recognition.get("rejection")
    if not stored:
        return Threshold(None, "none")
    return Threshold(float(stored["distance"]), "model", stored)
