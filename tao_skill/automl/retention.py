"""Which checkpoints stay, and how much disk they need at most."""

from __future__ import annotations

from collections.abc import Iterable

from tao_skill.automl.history import SearchHistory, Trial
from tao_skill.automl.screening import FINALISTS, finalists
from tao_skill.config.automl import AutoML

__all__ = ["disk_bound", "out_of_race"]


def out_of_race(history: SearchHistory, settings: AutoML, needed: Iterable[int]) -> list[Trial]:
    """Return the ended trials whose checkpoints nobody will need: not the best ones, and no start of another."""
    if not settings.automl_delete_intermediate_ckpt:
        return []
    best = [*history.ranked()[: settings.automl_keep_trials], *finalists(history)]
    kept = set(needed) | {trial.number for trial in best}
    # Where trials pause, the baseline may go on when nothing better is left to do.
    kept |= {0} if history.first_pause else set()
    # What a running trial went on from, it may need once more after a failure of the machine.
    kept |= {trial.continues for trial in history.trials if trial.goes_on and trial.continues is not None}
    over = (trial for trial in history.trials if not trial.goes_on and trial.checkpoints_kept)
    return [trial for trial in over if trial.number not in kept]


def disk_bound(history: SearchHistory, settings: AutoML, slots: int) -> str:
    """Say how many trials' checkpoints lie on the disk at most, and the bytes of it once a trial has told its own."""
    if not settings.automl_delete_intermediate_ckpt:
        trials = settings.automl_max_recommendations
        words = f"the checkpoints of all {trials} trials: automl_delete_intermediate_ckpt is false"
    else:
        population = settings.automl_population_size if history.algorithm == "pbt" else 0
        # And the baseline, and what those that run went on from.
        paused = FINALISTS + 1 + slots if history.first_pause else 0
        trials = settings.automl_keep_trials + slots + 1 + population + paused
        words = f"the checkpoints of {trials} trials"
    size = history.largest_trial_bytes
    return f"at most {words}" + (f", {trials * size / 1e9:.2f} GB" if size else "")
