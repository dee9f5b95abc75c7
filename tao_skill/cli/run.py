"""`run`: one action of a skill, or its plan."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tao_skill.cli.arguments import add_action, add_results_root, add_skill
from tao_skill.cli.next_command import with_results_root
from tao_skill.cli.outcome import Outcome, exit_code_of
from tao_skill.cli.search_text import review_lines, search_lines
from tao_skill.errors import Problem, StorageError, UsageError

if TYPE_CHECKING:
    from tao_skill.cli.progress import Echo
    from tao_skill.run.plan import RunPlan
    from tao_skill.run.request import RunRequest
    from tao_skill.run.result import RunResult

__all__ = ["add_platform", "add_to", "add_train_options", "request_of", "result_outcome", "run_request"]

# Actions with a setting `force`.
_OVERWRITE = ("export", "gen_trt_engine")
_MACRO = " (macro)"
_EXAMPLES = """examples:
  python -m tao_skill run train --data-root /data --automl-policy off
  python -m tao_skill run train --overrides num_epochs=30 dataset.train_dataset=/data/train --dry-run --json
  python -m tao_skill run evaluate --data-root /data --parent-job-id JOB
"""


def add_to(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "run",
        help="run an action: train, evaluate, inference, export, gen_trt_engine",
        description="Run an action of a skill. Overrides: KEY=VALUE, a JSON object, or @file.yaml; the last wins.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=parents,
    )
    add_action(parser)
    add_train_options(parser)
    parser.add_argument("--automl-policy", metavar="on|off", help="whether train goes to AutoML (default: on)")
    parser.add_argument("--force", action="store_true", help="export, gen_trt_engine: overwrite files that are there")
    parser.add_argument("--request", metavar="TEXT", help='the user\'s words, such as "plain training, no HPO"')
    parser.set_defaults(call=run_request)


def add_train_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `run` and `automl run` share."""
    add_skill(parser)
    parser.add_argument("--overrides", metavar="OVERRIDE", nargs="+", action="extend", default=[], help="settings")
    parser.add_argument(
        "--automl", metavar="SETTING", nargs="+", action="extend", default=[],
        help="settings of the search, for train, such as automl_max_recommendations=10",
    )  # fmt: skip
    add_platform(parser)
    parser.add_argument("--data-root", metavar="URI", help="where the skill's data sources lie")
    add_results_root(parser)
    parser.add_argument("--parent-job-id", metavar="ID", help="job whose model this run starts from")
    parser.add_argument(
        "--parent-checkpoint", metavar="WHICH", default="best", help="best (default), latest, or an epoch from 0"
    )
    parser.add_argument("--force-parent", action="store_true", help="take a parent job that is not COMPLETE")
    parser.add_argument("--yes", action="store_true", help="start a search without asking, at a terminal too")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop; nothing is written")


