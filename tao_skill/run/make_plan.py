"""Make the plan: every decision of a run, in order, each by a pure function of its own."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tao_skill.bank.skill import Skill
from tao_skill.config.folders import action_folder, trouble_with_path
from tao_skill.config.foreign import is_own
from tao_skill.config.keys import flatten, get_leaf
from tao_skill.config.leaves import schema_leaves
from tao_skill.config.placeholder import is_given
from tao_skill.config.relations import without_effect
from tao_skill.config.schema import json_schema, template
from tao_skill.errors import Problem, SkillError, SpecError, StorageError, UsageError
from tao_skill.jobs.store import JobStore
from tao_skill.run.check_inputs import input_problems, output_keys, output_problems, results_root_problems
from tao_skill.run.checkpoint_files import read_record
from tao_skill.run.child_settings import ChildSettings, take_from_checkpoint
from tao_skill.run.cluster_needs import refuse_unshared
from tao_skill.run.data_sources import fill_data_sources
from tao_skill.run.dispatch import AUTOML, Dispatch, choose_dispatch
from tao_skill.run.inference_functions import Facts, Files, Resolution, resolve_fields
from tao_skill.run.look_at_data import look_at_local_data
from tao_skill.run.overrides import Overrides, flat_overrides, read_overrides, read_search_settings
from tao_skill.run.own_folder import refuse_shared_folder
from tao_skill.run.parent_job import find_parent
from tao_skill.run.plan import RunPlan
from tao_skill.run.plan_warnings import idle_options, left_here, not_looked_at
from tao_skill.run.policy import resolve_policy
from tao_skill.run.preflight import look_around
from tao_skill.run.remote_checkpoints import record_beside
from tao_skill.run.request import RunRequest, parse_parent_checkpoint
from tao_skill.run.results_root import open_store
from tao_skill.run.skill_of_job import skill_asked
from tao_skill.run.spec import CHECKPOINT, DATA_SOURCE, TEMPLATE, Assembled, Layer, assemble
from tao_skill.run.stage import absolute_inputs, find_inputs
from tao_skill.storage.locate import is_remote, local_path, redact

if TYPE_CHECKING:
    from tao_skill.config.automl import AutoML
    from tao_skill.run.prepare_search import PreparedSearch

__all__ = ["make_plan", "plan_run", "read_form", "search_settings"]

NO_JOB = "<job id>"
# Keys of the file that decides a model's shape, where they aren't the action's checkpoint and engine.
_MODEL_FILES = {
    "train": ("model.pretrained_model_path",),
    "export": ("export.checkpoint",),
    "gen_trt_engine": ("gen_trt_engine.onnx_file",),
}


@dataclass(frozen=True)
class _Form:
    """The packaged schema and template of an action, or the dataclasses' own with what was wrong with the packaged."""

    schema: Mapping[str, Any]
    template: Mapping[str, Any]
    trouble: str = ""


def plan_run(request: RunRequest) -> RunPlan:
    """Decide everything and write nothing: the dry run."""
    store = open_store(request.results_root)
    return make_plan(request, skill_asked(request, store), store)


