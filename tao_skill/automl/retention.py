"""Which checkpoints stay, and how much disk they need at most."""

from __future__ import annotations

from collections.abc import Iterable

from tao_skill.automl.history import SearchHistory, Trial
from tao_skill.automl.screening import FINALISTS
from tao_skill.config.automl import AutoML

__all__ = ["disk_bound", "losers", "out_of_race"]


def out_of_race(history: SearchHistory, settings: AutoML, needed: Iterable[int]) -> list[Trial]:
    """Return the ended trials whose checkpoints nobody will need: not the best ones, and no start of another."""
    if not settings.automl_delete_intermediate_ckpt:
        return []
    # Of the ended ones: one that runs may fail yet, however good it is.
    ended = [trial for trial in history.ranked() if not trial.goes_on]
    stay = max(settings.automl_keep_trials, FINALISTS if history.first_pause else 0)
    kept = set(needed) | {trial.number for trial in ended[:stay]}
    # Where trials pause, the baseline may go on when nothing better is left to do.
    kept |= {0} if history.first_pause else set()
    # What a running trial went on from, it may need once more after a failure of the machine.
    kept |= {trial.continues for trial in history.trials if trial.goes_on and trial.continues is not None}
    return [trial for trial in _with_checkpoints(history) if trial.number not in kept]


def losers(history: SearchHistory, settings: AutoML) -> list[Trial]:
    """Return the trials whose checkpoints nobody needs once the search is over."""
    if not settings.automl_delete_intermediate_ckpt:
        return []
    kept = [trial.number for trial in history.ranked()[: settings.automl_keep_trials]]
    return [trial for trial in _with_checkpoints(history) if trial.number not in kept]


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
    if not size and any(trial.state in ("complete", "stopped") for trial in history.trials):
        return (
            "not known: no trial left a file that is known as a checkpoint, so nothing was counted and nothing is "
            "deleted; a training may name its own as `checkpoint` in its results.json"
        )
    return f"at most {words}" + (f", {trials * size / 1e9:.2f} GB" if size else "")


def _with_checkpoints(history: SearchHistory) -> list[Trial]:
    return [trial for trial in history.trials if not trial.goes_on and trial.checkpoints_kept]
