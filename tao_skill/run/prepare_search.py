"""Decide what a search will do, before anything is written: settings, space, metric, and the form of its trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from tao_skill.automl.algorithms import LANGUAGE_MODEL, TRIES_POINTS, algorithm_name
from tao_skill.automl.chat_settings import chat_settings
from tao_skill.automl.direction import direction_of
from tao_skill.automl.history import SearchHistory
from tao_skill.automl.packages import lack_of_packages
from tao_skill.automl.space import SearchSpace, build_space
from tao_skill.bank.skill import Skill
from tao_skill.config.automl import AutoML
from tao_skill.config.keys import flatten, merge, nest
from tao_skill.config.leaves import schema_leaves
from tao_skill.config.placeholder import is_given
from tao_skill.errors import NotAvailableError, Problem, SpecError
from tao_skill.jobs.record import utc_now
from tao_skill.run.at_once import trials_at_once
from tao_skill.run.monitored import monitor_values, monitor_warning
from tao_skill.run.program import Program, program_of
from tao_skill.run.trial_spec import ACTION, TrialForm

__all__ = ["PreparedSearch", "new_history", "prepare_search"]


@dataclass(frozen=True)
class PreparedSearch:
    """All that a search consists of before it runs; ``baseline`` holds the present values of what is searched.

    ``at_once`` is how many trials run at the same time here; None: as many as the cluster has room for.
    """

    settings: AutoML
    algorithm: str
    skill: Skill
    program: Program
    form: TrialForm
    metric: str
    direction: Literal["maximize", "minimize"]
    space: SearchSpace
    baseline: Mapping[str, Any]
    at_once: int | None

    def on(self, spec: Mapping[str, Any]) -> PreparedSearch:
        """Return the same search over a spec whose inputs were brought here."""
        base = _with_budget(self.skill, self.form.schema, spec, self.settings)
        return replace(self, form=replace(self.form, base=base))

    def check_packages(self) -> None:
        """Raise NotAvailableError where packages are not installed here that the search needs."""
        if (lacking := self._lack()) is not None:
            raise lacking

    def told(self, *, meant: bool) -> list[str]:
        """Return the warnings of a plan; what is ``meant`` to run here must have its packages.

        Raises:
            NotAvailableError: it lacks some.
        """
        lacking = self._lack()
        if lacking is not None and meant:
            raise lacking
        absent = [] if lacking is None else [f"{lacking.message} Before it runs here: {lacking.next_step}."]
        return [*absent, *self.warnings]

    def _lack(self) -> NotAvailableError | None:
        return lack_of_packages(self.algorithm, self.settings.automl_platform)

    @property
    def warnings(self) -> list[str]:
        """Return what the user should know of the search before it begins."""
        told = monitor_warning(self.form.schema, self.form.explicit, self.metric, self.direction)
        found = [told] if told else []
        if self.settings.direction is None and direction_of(self.metric) is None:
            found.append(
                f"The name {self.metric} doesn't tell whether larger or smaller values are better; larger ones are "
                "taken to be. If smaller ones are: --automl direction=minimize."
            )
        if self.settings.automl_platform != "ray" and self.settings.automl_ray_address != AutoML().automl_ray_address:
            found.append("automl_ray_address does nothing without --platform ray: trials run on this machine.")
        found += [*self._lost_epochs(), *self._folder_of_reports()]
        tried = self.algorithm in TRIES_POINTS or (self.algorithm == "llm" and self.settings.llm_fallback)
        if self.settings.automl_starting_points and not tried:
            found.append(
                f"{self.algorithm} doesn't try automl_starting_points; {' and '.join(TRIES_POINTS)} do: "
                f"--automl automl_algorithm={TRIES_POINTS[0]}."
            )
        return found

    def _folder_of_reports(self) -> list[str]:
        """Say so where the user chose a folder, which the models won't be in."""
        places = (f"{ACTION}.results_dir", "results_dir")  # the first one wins
        chosen = next((key for key in places if is_given(self.form.explicit.get(key))), None)
        if chosen is None:
            return []
        return [
            f"{chosen} is where the search writes its reports, which name the best model; each trial has a "
            "folder of its own below the results root, with its checkpoints: --results-root DIR moves those."
        ]

    def _lost_epochs(self) -> list[str]:
        """Say so where the user lets trials be compared more often than they write what they go on from."""
        flat = flatten(self.form.base)
        checkpoints, validations = (f"{ACTION}.{name}_interval" for name in ("checkpoint", "validation"))
        written, compared = flat.get(checkpoints), flat.get(validations)
        chosen = validations in self.form.explicit and self.form.can_go_on
        if not chosen or not (isinstance(written, int) and isinstance(compared, int)) or written <= compared:
            return []
        if flat.get(f"{checkpoints}_unit", "epoch") != "epoch":
            return []
        return [
            f"{checkpoints} is {written} and {validations} {compared}: a trial that is stopped and goes on later "
            "trains the epochs since its last checkpoint again, or all where it has none. "
            f"To lose none: {checkpoints}={compared}."
        ]

    def document(self) -> dict[str, Any]:
        """Return what a plan says of the search."""
        return self.facts() | {"at_once": self.at_once}

    def facts(self) -> dict[str, Any]:
        """Return what does not depend on the machine that it runs on."""
        return {
            "algorithm": self.algorithm,
            "metric": self.metric,
            "direction": self.direction,
            "full_epochs": self.form.full_epochs(),
            "settings": asdict(self.settings),
            "space": [one.document() for one in self.space.parameters],
            "left_out": self.space.left_out,
        }