def make_plan(
    request: RunRequest, skill: Skill, store: JobStore, job_id: str | None = None, *, thorough: bool = True
) -> RunPlan:
    """Return the plan of a run; nothing is written or moved.

    With a ``job_id`` the run is meant: then the images of local folders are read, too, unless ``thorough`` is False
    because whoever carries the run out reads them.

    Raises:
        TaoSkillError: what can't be run, with everything that is wrong.
    """
    form = read_form(skill, request.action)
    given = _given(request, skill, form)
    policy = resolve_policy(request.automl_policy, given.automl_policy, request.request)
    dispatch = choose_dispatch(request.action, policy, skill.info.automl_enabled, form.trouble)
    parent = find_parent(store, request.parent_job_id, request.force_parent) if request.parent_job_id else None
    results_dir = _results_dir(given, store.root / (job_id or NO_JOB))
    fields, assembled = _fill(
        request,
        skill,
        form,
        given=given,
        parent=parent,
        results_dir=results_dir,
        thorough=thorough and job_id is not None,
        known_problems=results_root_problems(store.root),
    )

    facts = skill.info.actions[request.action]
    paths = find_inputs(assembled.spec, [*facts.inputs, *output_keys(request.action, facts.outputs)])
    spec = absolute_inputs(assembled.spec, paths)
    results_dir = str(spec.get("results_dir") or results_dir)
    works_in = action_folder(request.action, spec, results_dir)
    refuse_shared_folder(store, job_id, works_in)
    inputs = find_inputs(spec, facts.inputs)
    gpus = get_leaf(spec, f"{request.action}.num_gpus", 1)
    prepared = _search(request, skill, form, given, spec) if dispatch.target == AUTOML else None
    if (request.automl or given.automl) and search_settings(request, given).automl_platform == "ray":
        if prepared is None:
            raise _no_search_for_ray(dispatch.reason)
        refuse_unshared(search_settings(request, given), store, inputs)
    warnings = [dispatch.warning or form.trouble, *(one.warning for one in fields), *assembled.warnings]
    warnings += prepared.told(meant=job_id is not None) if prepared is not None else []
    if job_id is None:
        warnings.append(not_looked_at(inputs, store))
    warnings += [*_idle_settings(request, given, dispatch), *idle_options(request, skill, given)]
    warnings += left_here(spec, facts.outputs, [store.folder(job_id or NO_JOB), works_in], store)
    return RunPlan(
        action=request.action,
        skill=skill.name,
        skill_dir=str(skill.directory),
        automl_policy=policy.value,
        policy_reason=policy.reason,
        dispatch=dispatch.target,
        dispatch_reason=dispatch.reason,
        job_id=job_id,
        parent_job=parent.job_id if parent else None,
        results_root=store.address,
        results_dir=results_dir,
        spec=spec,
        provenance=assembled.provenance,
        reasons={one.key: one.reason for one in fields},
        inputs=inputs,
        overrides=given.values,
        warnings=[warning for warning in warnings if warning],
        search=None if prepared is None else prepared.document(),
        preflight=look_around(store.root, gpus, training=request.action == "train"),
    )


def _given(request: RunRequest, skill: Skill, form: _Form) -> Overrides:
    """Read the overrides of a request, as the skill and the spec's own form understand them."""
    shorthands = skill.shorthands(request.action, flatten(form.template).keys())
    texts = {leaf.key for leaf in schema_leaves(form.schema) if leaf.is_text}
    return read_overrides(request.overrides, shorthands, request.data_root, text_keys=texts)


def _fill(
    request: RunRequest,
    skill: Skill,
    form: _Form,
    *,
    given: Overrides,
    parent: Files | None,
    results_dir: str,
    thorough: bool,
    known_problems: Sequence[Problem] = (),
) -> tuple[list[Resolution], Assembled]:
    """Lay data sources, inference functions, the checkpoint's settings and the overrides over the template."""
    action, defaults = request.action, flat_overrides(skill.info.key_defaults)
    declared = skill.info.actions[action]
    base = flatten(form.template) | defaults
    optional = [key for key, fact in declared.inputs.items() if fact.optional]
    replaced = [
        fact.replaces
        for key, fact in declared.inputs.items()
        if fact.replaces is not None and is_given(given.values.get(key))
    ]
    # Images that nothing is going to read need not be there, such as those for INT8 where the engine is FP32.
    idle = without_effect(schema_leaves(form.schema), base | given.values)
    sources, missing = fill_data_sources(
        skill.data_source_rows(action), request.data_root, given.values, optional=optional, unread={*replaced, *idle}
    )
    choose, epoch = parse_parent_checkpoint(request.parent_checkpoint)
    facts = Facts(action, results_dir, given.values, base | sources | given.values, parent, choose=choose, epoch=epoch)
    fields = resolve_fields(skill.inference_rows(action), facts)
    filled = [one for one in fields if one.value is not None]
    checkpoint = _child_settings(action, base, given, filled)
    layers = [
        Layer(defaults, TEMPLATE),
        Layer(sources, DATA_SOURCE),
        Layer({one.key: one.value for one in filled}, {one.key: one.source for one in filled}),
        Layer(checkpoint.values, CHECKPOINT),
        Layer(given.values, given.sources),
    ]
    problems = [*known_problems, *missing, *checkpoint.problems, *_misplaced(form, given)]

    def look(spec: Mapping[str, Any]) -> list[Problem]:
        of_outputs = output_problems(action, spec, declared.outputs)
        # A folder below the results root is as good as that.
        chosen = is_given(given.values.get("results_dir"))
        return [
            *input_problems(spec, declared.inputs, own=is_own(action, form.schema)),
            *(problem for problem in of_outputs if chosen or problem.key != "results_dir"),
        ]

    return fields, assemble(
        action, form.template, layers, schema=form.schema, left_out=checkpoint.left_out, known_problems=problems,
        look=look,
        look_at_data=lambda spec, told: look_at_local_data(action, spec, thorough=thorough, told=told),
    )  # fmt: skip


