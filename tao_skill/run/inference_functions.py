"""Fill the spec fields that the user left open, each by the function that SKILL.md names for it.

Every function is pure: it reads `Facts` and returns a value or None, with the reason either way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tao_skill.bank.tables import InferenceRow
from tao_skill.config.placeholder import is_given
from tao_skill.errors import CheckpointError, Problem, SkillError
from tao_skill.run.checkpoint_choice import Candidate, Choose, Consumer, select

__all__ = ["FUNCTIONS", "Facts", "Files", "Resolution", "resolve_fields"]

PARENT = "parent job"
FUNCTION = "inference function"
_MADE_BY: dict[str, Consumer] = {"train": "torch", "export": "onnx", "gen_trt_engine": "engine"}
_READS: dict[str, Consumer] = {"onnx_file": "onnx", "trt_engine": "engine"}
# What a field takes beside what it asks for first.
_ALSO_READS: dict[str, Consumer] = {"evaluate.checkpoint": "onnx", "inference.checkpoint": "onnx"}
# Of these fields of an action one is given, not both.
_EITHER = ("checkpoint", "trt_engine")
_WORDS: dict[Consumer, str] = {"torch": "checkpoint", "onnx": "ONNX file", "engine": "TensorRT engine"}


@dataclass(frozen=True)
class Files:
    """What a job left in its folder."""

    job_id: str
    action: str
    folder: Path | str
    candidates: Sequence[Candidate] = ()

    def place(self, path: str) -> str:
        """Return where a file of the job is; ``folder`` is a URI where the job worked elsewhere."""
        return f"{self.folder}/{path}" if isinstance(self.folder, str) else str(self.folder / path)


@dataclass(frozen=True)
class Facts:
    """All that the functions may look at.

    ``explicit`` holds what the user set and ``spec`` all values so far, both by dotted key. ``own`` are the files of
    this very job (a resumed one), ``resume_from`` those of an AutoML trial that this one continues, ``recommended``
    the keys that an AutoML trial set.
    """

    action: str
    results_dir: str
    explicit: Mapping[str, Any] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    parent: Files | None = None
    own: Files | None = None
    resume_from: Files | None = None
    choose: Choose = "best"
    epoch: int | None = None
    recommended: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Resolution:
    """What became of one field; ``value`` None means that it stays open."""

    key: str
    function: str
    value: Any
    source: str
    reason: str
    warning: str = ""


Function = Callable[[InferenceRow, Facts], Resolution]


def resolve_fields(rows: Iterable[InferenceRow], facts: Facts) -> list[Resolution]:
    """Return one resolution for each row, in order; later rows see what earlier ones filled.

    Raises:
        SkillError: a row names an unknown function.
        CheckpointError: a parent job was given, but no field can take what it made.
    """
    listed = list(rows)
    unknown = [row for row in listed if row.function not in FUNCTIONS]
    if unknown:
        raise SkillError(
            "SKILL.md names inference functions that don't exist.",
            problems=[
                Problem(f"SKILL.md line {row.line}: {row.spec_field}", row.function, f"one of {', '.join(FUNCTIONS)}")
                for row in unknown
            ],
            next_step="correct the row, or upgrade tao-skill",
        )
    resolutions: list[Resolution] = []
    for row in listed:
        resolution = _resolve(row, facts)
        resolutions.append(resolution)
        if resolution.value is not None:
            facts = replace(facts, spec={**facts.spec, row.spec_field: resolution.value})
    _check_parent_used(listed, resolutions, facts)
    return resolutions


def _resolve(row: InferenceRow, facts: Facts) -> Resolution:
    given = facts.explicit.get(row.spec_field)
    if is_given(given):
        return _open(row, "given by the user")
    # An empty value is a wish too ("no pretrained weights"), but not where the action can't do without one.
    if row.spec_field in facts.explicit and row.function != "parent_model":
        return _open(row, "left empty by the user")
    return FUNCTIONS[row.function](row, facts)


def _check_parent_used(rows: Sequence[InferenceRow], resolutions: Sequence[Resolution], facts: Facts) -> None:
    asked = [one for row, one in zip(rows, resolutions, strict=True) if row.function == "parent_model"]
    if facts.parent is None or not asked or any(one.value is not None for one in asked):
        return
    if any(is_given(facts.explicit.get(one.key)) for one in asked):
        return
    makers = " or ".join(sorted({_maker(one.key) for one in asked}))
    raise CheckpointError(
        f"Parent job {facts.parent.job_id} made nothing that {facts.action} can load: it is a job of "
        f"{facts.parent.action}.",
        problems=[Problem(one.key, None, one.reason) for one in asked],
        next_step=f"--parent-job-id of a job of {makers}",
    )


def _maker(key: str) -> str:
    wanted = _consumer(key)
    return next(action for action, made in _MADE_BY.items() if made == wanted)


def _consumer(key: str) -> Consumer:
    return _READS.get(key.rpartition(".")[2], "torch")


def _parent_model(row: InferenceRow, facts: Facts) -> Resolution:
    if facts.parent is None:
        return _open(row, "no parent job was given")
    wanted, made = _consumer(row.spec_field), _MADE_BY.get(facts.parent.action)
    if made is not None and made == _ALSO_READS.get(row.spec_field):
        wanted = made
    if wanted != made:
        return _open(row, f"a {facts.parent.action} job makes no {_WORDS[wanted]}")
    section, _, own = row.spec_field.rpartition(".")
    # Where an action reads an ONNX file, an engine is what it writes.
    for name in _EITHER if own in _EITHER else ():
        sibling = f"{section}.{name}"
        if sibling != row.spec_field and is_given(facts.explicit.get(sibling)):
            return _open(row, f"{sibling} was given instead")
    return _selected(row, facts.parent, PARENT, consumer=wanted, choose=facts.choose, epoch=facts.epoch)


def _parent_model_folder(row: InferenceRow, facts: Facts) -> Resolution:
    model = _parent_model(row, facts)
    return model if model.value is None else replace(model, value=model.value.rpartition("/")[0])


def _resume_model(row: InferenceRow, facts: Facts) -> Resolution:
    own = _to_go_on_from(facts)
    if own is None:
        return _open(row, "this job has no checkpoint of its own to go on from")
    return _selected(row, own, FUNCTION)


def _to_go_on_from(facts: Facts) -> Files | None:
    """Return the checkpoints that the job's training can go on from; those recorded as the best hold weights alone."""
    if facts.own is None:
        return None
    held = [one for one in facts.own.candidates if one.periodic or not one.recorded]
    return replace(facts.own, candidates=held) if held else None


