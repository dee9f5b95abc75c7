"""The document ``references/skill_info.yaml``: what a skill can do, for programs."""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError

from tao_skill.bank.documents import read_yaml
from tao_skill.errors import Problem, SkillError

SpecKey = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
ShortName = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class InputFact(_Document):
    """One spec key that names a file or folder the action reads."""

    type: Literal["file", "folder"] = Field(description="What the path must be once it is on this machine.")
    optional: StrictBool = Field(default=False, description="Whether the action also runs without it.")
    list: StrictBool = Field(default=False, description="Whether the value is a list of such paths.")
    replaces: SpecKey | None = Field(
        default=None, description="Key of another input, which is neither needed nor read where this one is given."
    )


class OutputFact(_Document):
    """One spec key that names a file or folder the action writes."""

    type: Literal["file", "folder"] = Field(description="What the action leaves at the path.")


class ExecutionFact(_Document):
    """How another runner starts the action as a Python script."""

    type: Literal["python_script"] = Field(description="The only form: a script of this skill.")
    script: str = Field(min_length=1, description="Path of the script inside the skill's folder.")
    args: list[str] = Field(
        default=["--config", "{config_path}"], description="Arguments; {config_path} stands for the spec's file."
    )
    config_format: Literal["yaml", "json"] = Field(default="yaml", description="Form of the spec's file.")


class ActionFact(_Document):
    """One action of the skill."""

    command: str = Field(default="", description="Command line that runs it; {config_path} stands for the spec's file.")
    config_format: Literal["yaml", "json"] = Field(default="yaml", description="Form of the spec's file.")
    mode: Literal["config"] = Field(default="config", description="The action takes one spec file.")
    execution: ExecutionFact | None = Field(default=None, description="The same for runners of scripts.")
    inputs: dict[SpecKey, InputFact] = Field(default_factory=dict, description="Spec keys that name what it reads.")
    outputs: dict[SpecKey, OutputFact] = Field(default_factory=dict, description="Spec keys that name what it writes.")
    upload_excludes: list[str] = Field(
        default_factory=list, description="Patterns (fnmatch) of result paths that are not uploaded."
    )

    @property
    def spec_format(self) -> Literal["yaml", "json"]:
        """Return the form of the spec's file for whatever runs the action: its script, where it has one."""
        return self.config_format if self.execution is None else self.execution.config_format


class SkillInfo(_Document):
    """The facts of one skill, as its ``references/skill_info.yaml`` states them."""

    name: str = Field(description="Name of the skill and of its folder.")
    network_arch: str = Field(default="", description="Name of the network in job records and requests.")
    automl_enabled: StrictBool = Field(description="Whether training goes to AutoML unless a run says off.")
    container_image: str | None = Field(default=None, description="Container image; none is needed.")
    data_format: str = Field(default="default", description="Form of the data sets.")
    gpu_spec_key: SpecKey | None = Field(default=None, description="Spec key that sets the number of GPUs.")
    actions: dict[Name, ActionFact] = Field(min_length=1, description="The actions, by name.")
    key_defaults: dict[SpecKey, Any] = Field(
        default_factory=dict, description="Values that replace the template's for this skill."
    )
    spec_shorthand_keys: dict[ShortName, SpecKey] = Field(
        default_factory=dict, description="Short names a user may type for a spec key."
    )
    spec_templates: dict[Name, str] = Field(
        default_factory=dict, description="Template of each action, relative to the skill's folder."
    )
    description: str = Field(default="", description="What the skill is for, in a sentence or two.")


def load_skill_info(path: Path, *, foreign: bool = False) -> SkillInfo:
    """Read and check one skill_info.yaml; in a ``foreign`` one, unknown keys are another program's and left alone.

    Raises:
        SkillError: the file is missing or malformed; every wrong key is named, unknown ones with the nearest.
    """
    next_step = f"correct {path}; its form is in schemas/skill_info.schema.json"
    document = read_yaml(path, next_step)
    try:
        return SkillInfo.model_validate(document, extra="ignore" if foreign else None)
    except ValidationError as error:
        raise SkillError(
            f"{path} does not have the form of a skill_info document.",
            problems=[_problem(path, dict(detail)) for detail in error.errors(include_url=False)],
            next_step=next_step,
        ) from error


def _problem(path: Path, detail: dict[str, Any]) -> Problem:
    location = [str(part) for part in detail["loc"] if part != "[key]"]
    key = f"{path.name}: {'.'.join(location)}"
    if detail["type"] == "extra_forbidden":
        known = sorted(_model_at(location[:-1]).model_fields)
        near = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        return Problem(key, detail["input"], f"no such key; {hint}")
    value = "missing" if detail["type"] == "missing" else detail["input"]
    return Problem(key, value, str(detail["msg"]))


def _model_at(location: list[str]) -> type[BaseModel]:
    """Return the model that holds the keys at ``location``, stepping through dictionaries of models."""
    model: type[BaseModel] = SkillInfo
    inside: type[BaseModel] | None = None
    for part in location:
        if inside is not None:
            model, inside = inside, None
            continue
        field = model.model_fields.get(part)
        if field is None:
            break
        found = [kind for kind in _kinds(field.annotation) if issubclass(kind, BaseModel)]
        if not found:
            break
        if getattr(field.annotation, "__origin__", None) is dict:
            inside = found[0]
        else:
            model = found[0]
    return model


def _kinds(annotation: Any) -> list[type]:
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation]
    return [kind for part in get_args(annotation) for kind in _kinds(part)]