def _misplaced(form: _Form, given: Overrides) -> list[Problem]:
    """Say of settings of a search that stand among the overrides of a spec where they belong."""
    sections = {*form.template, *form.schema.get("properties", ())}
    unknown = {key: name for key in given.values if (name := key.partition(".")[0]) not in sections}
    if not unknown:
        return []
    from tao_skill.config.automl_settings import is_setting  # a moment to import, and seldom needed

    return [
        Problem(key, given.values[key], f"no such key of the spec; a setting of the search is --automl {name}=…")
        for key, name in unknown.items()
        if is_setting(name)
    ]


def _search(
    request: RunRequest, skill: Skill, form: _Form, given: Overrides, spec: Mapping[str, Any]
) -> PreparedSearch:
    """Return the search over this spec."""
    from tao_skill.run.prepare_search import prepare_search

    settings = search_settings(request, given)
    return prepare_search(skill, form.schema, spec, given.values, settings)


def _idle_settings(request: RunRequest, given: Overrides, dispatch: Dispatch) -> list[str]:
    """Check the settings of a search although there is none, and say that they do nothing."""
    named = [*given.automl, *read_search_settings(request.automl)]
    if not named or dispatch.target == AUTOML:
        return []
    search_settings(request, given)
    verb = "does" if len(named) == 1 else "do"
    return [f"{', '.join(dict.fromkeys(named))} {verb} nothing in this run, which is no search: {dispatch.reason}."]


def _no_search_for_ray(reason: str) -> UsageError:
    return UsageError(
        "Only a search over trainings runs on a Ray cluster.",
        problems=[Problem("--platform", "ray", f"local: this run is no search ({reason})")],
        next_step="leave --platform out, or let train search",
    )


def search_settings(request: RunRequest, given: Overrides) -> AutoML:
    """Return the settings of a search: those of the request over those among the overrides."""
    from tao_skill.config.automl_settings import read_settings

    return read_settings(given.automl | read_search_settings(request.automl))


def read_form(skill: Skill, action: str) -> _Form:
    """Return an action's schema and template.

    Raises:
        UsageError: the skill has no such action.
        SkillError: a file is missing or malformed, and the skill is none whose files could be made here.
    """
    if action not in skill.info.actions:
        known = list(skill.info.actions)
        near = difflib.get_close_matches(action, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(
            f"{skill.name} has no action {action!r}.",
            problems=[Problem("action", action, f"one of {', '.join(known)}{hint}")],
            next_step=f"python -m tao_skill skill show {skill.name}",
        )
    try:
        return _Form(skill.schema(action), skill.template(action))
    except SkillError as error:
        if not skill.is_own:
            raise
        return _Form(json_schema(action), template(action), error.message)


def _results_dir(given: Overrides, folder: Path) -> str:
    explicit = given.values.get("results_dir")
    if not is_given(explicit):
        return str(folder)
    if is_remote(str(explicit)):
        raise SpecError(
            "results_dir is where the action writes, so it must be a local folder.",
            problems=[Problem("results_dir", redact(str(explicit)), "a local folder; for a server use --results-root")],
            next_step=f"--results-root {redact(str(explicit))}",
        )
    try:
        return str(local_path(str(explicit)))
    except StorageError as error:
        expected = "; ".join(problem.expected for problem in error.problems)
        raise SpecError(error.message, problems=[Problem("results_dir", str(explicit), expected)]) from error


def _child_settings(
    action: str, base: Mapping[str, Any], given: Overrides, filled: Sequence[Resolution]
) -> ChildSettings:
    """Look beside the checkpoint that this run loads, if it loads one."""
    keys = _MODEL_FILES.get(action, (f"{action}.checkpoint", f"{action}.trt_engine"))
    values = [next((one.value for one in filled if one.key == key), given.values.get(key)) for key in keys]
    path = next((value for value in values if is_given(value)), None)
    if not isinstance(path, str):
        return ChildSettings()
    record = record_beside(path) if is_remote(path) else _record_here(path)
    # Training that starts from a whole model may still differ from it: only the model that is used as it is binds.
    return take_from_checkpoint(base.keys(), given.values, path, record, strict=action != "train")


def _record_here(path: str) -> dict[str, Any] | None:
    try:
        file = local_path(path)
    except StorageError:
        return None
    # Whoever looks at the inputs says what is wrong with the path.
    return None if trouble_with_path(file) else read_record(file.parent)