def add_platform(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the trials of a search run."""
    parser.add_argument(
        "--platform", choices=["local", "ray"], help="where trials of a search run: here, or on a Ray cluster"
    )
    parser.add_argument("--ray-address", metavar="ADDRESS", help="ray: auto (default), HOST:PORT, or local")


def platform_settings(options: argparse.Namespace) -> dict[str, str]:
    """Return the settings of a search that those options stand for."""
    given = {"automl_platform": options.platform, "automl_ray_address": options.ray_address}
    return {name: value for name, value in given.items() if value is not None}


def request_of(options: argparse.Namespace) -> RunRequest:
    """Return the request that the options make."""
    from tao_skill.run.request import RunRequest

    return RunRequest(
        action=options.action,
        skill=options.skill,
        overrides=[*options.overrides, *(_forced(options.action) if "force" in options and options.force else [])],
        data_root=options.data_root,
        results_root=options.results_root,
        parent_job_id=options.parent_job_id,
        parent_checkpoint=options.parent_checkpoint,
        force_parent=options.force_parent,
        automl_policy=options.automl_policy,
        automl=[*options.automl, *([platform] if (platform := platform_settings(options)) else [])],
        request=options.request,
    )


def _forced(action: str) -> list[str]:
    """Return what --force stands for.

    Raises:
        UsageError: the action overwrites nothing.
    """
    if action not in _OVERWRITE:
        raise UsageError(
            "--force lets files be overwritten that an action names.",
            problems=[Problem("--force", action, f"an action that has such files: {' or '.join(_OVERWRITE)}")],
            next_step=f"python -m tao_skill run {action}, without --force",
        )
    return [f"{action}.force=true"]


def run_request(options: argparse.Namespace) -> Outcome:
    """Run, or plan, what the options ask for."""
    request = request_of(options)
    if options.dry_run:
        from tao_skill.run.make_plan import plan_run

        return _plan_outcome(plan_run(request))
    from tao_skill.cli.progress import Echo, show_log
    from tao_skill.run.runner import run

    show_log("debug" in options)
    at_terminal = sys.stdin is not None and sys.stdin.isatty()
    if options.action == "train" and not options.yes and "json" not in options and at_terminal:
        _confirm_search(request)
    echo = Echo()
    return result_outcome(run(request, echo=echo), echo, options.results_root)


def _confirm_search(request: RunRequest) -> None:
    """Show a person at a terminal what a search will do, and ask whether it may begin.

    Raises:
        UsageError: it may not.
    """
    from tao_skill.run.make_plan import plan_run
    from tao_skill.run.review import review_plan

    plan = plan_run(request)
    if plan.search is None:
        return
    print("\n".join(review_lines(review_plan(request, plan))), file=sys.stderr)
    print("Measure what it costs: automl review. Start the search? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("The search was not started.", next_step="add --yes, or --automl-policy off to train directly")


def result_outcome(result: RunResult, echo: Echo | None = None, results_root: str | None = None) -> Outcome:
    """Return what to print of a job that ran below the ``results_root`` that was given, if one was.

    ``echo`` has shown its log, if anything has.
    """
    if result.error is not None:
        result.error.next_step = with_results_root(result.error.next_step, results_root)
    document = result.model_dump(mode="json")
    if result.error is None:
        del document["error"]
        incomplete = result.upload is not None and result.upload.state != "complete"
        warnings = (
            "\n".join(f"warning: {warning}" for warning in result.warnings) if incomplete or result.search else ""
        )
        return Outcome(
            document, _result_text(result, results_root), StorageError.exit_code if incomplete else 0, warnings
        )
    lines = []
    if echo is None or not echo.has_told(result.error.message):
        lines += [f"error: {result.error.message}"]
        lines += [f"  - {one.key} = {one.value!r}: {one.expected}" for one in result.error.problems]
        lines += [f"Next: {result.error.next_step}"] if result.error.next_step else []
    lines += [f"Log: {result.log}"]
    text = f"{result.action} {result.status}  job {result.job_id}"
    return Outcome(document, text, exit_code_of(result.error.code), "\n".join(lines))


def _result_text(result: RunResult, results_root: str | None) -> str:
    lines = [f"{result.action} {result.status}  job {result.job_id}"]
    lines.append(f"  results     {Path(result.log).parent}")
    if result.checkpoint:
        lines.append(f"  checkpoint  {result.checkpoint}")
    if result.action == "inference":
        lines.append("  answers     result.csv, and result.jsonl with what is unknown, in the results")
    lines += _metric_lines(result.metrics)
    if result.search is not None:
        lines += _search_lines(result.search)
    if result.action == "train":
        command = f"python -m tao_skill run evaluate --parent-job-id {result.job_id} --data-root URI"
        lines.append(f"Next: {with_results_root(command, results_root)}")
    return "\n".join(lines)


def _metric_lines(metrics: Mapping[str, float | None]) -> list[str]:
    """Return a line for each metric; the mean over classes stands behind the mean over queries where it differs."""
    plain = {name: value for name, value in metrics.items() if not name.endswith(_MACRO)}
    width = max((len(name) for name in plain), default=0)
    lines = []
    for name, value in plain.items():
        shown, macro = _number(value), _number(metrics.get(f"{name}{_MACRO}", value))
        lines.append(f"  {name:<{width}}  {shown}" + (f"  (mean over classes {macro})" if macro != shown else ""))
    return lines


def _search_lines(search: dict[str, Any]) -> list[str]:
    gain = search["gain"]
    lines = [
        f"  search      {search['trials']} trials ({search['algorithm']}): {search['end_reason']}",
        f"  baseline    {_number(search['baseline'])}; best {_number(search['best'])}, trial {search['best_trial']}"
        + ("" if gain is None else f" ({gain:+.4f})"),
        *(
            f"    {key} = {_number(value) if isinstance(value, float) else value}"
            for key, value in search["values"].items()
        ),
        f"  report      {search['report']}",
    ]
    final = search["final_evaluation"] or {}
    if final.get("status") == "measured":
        lines += [f"  {name}  {_number(value)}" for name, value in final["metrics"].items() if "Rank 1" in name]
    elif final:
        lines += [f"  the best was not evaluated: {final.get('reason', '')}"]
    return lines


def _shown(value: Any) -> str:
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.3g}"


def _plan_outcome(plan: RunPlan) -> Outcome:
    from tao_skill.config.keys import flatten
    from tao_skill.run.redaction import redacted

    lines = [f"{plan.action} would go to {plan.dispatch}: {plan.dispatch_reason}"]
    lines += [f"  results in  {plan.results_dir}", "  settings that differ from the template:"]
    chosen = {
        key: value for key, value in flatten(redacted(plan.spec)).items() if plan.provenance.get(key) != "template"
    }
    lines += [f"    {key} = {value!r}  ({plan.provenance.get(key, '')})" for key, value in chosen.items()]
    if plan.search is not None:
        lines += search_lines(plan.search)
    lines += [f"  note: {note}" for note in redacted([*plan.warnings, *plan.preflight.notes])]
    lines.append("Nothing was written. The whole plan: --json; to run it, leave --dry-run out.")
    return Outcome(plan.model_dump(mode="json"), "\n".join(lines))
