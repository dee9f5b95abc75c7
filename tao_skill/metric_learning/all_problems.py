"""Tell what is wrong with the data beside what is wrong with the model, so that one attempt tells everything."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tao_skill.config.typed import sound_spec
from tao_skill.errors import NotAvailableError, Problem, UsageError
from tao_skill.metric_learning.data.for_spec import look_at_data

__all__ = ["all_problems", "model_problems"]


@contextmanager
def all_problems(action: str, spec: Any) -> Iterator[None]:
    """Look at the data of a typed spec as well, where loading the model within fails.

    Raises:
        UsageError, NotAvailableError: of the kind that was raised within, with the problems of both.
    """
    try:
        yield
    except (UsageError, NotAvailableError) as error:
        told = {problem.key for problem in error.problems}
        found = look_at_data(action, spec, decode=True).problems
        more = [problem for problem in found if problem.key not in told]
        if not more:
            raise
        raise type(error)(
            f"{error.message} The data has problems as well.",
            problems=[*error.problems, *more],
            next_step="correct what is listed and give the same command again",
        ) from error


def model_problems(action: str, given: Mapping[str, Any]) -> list[Problem]:
    """Return why the model of a nested spec can't be loaded; loads torch, and the model to find out."""
    spec = sound_spec(action, given)
    if spec.model.timm_pretrained:  # it would be fetched, for a run that can't start
        return []
    try:
        if action == "train":
            from tao_skill.metric_learning.training.start import load_start

            load_start(spec)
        else:
            from tao_skill.metric_learning.model_for_spec import prepare

            prepare(action, given)
    except (UsageError, NotAvailableError) as error:
        return error.problems
    return []
