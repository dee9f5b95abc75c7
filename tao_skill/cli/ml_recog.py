"""`ml_recog <action> -e spec.yaml [key=value …]`: the trainer itself, as a person or a runner starts it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tao_skill.cli.arguments import add_action
from tao_skill.cli.outcome import Outcome, error_outcome, print_outcome
from tao_skill.cli.parser import Parser, asks_for_json, common_options
from tao_skill.cli.progress import show_log
from tao_skill.errors import Problem, SpecError

__all__ = ["main"]

DEFAULT_RESULTS = "results"
ERROR_FILE = "error.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one action from a spec file and return its exit code.

    Of processes that train together, only the first has results to print; the others tell their errors.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    folder: Path | None = None
    from tao_skill.config.folders import action_folder
    from tao_skill.metric_learning.first_process import name_of_follower

    follower = name_of_follower()
    try:
        options = _parser().parse_intermixed_args(words)
        show_log(debug, errors_only=bool(follower))
        spec = _read_spec(options.action, options.spec, options.overrides)
        if not follower:
            folder = action_folder(options.action, spec, _results_dir(spec))
            (folder / ERROR_FILE).unlink(missing_ok=True)
        outcome = _run(options.action, spec, brief=options.brief)
    except (Exception, KeyboardInterrupt) as error:
        outcome = error_outcome(error, debug)
        _keep_error(folder, outcome)
    if follower:
        message = f"{follower}: {outcome.message}" if outcome.message else ""
        return print_outcome(Outcome(None, exit_code=outcome.exit_code, message=message), as_json=False)
    return print_outcome(outcome, asks_for_json(words))


def _parser() -> Parser:
    parser = Parser(
        prog="ml_recog",
        description="Run one action of the recognition model from a spec file.",
        parents=[common_options()],
    )
    add_action(parser)
    parser.add_argument("-e", "--experiment-spec", dest="spec", required=True, metavar="FILE", help="YAML or JSON spec")
    parser.add_argument("--brief", action="store_true", help="say how it ended without listing metrics")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings that differ from the file")
    return parser


def _read_spec(action: str, file: str, overrides: Sequence[str]) -> dict[str, Any]:
    from tao_skill.config.action_names import ACTIONS
    from tao_skill.config.keys import nest
    from tao_skill.config.leaves import leaves
    from tao_skill.run.overrides import flat_overrides, read_document, read_overrides

    texts = {leaf.key for leaf in leaves(action) if leaf.is_text} if action in ACTIONS else ()
    values = flat_overrides(read_document(file)) | read_overrides(overrides, text_keys=texts).values
    _refuse_interpolations(file, values)
    return nest(values)


def _refuse_interpolations(file: str, values: dict[str, Any]) -> None:
    problems = [
        Problem(key, value, "the value itself: ${…} isn't resolved")
        for key, value in values.items()
        if any(isinstance(one, str) and "${" in one for one in (value if isinstance(value, list) else [value]))
    ]
    if problems:
        raise SpecError(
            f"{file} holds ${{…}} interpolations, which aren't resolved.",
            problems=problems,
            next_step=f"write the values in their place, or behind the command: {problems[0].key}=VALUE",
        )


def _run(action: str, spec: dict[str, Any], brief: bool) -> Outcome:
    from tao_skill.config.actions import spec_class
    from tao_skill.run.packages import needing

    spec_class(action)
    with needing("train", action):
        from tao_skill.metric_learning.importing import importing_for_good

        with importing_for_good():
            from tao_skill.metric_learning.actions import run_action

        results = run_action(action, spec, results_dir=Path(_results_dir(spec)))
    return Outcome(results, _text(action, results, brief))


def _results_dir(spec: dict[str, Any]) -> str:
    return str(spec.get("results_dir") or DEFAULT_RESULTS)


def _keep_error(folder: Path | None, outcome: Outcome) -> None:
    """Leave the error beside the results, where a runner that waits for this process finds it whole."""
    if folder is None or not folder.is_dir():
        return
    try:
        (folder / ERROR_FILE).write_text(json.dumps(outcome.document["error"], indent=2, default=str), encoding="utf-8")
    except OSError as error:
        print(f"{folder / ERROR_FILE} can't be written: {error}", file=sys.stderr)


def _text(action: str, results: dict[str, Any], brief: bool) -> str:
    lines = [f"{action} {results.get('status', 'done')}, results in {results.get('results_dir', '')}"]
    metrics = {} if brief else results.get("metrics") or {}
    width = max((len(str(name)) for name in metrics), default=0)
    # "name: value" is what runners look for in a log.
    lines += [f"  {f'{name}:':<{width + 1}} {value}" for name, value in metrics.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
