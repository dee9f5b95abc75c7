"""One model skill as programs see it: facts, tables, packaged schemas and templates."""

import difflib
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tao_skill.bank.documents import front_matter, read_json, read_text, read_yaml
from tao_skill.bank.location import SKILL_DOCUMENT, bank_root, skill_directories
from tao_skill.bank.skill_info import SkillInfo, load_skill_info
from tao_skill.bank.tables import (
    AUTOML_SUFFIX,
    DATA_SOURCE_HEADER,
    INFERENCE_HEADER,
    DataSourceRow,
    InferenceRow,
    has_table,
    monitored_metric,
    parse_data_sources,
    parse_inference,
)
from tao_skill.config.folders import at_home
from tao_skill.config.schema import NETWORK_ARCH, use_packaged
from tao_skill.errors import Problem, SkillError, UsageError

DEFAULT_SKILL = "tao-train-metric-learning-recognition"
SKILL_INFO = Path("references") / "skill_info.yaml"
DEPLOY_INFO = "references/tao-deploy-*.skill_info.yaml"
REGENERATE = "make schemas (in a checkout), or reinstall tao-skill"


@dataclass(frozen=True)
class SkillSummary:
    """What a listing says of any agent skill in the bank, whether it trains a model or not."""

    name: str
    description: str
    directory: Path
    is_model: bool


@dataclass(frozen=True)
class Skill:
    """A skill that trains a model: the files of its folder, read and checked."""

    name: str
    directory: Path
    info: SkillInfo
    data_sources: list[DataSourceRow]
    inference: list[InferenceRow]
    metric: str = ""

    @property
    def is_own(self) -> bool:
        """Say whether it trains this package's model, whose schemas and templates the package could make itself."""
        return self.info.network_arch == NETWORK_ARCH

    def schema(self, action: str) -> dict[str, Any]:
        """Return the packaged JSON Schema of ``action``.

        Raises:
            UsageError: unknown action.
            SkillError: the file is missing or does not parse.
        """
        self._check_action(action)
        path = self.directory / "schemas" / f"{action}.schema.json"
        document = read_json(path, self._repair(path), endless=not self.is_own)
        if self.directory == bank_root() / "skills" / DEFAULT_SKILL:
            use_packaged(action, document)
        return document

    def template(self, action: str) -> dict[str, Any]:
        """Return the packaged spec template of ``action``; raises as ``schema`` does."""
        self._check_action(action)
        named = self.info.spec_templates.get(action, f"references/spec_template_{action}.yaml")
        return read_yaml(self.directory / named, self._repair(self.directory / named))

    def automl_runnable(self) -> tuple[bool, str]:
        """Say whether AutoML could train with this skill: its train schema and template exist and parse."""
        for read in (self.schema, self.template):
            try:
                read("train")
            except UsageError as error:
                return False, error.message
        return True, ""

    def data_source_rows(self, action: str) -> list[DataSourceRow]:
        """Return the data sources of one action."""
        return [row for row in self.data_sources if row.action == action]

    def inference_rows(self, action: str, *, automl: bool = False) -> list[InferenceRow]:
        """Return the inference functions of one action.

        Inside an AutoML trial its own rows replace the plain rows of the same field.
        """
        rows = {row.spec_field: row for row in self.inference if row.action == action}
        if automl:
            wanted = action + AUTOML_SUFFIX
            rows |= {row.spec_field: row for row in self.inference if row.action == wanted}
        return list(rows.values())

    def shorthands(self, action: str, known: Collection[str]) -> dict[str, str]:
        """Return the spec key that each short name stands for in ``action``, whose own keys ``known`` holds.

        Facts of the deploy side come on top of the skill's. A name for a key of another action stands for the same
        leaf of this one, where it has one: ``batch_size`` is the batch size of the action that runs.
        """
        named = dict(self.info.spec_shorthand_keys)
        for path in sorted(self.directory.glob(DEPLOY_INFO)):
            facts = load_skill_info(path, foreign=not _in_bank(self.directory))
            if action in facts.actions:
                named |= facts.spec_shorthand_keys
        own = {name: f"{action}.{key.rpartition('.')[2]}" for name, key in named.items() if key not in known}
        return named | {name: key for name, key in own.items() if key in known}

    def _repair(self, path: Path) -> str:
        return REGENERATE if self.is_own else f"add or correct {path}"

    def _check_action(self, action: str) -> None:
        if action not in self.info.actions:
            known = list(self.info.actions)
            near = difflib.get_close_matches(action, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(known)}"
            raise UsageError(
                f"{self.name} has no action {action!r}.",
                problems=[Problem("action", action, hint)],
                next_step=f"python -m tao_skill skill show {self.name}",
            )


