"""Tools that decide and start: the plan of a run, the run itself, and going on with one that broke off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tao_skill.agent.answers import Call, JobsAnswer, PlanAnswer, SearchFact
from tao_skill.agent.desk import Desk
from tao_skill.agent.follow import load_record
from tao_skill.agent.guard import (
    check_links,
    check_plain,
    check_record,
    check_request,
    check_search,
    check_spec_places,
)
from tao_skill.agent.job_facts import job_fact, progress_call
from tao_skill.agent.requests import PlanRequest, ResumeRequest, RunJobRequest
from tao_skill.bank.skill import Skill, find_skill
from tao_skill.config.keys import flatten, nest
from tao_skill.errors import JobError, TaoSkillError
from tao_skill.jobs.record import JobRecord, JobStatus
from tao_skill.jobs.store import JobStore
from tao_skill.run.plan import RunPlan
from tao_skill.run.redaction import redacted
from tao_skill.run.remote_jobs import refuse_foreign, remote_folder
from tao_skill.run.request import RunRequest
from tao_skill.run.search_history import is_search, load_history
from tao_skill.run.skill_of_job import skill_asked

__all__ = ["plan", "resume", "run"]

_OWN = {"idempotency_key", "wait_seconds", "user_words", "overrides", "automl"}


def plan(request: PlanRequest, desk: Desk) -> PlanAnswer:
    """Decide everything of a run and start nothing."""
    made = _plan(request, desk, desk.store(request.results_root), None)
    spec = flatten(redacted(made.spec))
    chosen = {key: value for key, value in spec.items() if made.provenance.get(key) != "template"}
    arguments = request.model_dump(exclude_defaults=True)
    return PlanAnswer(
        action=made.action,
        dispatch=made.dispatch,
        dispatch_reason=made.dispatch_reason,
        automl_policy=made.automl_policy,
        policy_reason=made.policy_reason,
        parent_job=made.parent_job,
        results_dir=made.results_dir,
        inputs=redacted(made.inputs),
        settings=chosen,
        origins={key: made.provenance.get(key, "") for key in chosen},
        reasons=redacted(made.reasons),
        search=_search_fact(made.search) if made.search else None,
        device=made.preflight.device,
        warnings=redacted([*made.warnings, *made.preflight.notes]),
        next_call=Call(tool="run", arguments=arguments, why="start it, with an idempotency_key of your choice"),
    )


def run(request: RunJobRequest, desk: Desk) -> JobsAnswer:
    """Start a run in a process of its own, or return the one that this key started before."""
    from tao_skill.run.detach import FIRST, detach, job_id_of, keep_request, never_began

    store = desk.store(request.results_root)
    job_id = job_id_of(request.idempotency_key)
    asked = _run_request(request)
    record = _existing(store, job_id)
    warnings: list[str] = []
    if record is not None:
        check_record(store, record, desk.roots_at(store))
        if remote_folder(store, job_id) is not None:  # the same key, asked for on another machine
            return _answer(store, record, False, [])
        keep_request(store, job_id, asked)
        started = never_began(store, record)
    else:
        planned, first = _first_record(request, desk, store, job_id)
        warnings = redacted([*planned.warnings, *planned.preflight.notes])
        keep_request(store, job_id, asked)
        record, started = _create(store, first)
    if started:
        _begin(store, record, lambda: detach(store, record, FIRST, asked))
    return _answer(store, store.reconcile(store.load(job_id)), started, warnings)


def resume(request: ResumeRequest, desk: Desk) -> JobsAnswer:
    """Go on with a training or a search that broke off, under the same id."""
    from tao_skill.run.detach import detach, next_attempt
    from tao_skill.run.overrides import read_search_settings
    from tao_skill.run.resume import check_resumable
    from tao_skill.run.stage import find_inputs

    store = desk.store(request.results_root)
    record = load_record(store, request.job_id, desk)
    refuse_foreign(store, record, "resumed")
    check_plain({f"automl.{key}": value for key, value in request.automl.items()})
    if not record.ended:  # a repeated call
        return _answer(store, record, False, ["it runs with the settings that it had"] if request.automl else [])
    check_resumable(store, record, request.automl)
    check_request({}, record.skill_dir or record.skill, desk.roots)  # its programs would be run from there
    skill, roots = find_skill(record.skill), desk.roots_at(store)
    check_search(skill, read_search_settings([request.automl]))
    check_spec_places(skill, record.spec, roots)
    check_links(find_inputs(record.spec, skill.info.actions[record.action].inputs), roots)
    if is_search(record):  # its winner is measured there
        data_root = load_history(record).data_root
        check_request({"data_root": data_root}, None, roots)
        check_links(_measured_on(skill, data_root), roots)
    detach(store, record, next_attempt(record), None, changes=request.automl)
    return _answer(store, store.load(record.job_id), True, [])


def _plan(request: PlanRequest, desk: Desk, store: JobStore, job_id: str | None) -> RunPlan:
    from tao_skill.run.make_plan import make_plan, read_form
    from tao_skill.run.overrides import read_overrides, read_search_settings

    roots = desk.roots_at(store)
    check_request({"data_root": request.data_root}, request.skill, roots)
    if request.parent_job_id is not None:
        parent = store.load(request.parent_job_id)
        check_record(store, parent, roots)
        check_request({}, request.skill or parent.skill_dir, roots)  # its programs would be run from there
    skill = skill_asked(_run_request(request), store)
    # Before anything is looked at: whether a path exists is no business of whoever may not go there.
    shorthands = skill.shorthands(request.action, flatten(read_form(skill, request.action).template).keys())
    read = read_overrides([request.overrides], shorthands, request.data_root)
    given = read.values
    check_spec_places(skill, given, roots)
    check_search(skill, read.automl)  # they may stand among the overrides
    check_search(skill, read_search_settings([request.automl]))
    check_links(_inputs_of(skill, request.action, request.data_root, given), roots)
    # The images are read by the process that carries the run out: a caller waits for no data set.
    made = make_plan(_run_request(request), skill, store, job_id, thorough=False)
    check_spec_places(skill, made.spec, roots)
    if made.search:
        check_links(_measured_on(skill, request.data_root), roots)
    return made


def _measured_on(skill: Skill, data_root: str | None) -> dict[str, Sequence[str]]:
    """Return the data below a root that the winner of a search is evaluated on, where there is an evaluation."""
    inputs = _inputs_of(skill, "evaluate", data_root, {}) if data_root else {}
    return {f"evaluate: {key}": uris for key, uris in inputs.items()}


def _inputs_of(
    skill: Skill, action: str, data_root: str | None, given: Mapping[str, Any]
) -> Mapping[str, Sequence[str]]:
    """Return what an action reads below a root and where it was told to, as far as the skill knows the action."""
    from tao_skill.run.data_sources import fill_data_sources
    from tao_skill.run.stage import find_inputs

    if action not in skill.info.actions:
        return {}
    sources, _ = fill_data_sources(skill.data_source_rows(action), data_root, given)
    return find_inputs(nest({**sources, **given}), skill.info.actions[action].inputs)


def _search_fact(search: Mapping[str, Any]) -> SearchFact:
    settings = search["settings"]
    return SearchFact(
        algorithm=search["algorithm"],
        metric=search["metric"],
        direction=search["direction"],
        trials=settings["automl_max_recommendations"],
        epochs=search["full_epochs"],
        minutes=settings["automl_max_minutes"],
        at_once=search["at_once"],
        searched=search["space"],
        left_out=search["left_out"],
    )


def _run_request(request: PlanRequest) -> RunRequest:
    values = request.model_dump(exclude=_OWN)
    return RunRequest(
        **values, overrides=[request.overrides], automl=_listed(request.automl), request=request.user_words
    )


def _listed(settings: dict[str, Any]) -> list[str | dict[str, Any]]:
    return [settings] if settings else []


def _existing(store: JobStore, job_id: str) -> JobRecord | None:
    try:
        return store.load(job_id)
    except JobError:
        return None


def _first_record(request: RunJobRequest, desk: Desk, store: JobStore, job_id: str) -> tuple[RunPlan, JobRecord]:
    from tao_skill.run.check_places import check_places
    from tao_skill.run.launch_action import record_of

    made = _plan(request, desk, store, job_id)
    check_places(made.inputs, store)
    return made, record_of(made)


def _create(store: JobStore, record: JobRecord) -> tuple[JobRecord, bool]:
    """Write the record; of several calls at the same time, one does, and starts the job."""
    try:
        return store.create(record, "asked for by a tool call"), True
    except JobError:
        found = _existing(store, record.job_id)
        if found is None:
            raise
        return found, False


def _begin(store: JobStore, record: JobRecord, start: Callable[[], None]) -> None:
    try:
        start()
    except TaoSkillError as error:
        store.update(
            record.job_id, status=JobStatus.ERROR, reason=error.message, error=error.document(), runner_pid=None
        )
        raise


def _answer(store: JobStore, record: JobRecord, started: bool, warnings: list[str]) -> JobsAnswer:
    return JobsAnswer(
        jobs=[job_fact(store, record)], total=1, started=started, warnings=warnings, next_call=progress_call(record)
    )
