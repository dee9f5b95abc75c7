"""The actions of the recogniser: a checked spec and a folder in, results out."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tao_skill.config.build import build_spec
from tao_skill.config.folders import action_folder
from tao_skill.config.secrets import masked
from tao_skill.config.yaml_text import dump_yaml
from tao_skill.errors import InternalError
from tao_skill.metric_learning.first_process import name_of_follower
from tao_skill.metric_learning.foreign_errors import translated
from tao_skill.metric_learning.importing import importing_for_good
from tao_skill.metric_learning.late_packages import make_packages_late
from tao_skill.metric_learning.retrieval.report import write_results_json
from tao_skill.metric_learning.status import FollowersLog, StatusLog

__all__ = ["run_action"]

log = logging.getLogger(__name__)


def run_action(action: str, spec: Mapping[str, Any], *, results_dir: Path) -> dict[str, Any]:
    """Run an action of a nested spec with local paths and return its results document.

    Files go to ``<results_dir>/<action>``, or to ``<action>.results_dir`` where the spec sets it. A spec of a child
    action may leave out model.* and dataset.pixel_*: they come from its checkpoint. Of processes that train together
    only the first writes and has results; the others return an empty document.

    Raises:
        TaoSkillError: with all problems; also written to status.json.
    """
    make_packages_late()
    folder = action_folder(action, spec, results_dir)
    follower = name_of_follower()
    status = FollowersLog(folder / "status.json", follower) if follower else StatusLog(folder / "status.json")
    status.started(f"{action} starts.")
    if not follower:
        (folder / "spec.yaml").write_text(dump_yaml(masked(spec)), encoding="utf-8")
    try:
        with translated(action, spec, folder):
            with importing_for_good():
                run = _action(action)
            results = run(spec, folder, status)
    except KeyboardInterrupt:
        status.failure(f"{action} was canceled.")
        raise
    except BaseException as error:
        status.failure(f"{action} failed: {error or type(error).__name__}")
        raise
    if follower:
        return {}
    document = {"action": action, "status": "COMPLETE", "results_dir": str(folder), **results}
    write_results_json(folder / "results.json", document)
    status.success(f"{action} is done.", kpi=results.get("metrics"))
    return document


Runner = Callable[[Mapping[str, Any], Path, StatusLog], dict[str, Any]]


def _action(action: str) -> Runner:
    """Return an action's function, importing only what it needs."""
    if action == "train":
        from tao_skill.metric_learning.training.fit import train

        return partial(_train, train)
    if action == "evaluate":
        from tao_skill.metric_learning.evaluate import evaluate

        return evaluate
    if action == "inference":
        from tao_skill.metric_learning.inference import infer

        return infer
    if action == "gen_trt_engine":
        from tao_skill.metric_learning.export.gen_engine import gen_trt_engine

        return gen_trt_engine
    if action == "export":
        from tao_skill.metric_learning.export.action import export

        return export
    raise InternalError(f"{action} has no program.")


def _train(
    train: Callable[..., dict[str, Any]], given: Mapping[str, Any], folder: Path, status: StatusLog
) -> dict[str, Any]:
    spec, warnings = build_spec("train", given)
    for warning in warnings:
        log.warning("%s", warning)
    results = train(spec, folder, status)
    return {**results, "warnings": [*warnings, *results["warnings"]]}