def find_skill(name: str | None = None) -> Skill:
    """Return the model skill called ``name``, or the one in the folder ``name`` names; the default when None.

    Raises:
        SkillError: unknown name (the nearest is named), or the skill's own files are missing or malformed.
    """
    wanted = name or DEFAULT_SKILL
    if os.sep in wanted or "/" in wanted:
        return load_skill(at_home(wanted).absolute())
    models = {path.name: path for path in skill_directories() if (path / SKILL_INFO).is_file()}
    others = [path.name for path in skill_directories() if path.name not in models]
    if wanted in models:
        return load_skill(models[wanted])
    known = ", ".join(models) or "none"
    near = difflib.get_close_matches(wanted, list(models), n=1)
    if wanted in others:
        hint = f"a skill that trains a model ({known}); this one has no {SKILL_INFO}"
    else:
        hint = f"did you mean {near[0]}?" if near else f"one of {known}"
    raise SkillError(
        f"There is no model skill {wanted!r}.",
        problems=[Problem("skill", wanted, f"{hint}; a folder is named with a slash, such as ./{wanted}")],
        next_step="python -m tao_skill skills",
    )


def list_skills() -> list[Skill]:
    """Return all skills of the bank that train a model, by name."""
    return [load_skill(path) for path in skill_directories() if (path / SKILL_INFO).is_file()]


def list_summaries() -> list[SkillSummary]:
    """Return name and description of every agent skill in the bank, by name."""
    return [_summary(path) for path in skill_directories()]


def load_skill(directory: Path) -> Skill:
    """Read the skill in ``directory`` and check that its files agree.

    Raises:
        SkillError: a file is missing or malformed, or a table speaks of an action the skill does not have.
    """
    own = _in_bank(directory)
    info = load_skill_info(directory / SKILL_INFO, foreign=not own)
    document = directory / SKILL_DOCUMENT
    if not document.exists():
        # Schema, template and facts are enough to tune what another runner's skill holds.
        return Skill(info.name, directory, info, [], [])
    text = read_text(document, f"add {document}")
    # A skill of another bank may say nothing in tables; one of this bank must.
    sources = parse_data_sources(text, str(document)) if own or has_table(text, DATA_SOURCE_HEADER) else []
    functions = parse_inference(text, str(document)) if own or has_table(text, INFERENCE_HEADER) else []
    spoken = [(row.line, row.action) for row in sources]
    spoken += [(row.line, row.action.removesuffix(AUTOML_SUFFIX)) for row in functions]
    expected = f"one of the actions in {SKILL_INFO}: {', '.join(info.actions)}"
    problems = [
        Problem(f"{document} line {line}", action, expected)
        for line, action in sorted(set(spoken))
        if action not in info.actions
    ]
    if problems:
        raise SkillError(f"{document} speaks of actions that the skill does not have.", problems=problems)
    return Skill(info.name, directory, info, sources, functions, monitored_metric(text))


def _in_bank(directory: Path) -> bool:
    return directory.parent == bank_root() / "skills"


def _summary(directory: Path) -> SkillSummary:
    document = directory / SKILL_DOCUMENT
    facts = front_matter(document, f"correct {document}, then: skills-ref validate {directory}")
    return SkillSummary(
        name=str(facts.get("name", directory.name)),
        description=str(facts.get("description", "")),
        directory=directory,
        is_model=(directory / SKILL_INFO).is_file(),
    )
