"""`automl`: search for better hyper-parameters, look at a search, go on with it, end it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tao_skill.cli.arguments import add_results_root
from tao_skill.cli.next_command import with_results_root
from tao_skill.cli.outcome import Outcome
from tao_skill.cli.search_text import review_lines, values_text
from tao_skill.errors import JobError, UsageError

if TYPE_CHECKING:
    from tao_skill.automl.history import SearchHistory
    from tao_skill.jobs.record import JobRecord
    from tao_skill.jobs.store import JobStore

__all__ = ["add_to"]

_EXAMPLES = """examples:
  python -m tao_skill automl run --data-root /data --yes --automl automl_max_recommendations=10
  python -m tao_skill automl run --skill path/to/a/skill --automl automl_algorithm=asha metric=accuracy
  python -m tao_skill automl status JOB
"""


def add_to(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    from tao_skill.cli.run import add_platform, add_train_options

    parser = commands.add_parser(
        "automl",
        help="search for better hyper-parameters; look at a search, resume or stop it",
        description="Search for better hyper-parameters of any skill that can be tuned.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=parents,
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True, dest="verb")
    run = verbs.add_parser(
        "run", help="train with a search, as `run train` does by default", description="Search.", parents=parents
    )
    add_train_options(run)
    run.set_defaults(call=_run)
    review = verbs.add_parser(
        "review", help="what a search would do and cost; trains a few steps to measure",
        description="Look before a search.", parents=parents,
    )  # fmt: skip
    add_train_options(review)
    review.add_argument(
        "--measure", type=float, default=120.0, metavar="SECONDS",
        help="train the baseline for a few steps, or for so long, to measure it (default 120; 0: don't)",
    )  # fmt: skip
    review.set_defaults(call=_review)
    _add(verbs, parents, "status", "where a search stands, and its best trial so far", _status)
    _add(verbs, parents, "report", "all trials of a search, and where its files are", _report)
    _add(verbs, parents, "stop", "end a search; what it found is kept", _stop)
    resume = _add(verbs, parents, "resume", "go on with a search that was stopped or killed", _resume)
    resume.add_argument(
        "--automl", metavar="SETTING", nargs="+", action="extend", default=[],
        help="what it goes on with, such as automl_max_minutes=120",
    )  # fmt: skip
    add_platform(resume)


def _add(
    verbs: Any,
    parents: Sequence[argparse.ArgumentParser],
    name: str,
    says: str,
    call: Callable[[argparse.Namespace], Outcome],
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=says, description=f"AutoML: {says}.", parents=parents)
    parser.add_argument("job_id", metavar="JOB", help="job of the search")
    add_results_root(parser)
    parser.set_defaults(call=call)
    return parser


def _run(options: argparse.Namespace) -> Outcome:
    from tao_skill.cli.run import request_of, run_request
    from tao_skill.run.make_plan import plan_run

    options.action, options.automl_policy, options.request = "train", "on", None
    plan = plan_run(request_of(options))
    if plan.search is None:
        raise UsageError(
            f"{plan.skill} can't be searched: {plan.dispatch_reason}.",
            next_step="python -m tao_skill run train" + (f" --skill {options.skill}" if options.skill else ""),
        )
    return run_request(options)


def _review(options: argparse.Namespace) -> Outcome:
    from tao_skill.cli.run import request_of
    from tao_skill.run.review import review_search

    options.action, options.automl_policy, options.request = "train", "on", None
    found = review_search(request_of(options), 0.0 if options.dry_run else options.measure)
    lines = [*review_lines(found), "Next: the same with `automl run` in place of `automl review`"]
    return Outcome(found, "\n".join(lines))


class _Search(NamedTuple):
    """A search as it stands; ``elsewhere`` is the URI of its folder where it worked on another machine."""

    store: JobStore
    record: JobRecord
    history: SearchHistory
    elsewhere: str | None

    def summary(self) -> dict[str, Any]:
        from tao_skill.run.launch_search import summary

        return summary(self.history, self.record, self.elsewhere)


def _load(options: argparse.Namespace) -> _Search:
    """Return a search; nothing is written, so that the results root may be read-only."""
    from tao_skill.run.remote_jobs import remote_folder
    from tao_skill.run.results_root import open_store
    from tao_skill.run.search_history import load_history

    store = open_store(options.results_root)
    record = store.judge(store.load(options.job_id))
    elsewhere = remote_folder(store, record.job_id)
    return _Search(store, record, load_history(record, elsewhere), elsewhere)


def _status(options: argparse.Namespace) -> Outcome:
    from tao_skill.run.final_evaluation import lacks_evaluation

    found = _load(options)
    record, history = found.record, found.history
    short = found.summary() | {"job_id": record.job_id, "status": str(record.status)}
    running = [trial.number for trial in history.trials if trial.state == "running"]
    lines = [
        f"search {record.job_id} {record.status}: {len(history.trials)} trials, {_minutes(history.seconds)}",
        f"  {history.metric}: baseline {_number(short['baseline'])}, best {_number(short['best'])}"
        + (f" (trial {history.winner}, job {record.best_child})" if history.winner is not None else ""),
    ]
    word = "ran when it broke off" if record.ended else "running"
    lines += [f"  {word}: {', '.join(f'trial {number}' for number in running)}"] if running else []
    lines += [f"  ended: {history.end_reason}"] if history.end_reason else []
    if lacks_evaluation(record, history):
        why = (history.final_evaluation or {}).get("reason", "")
        lines += [f"  its winner was not measured{f' ({why})' if why else ''}: `automl resume` does that"]
    lines += [f"Next: {_next(record, options, found.elsewhere)}"]
    return Outcome(short, "\n".join(lines))


def _next(record: JobRecord, options: argparse.Namespace, elsewhere: str | None = None) -> str:
    step = f"python -m tao_skill automl resume {record.job_id}"
    if record.status == "COMPLETE":
        step = f"python -m tao_skill run evaluate --parent-job-id {record.job_id} --data-root URI"
    elif elsewhere is not None:  # it can be stopped and resumed only there
        step = f"python -m tao_skill run evaluate --parent-job-id {elsewhere} --force-parent --data-root URI"
    elif not record.ended:
        step = f"python -m tao_skill automl stop {record.job_id}, or wait"
    elif record.best_child is not None:
        best = f"python -m tao_skill run evaluate --parent-job-id {record.job_id} --force-parent --data-root URI"
        step = f"{step}; what it found so far: {best}"
    return with_results_root(step, options.results_root)


def _report(options: argparse.Namespace) -> Outcome:
    from tao_skill.automl.documents import search_report

    found = _load(options)
    history, short, note = found.history, found.summary(), ""
    if found.elsewhere is None:
        history, note = _renewed(found)
    report = search_report(history)
    lines = [
        f"{'trial':<7}{'state':<10}{'epochs':>7}{history.metric:>{len(history.metric) + 2}}  values",
        *(
            f"{trial.number:<7}{trial.state:<10}{trial.last_epoch:>7}"
            f"{_number(trial.best_value):>{len(history.metric) + 2}}  {values_text(trial.values)}"
            for trial in history.trials
        ),
        *(f"not searched: {key} ({why})" for key, why in history.left_out.items()),
        f"files: {short['page']}, {short['report']}, {short['best_rec']}",
    ]
    return Outcome(report.model_dump(mode="json"), "\n".join(lines), message=note)


def _renewed(found: _Search) -> tuple[SearchHistory, str]:
    """Write the files of a search anew; where they can't be written, say so and go by what was written before."""
    from tao_skill.run.search_files import write_report

    try:
        return write_report(found.store, found.record), ""
    except JobError as error:
        return found.history, f"note: the files are as they were: {error.message}"


def _stop(options: argparse.Namespace) -> Outcome:
    from tao_skill.run.cancel import cancel_job

    found = _load(options)
    stopped = cancel_job(found.store, found.record.job_id, by="automl stop")
    document = {"job_id": stopped.job_id, "status": str(stopped.status), "best_child": stopped.best_child}
    return Outcome(document, f"Search {stopped.job_id} is {stopped.status}.\nNext: {_next(stopped, options)}")


def _resume(options: argparse.Namespace) -> Outcome:
    from tao_skill.cli.progress import show_log
    from tao_skill.cli.run import platform_settings, result_outcome
    from tao_skill.run.launch_search import resume_search
    from tao_skill.run.overrides import read_search_settings
    from tao_skill.run.results_root import open_store

    show_log("debug" in options)
    changes = read_search_settings([*options.automl, platform_settings(options)])
    result = resume_search(open_store(options.results_root), options.job_id, changes)
    return result_outcome(result, results_root=options.results_root)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
