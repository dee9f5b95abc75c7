"""From what a user wrote about a search to settings that hold: aliases, refusals, and the nearest name for a typo."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tao_skill.config.automl import AutoML
from tao_skill.config.endpoint import endpoint_problems
from tao_skill.config.secrets import HIDDEN, KEY_VARIABLE
from tao_skill.errors import Problem, SpecError

__all__ = ["SETTING_NAMES", "change_settings", "is_setting", "read_settings"]

# Other names of the same settings; the peer's own among them.
_ALIASES = {
    "algorithm": "automl_algorithm",
    "num_recommendations": "automl_max_recommendations",
    "max_recommendations": "automl_max_recommendations",
    "automl_max_trials": "automl_max_recommendations",
    "automl_max_experiments": "automl_max_recommendations",
    "automl_delete_intermediate_checkpoints": "automl_delete_intermediate_ckpt",
    "max_minutes": "automl_max_minutes",
    "target_metric": "automl_target",
    "max_concurrent": "automl_max_concurrent",
    "metric_name": "metric",
    "automl_llm_endpoint": "llm_endpoint",
    "automl_llm_model": "llm_model",
    "optimization_direction": "direction",
}
# Settings of the peer that mean nothing here, each with what to do instead.
_REFUSED = {
    "run_baseline": "nothing: the template's values with your overrides are always the first trial",
    "epoch_multiplier": "automl_max_epochs, the epochs of a full training",
    "automl_max_generations": "automl_max_epochs: a population lasts as long as a full training",
    "automl_mutation_factor": "another setting: it belongs to dehb, which isn't offered; bohb is the nearest",
    "automl_crossover_prob": "another setting: it belongs to dehb, which isn't offered; bohb is the nearest",
    "automl_kde_samples": "nothing: Optuna's TPE chooses it",
    "automl_top_n_percent": "nothing: Optuna's TPE chooses it",
    "automl_min_points_in_model": "nothing: Optuna's TPE chooses it",
    "automl_checkpoint_retention_strategy": "automl_keep_trials, the number of trials whose checkpoints are kept",
    "automl_policy": "--automl-policy on or off, or automl_policy among the overrides",
    "automl_min_top_configs": "automl_keep_trials, the number of trials whose checkpoints are kept",
    "objectives": "metric, the one that is optimised; others stand in each trial's job",
    "multi_objective": "metric, the one that is optimised; others stand in each trial's job",
    "hybrid_enable_llm_range_narrowing": "custom_param_ranges, your own ranges",
    "research_program": "another algorithm: autoresearch isn't offered; llm is the nearest",
    "final_evaluation_metric": "run_final_evaluation: all metrics of evaluate are told",
    "train_sample_count": "nothing: the images are counted",
    "override_automl_disabled_params": "a parameter that the schema lets be searched",
}
# What a search may go on with otherwise than it began: its budget and its means, not what makes its trials comparable.
_MAY_CHANGE = {
    "automl_max_recommendations", "automl_max_minutes", "automl_target", "automl_max_concurrent",
    "automl_trial_timeout_minutes", "automl_max_retries", "automl_delete_intermediate_ckpt", "automl_keep_trials",
    "run_final_evaluation", "automl_platform", "automl_ray_address", "automl_trial_cpus", "automl_trial_gpus",
}  # fmt: skip
_SECRET = re.compile(r"^(automl_)?llm_.*key|^api_key$", re.IGNORECASE)
SETTING_NAMES: tuple[str, ...] = tuple(field.name for field in fields(AutoML))


def is_setting(key: str) -> bool:
    """Say whether a key without dots is meant for the search and not for the spec."""
    return key.startswith(("automl_", "llm_")) or key in SETTING_NAMES or key in _ALIASES or key in _REFUSED


def read_settings(given: Mapping[str, Any]) -> AutoML:
    """Return the settings of a search; what is left out takes its default.

    Raises:
        SpecError: unknown names (each with the nearest), refused ones, and values out of bounds: all of them.
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, value in given.items():
        known = _ALIASES.get(name, name)
        if _SECRET.search(name):
            # Settings are written into the files of the search, and a command line into the shell's history.
            problems.append(Problem(name, HIDDEN, f"nothing here: the key stands in {KEY_VARIABLE} of the environment"))
        elif name in _REFUSED:
            problems.append(Problem(name, value, _REFUSED[name]))
        elif known not in SETTING_NAMES:
            problems.append(Problem(name, value, _nearest(name)))
        elif known in values and values[known] != value:
            problems.append(Problem(name, value, f"the same value as another name of {known} gives: {values[known]!r}"))
        else:
            values[known] = value
    settings, wrong = _validated(values)
    problems += wrong
    endpoint = values.get("llm_endpoint")
    if isinstance(endpoint, str) and endpoint.strip():
        # Whatever the algorithm: these settings are written into the files of the search.
        problems += endpoint_problems(endpoint.strip())
    if problems:
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise SpecError(
            f"The search can't start: its settings have {count}.",
            problems=problems,
            next_step="references/automl_settings.md of the skill tao-run-automl tells every setting with its bounds",
        )
    assert settings is not None
    return settings


def change_settings(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> AutoML:
    """Return the settings that a search goes on with; ``settings`` are those that it had, under their own names.

    Raises:
        SpecError: changes that are wrong by themselves, or of what must stay as it was: all of them.
    """
    wanted = asdict(read_settings(changes))
    named = [_ALIASES.get(name, name) for name in changes]
    fixed = [
        Problem(name, wanted[name], f"{settings.get(name)!r}, as at first: its trials would not be comparable")
        for name in named
        if name not in _MAY_CHANGE and not name.startswith("llm_") and wanted[name] != settings.get(name)
    ]
    if fixed:
        raise SpecError(
            f"A search can't go on with another {', '.join(problem.key for problem in fixed)}.",
            problems=fixed,
            next_step=f"begin a new search; what may change: {', '.join(sorted(_MAY_CHANGE))}, llm_…",
        )
    return read_settings({**settings, **{name: wanted[name] for name in named}})


@cache
def _adapter() -> TypeAdapter[AutoML]:
    return TypeAdapter(AutoML)


def _validated(values: Mapping[str, Any]) -> tuple[AutoML | None, list[Problem]]:
    try:
        return _adapter().validate_python(dict(values)), []
    except ValidationError as error:
        return None, [
            Problem(".".join(map(str, detail["loc"])), detail.get("input"), detail["msg"])
            for detail in error.errors(include_url=False)
        ]


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, [*SETTING_NAMES, *_ALIASES], n=1, cutoff=0.5)
    hint = f"the nearest is {near[0]}" if near else f"known: {', '.join(SETTING_NAMES)}"
    return f"no such setting; {hint}"