def prepare_search(
    skill: Skill, schema: Mapping[str, Any], spec: Mapping[str, Any], explicit: Mapping[str, Any], settings: AutoML
) -> PreparedSearch:
    """Decide what will be searched; ``spec`` is the complete nested spec, ``explicit`` what the user set of it.

    Raises:
        TaoSkillError: settings or ranges that can't be used, or nothing to search.
    """
    algorithm = algorithm_name(settings.automl_algorithm)
    if algorithm in LANGUAGE_MODEL:
        chat_settings(settings)  # before anything is spent
    form = TrialForm(skill, schema, _with_budget(skill, schema, spec, settings), explicit)
    metric = settings.metric or skill.metric
    if not metric:
        raise SpecError(
            "The search doesn't know what to optimise.",
            problems=[Problem("metric", None, "the name of a metric, since SKILL.md names no monitoring metric")],
            next_step="--automl metric=NAME",
        )
    if algorithm == "pbt" and not form.can_go_on:
        raise SpecError(
            "pbt can't tune this skill: its members train on from checkpoints, and the skill doesn't say how.",
            problems=[Problem("automl_algorithm", "pbt", "bayesian, or another whose trials begin anew")],
            next_step="name the spec key in SKILL.md's table: train (AutoML), KEY, automl_resume_model",
        )
    flat = flatten(form.base)
    space = build_space(schema, flat, _fixed(explicit, form), settings, budget=form.budget_key)
    if not space.parameters:
        raise SpecError(
            "There is nothing to search: no parameter that the schema offers has an effect here and is free.",
            problems=[Problem(key, flat.get(key), why) for key, why in space.left_out.items()],
            next_step="name parameters in automl_hyperparameters, or add --automl-policy off",
        )
    usual = direction_of(metric) or "maximize"
    direction = settings.direction or usual
    if (metric, direction) != (skill.metric, usual):  # else the skill's own choice is the same
        form = replace(form, monitored=monitor_values(schema, explicit, metric, direction))
    baseline = {one.key: flat.get(one.key) for one in space.parameters}
    if settings.automl_starting_points:
        _check_points(space, form, baseline)
    return PreparedSearch(
        settings, algorithm, skill, program_of(skill, ACTION), form, metric, direction, space, baseline,
        trials_at_once(settings, flat),
    )  # fmt: skip


def _check_points(space: SearchSpace, form: TrialForm, baseline: Mapping[str, Any]) -> None:
    """Raise SpecError where the user's own starting points break the skill's rules."""
    problems = [
        Problem(f"automl_starting_points[{number}]: {problem.key}", problem.value, problem.expected)
        for number, point in enumerate(space.points)
        for problem in form.problems({**baseline, **point})
    ]
    if problems:
        raise SpecError(
            "The search can't start: its starting points break the skill's rules.",
            problems=problems,
            next_step="correct automl_starting_points, or leave them out",
        )


def new_history(prepared: PreparedSearch, job_id: str) -> SearchHistory:
    """Return the history of a search that has not begun."""
    return SearchHistory(
        job_id=job_id,
        skill=prepared.skill.name,
        skill_dir=str(prepared.skill.directory),
        started_at=utc_now(),
        **prepared.facts(),
    )


def _with_budget(
    skill: Skill, schema: Mapping[str, Any], spec: Mapping[str, Any], settings: AutoML
) -> Mapping[str, Any]:
    """Return the spec with the epochs that the settings name."""
    if settings.automl_max_epochs is None:
        return spec
    key = TrialForm(skill, schema, spec, {}).budget_key
    if not key:
        raise SpecError(
            "automl_max_epochs can't be set: the skill doesn't say which parameter holds the epochs.",
            problems=[Problem("automl_max_epochs", settings.automl_max_epochs, "nothing, for this skill")],
        )
    return merge(spec, nest({key: settings.automl_max_epochs}))


def _fixed(explicit: Mapping[str, Any], form: TrialForm) -> dict[str, str]:
    """Return what must stay as it is: what the user set."""
    return {leaf.key: "you set it" for leaf in schema_leaves(form.schema) if leaf.key in explicit}