def _ptm_if_no_resume_model(row: InferenceRow, facts: Facts) -> Resolution:
    resume_key = "train.resume_training_checkpoint_path"
    if is_given(facts.explicit.get(resume_key)) or _to_go_on_from(facts) is not None:
        return _open(row, "training goes on from a checkpoint, which holds all weights")
    if facts.parent is None:
        return _open(row, "no parent job and no pretrained model were given")
    if _MADE_BY.get(facts.parent.action) != "torch":
        return _open(row, f"a {facts.parent.action} job makes no checkpoint")
    return _selected(row, facts.parent, PARENT, choose=facts.choose, epoch=facts.epoch)


def _output_dir(row: InferenceRow, facts: Facts) -> Resolution:
    return _filled(row, facts.results_dir, "the folder of this job")


def _output_file(name: str) -> Function:
    def function(row: InferenceRow, facts: Facts) -> Resolution:
        own = facts.explicit.get(f"{facts.action}.results_dir")
        base = facts.explicit.get("results_dir")
        root = base if is_given(base) else facts.results_dir
        folder = str(own) if is_given(own) else f"{root}/{facts.action}"
        return _filled(row, f"{folder}/{name}", "a new file in the folder of this job")

    return function


def _key(row: InferenceRow, _facts: Facts) -> Resolution:
    return _open(row, "checkpoints are never encrypted")


def _automl_assign_ptm(row: InferenceRow, facts: Facts) -> Resolution:
    if facts.own is not None and facts.own.candidates:
        return _selected(row, facts.own, FUNCTION)
    return _ptm_if_no_resume_model(row, facts)


def _automl_resume_model(row: InferenceRow, facts: Facts) -> Resolution:
    source = facts.resume_from or facts.own
    if source is None or not source.candidates:
        return _open(row, "this trial continues no other")
    return _selected(row, source, FUNCTION)


def _assign_const_value(row: InferenceRow, facts: Facts) -> Resolution:
    """Keep an interval within its limit: the first argument; a second argument is taken as it is."""
    names = row.args
    own = facts.spec.get(row.spec_field)
    values = [value for name in names if isinstance(value := facts.spec.get(name), int | float)]
    if len(names) not in (1, 2) or len(values) != len(names):
        return _open(row, f"{', '.join(names) or 'no argument'} holds no number to follow")
    limit = values[0]
    if len(names) == 2:
        return _filled(row, values[1], f"the same as {names[1]}")
    if names[0] in facts.recommended or not isinstance(own, int | float):
        return _filled(row, limit, f"the same as {names[0]}, which the trial set")
    return _filled(row, min(own, limit), f"not more than {names[0]} = {limit}")


def _selected(
    row: InferenceRow,
    files: Files,
    source: str,
    *,
    consumer: Consumer = "torch",
    choose: Choose = "latest",
    epoch: int | None = None,
) -> Resolution:
    choice = select(files.candidates, consumer, choose, epoch)
    path = files.place(choice.path)
    reason = f"{row.function}: {choice.path} of job {files.job_id}, {choice.reason}"
    return Resolution(row.spec_field, row.function, path, source, reason, choice.warning)


def _filled(row: InferenceRow, value: Any, reason: str) -> Resolution:
    return Resolution(row.spec_field, row.function, value, FUNCTION, f"{row.function}: {reason}")


def _open(row: InferenceRow, reason: str) -> Resolution:
    return Resolution(row.spec_field, row.function, None, "", f"{row.function}: {reason}")


FUNCTIONS: dict[str, Function] = {
    "parent_model": _parent_model,
    "parent_model_folder": _parent_model_folder,
    "resume_model": _resume_model,
    "ptm_if_no_resume_model": _ptm_if_no_resume_model,
    "output_dir": _output_dir,
    "create_onnx_file": _output_file("model.onnx"),
    "create_engine_file": _output_file("model.engine"),
    "create_cal_cache": _output_file("cal.bin"),
    "key": _key,
    "automl_output_dir": _output_dir,
    "automl_assign_ptm": _automl_assign_ptm,
    "automl_ptm_if_no_resume_model": _ptm_if_no_resume_model,
    "automl_resume_model": _automl_resume_model,
    "assign_const_value": _assign_const_value,
}
