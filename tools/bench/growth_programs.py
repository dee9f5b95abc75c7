"""What is measured of a size, in a process of its own: ``python -m tools.bench.growth_programs NAME SIZE``.

Prints seconds and the largest memory that the process had, in MB (10^6 bytes), libraries and data with it.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.bench.processes import own_peak_mb

__all__ = ["PROGRAMS"]

_DIMENSIONS, _QUERIES = 256, 1_000
_FITS = 12  # trials of the shortest search that fits a Gaussian process, with some to spare


def _search(size: int) -> float:
    """Find the 10 nearest of 1,000 queries in a gallery of that size."""
    import torch

    from tao_skill.metric_learning.retrieval.search import top_k

    gallery, queries = torch.randn(size, _DIMENSIONS), torch.randn(_QUERIES, _DIMENSIONS)
    top_k(queries[:8], gallery[:100], 10)
    return _seconds(lambda: top_k(queries, gallery, 10))


def _validation(size: int) -> float:
    """Compute all metrics of 1,000 queries, per class as well, in a gallery of that size with 10 images a class."""
    from tao_skill.metric_learning.retrieval.metrics import retrieval_metrics
    from tools.bench.retrieval import make_data

    queries, query_labels, gallery, labels = make_data(size, _DIMENSIONS, max(2, size // 10), 1.8)
    few = queries[:_QUERIES].copy()
    del queries
    return _seconds(lambda: retrieval_metrics(few, query_labels[:_QUERIES], gallery, labels))


def _both(size: int) -> float:
    """Compute all metrics of as many queries as references."""
    from tao_skill.metric_learning.retrieval.metrics import retrieval_metrics
    from tools.bench.retrieval import make_data

    data = make_data(size, _DIMENSIONS, max(2, size // 10), 1.8)
    return _seconds(lambda: retrieval_metrics(*data))


def _staging(size: int) -> float:
    """Stage an archive of so many megabytes of images on the local disk: check, extract, publish."""
    from tao_skill.storage.stage import stage
    from tools.bench.storage import make_archive

    with tempfile.TemporaryDirectory() as name:
        archive = Path(name) / "images.tar.gz"
        make_archive(archive, size)
        return _seconds(lambda: stage(archive, Path(name) / "cache"))


class _Instant:
    """Runs trials that end when they start: what is left is the search's own work."""

    slots = 1
    can_go_on = True

    def can_begin_from(self, trial: Any) -> bool:
        """Say no: they all end at once."""
        del trial
        return False

    def check(self, values: Mapping[str, Any]) -> Sequence[Any]:
        """Find nothing wrong with any values."""
        del values
        return []

    def start(self, trial: Any) -> "_Done":
        """Train nothing; the metric depends on the values a little, so that there is something to learn."""
        numbers = [value for value in trial.values.values() if isinstance(value, float)]
        return _Done(trial.epochs, sum(abs(number) for number in numbers) % 1.0)

    def leave(self, trial: Any, reason: str) -> Any:
        """Never happens: no search is interrupted."""
        raise NotImplementedError

    def forget(self, trial: Any) -> None:
        """Have nothing to delete."""

    def close(self) -> None:
        """Hold nothing."""


class _Done:
    def __init__(self, epochs: int, value: float) -> None:
        self._epochs, self._value = epochs, value

    def poll(self) -> Any:
        """Return all reports and the end at once."""
        from tao_skill.automl.executor import End, Progress

        return Progress([(epoch, self._value) for epoch in range(1, self._epochs + 1)], End("done"))

    def stop(self, reason: str) -> None:
        """Have ended already."""


def _trials(size: int) -> float:
    """Search with the default algorithm over the recogniser's own space, with trials that take no time.

    A search goes before that is not measured: what it imports costs once, not once a trial.
    """
    _searched(_FITS)
    return _searched(size) / size


def _searched(trials: int) -> float:
    from tao_skill.automl.algorithms import make_searcher
    from tao_skill.automl.search import Search
    from tao_skill.bank.skill import find_skill
    from tao_skill.config.automl_settings import read_settings
    from tao_skill.run.prepare_search import new_history, prepare_search
    from tao_skill.run.search_files import save_history

    skill = find_skill()
    settings = read_settings({"automl_max_recommendations": trials, "automl_max_epochs": 10})
    prepared = prepare_search(skill, skill.schema("train"), skill.template("train"), {}, settings)
    history, slots = new_history(prepared, "benchmark"), _Instant()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def search() -> None:
            searcher = make_searcher(
                history, prepared.space, settings, prepared.baseline, folder, acceptable=slots.check
            )
            Search(history, settings, searcher, slots, save=lambda changed: save_history(folder, changed)).run()

        return _seconds(search)


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


PROGRAMS: Mapping[str, Callable[[int], float]] = {
    "search": _search,
    "validation": _validation,
    "both": _both,
    "staging": _staging,
    "trials": _trials,
}


def main() -> None:
    """Measure one size and print it."""
    name, size = sys.argv[1], int(sys.argv[2])
    seconds = PROGRAMS[name](size)
    print(json.dumps([seconds, own_peak_mb()]))


if __name__ == "__main__":
    main()
