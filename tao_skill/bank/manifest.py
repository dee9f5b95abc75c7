"""The document ``schemas/manifest.json`` of a skill: its actions and what each schema offers to AutoML."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tao_skill.bank.skill_info import SkillInfo

MANIFEST_VERSION = "1.0"


class ActionEntry(BaseModel):
    """One action that has a packaged schema."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    path: str = Field(description="JSON Schema of the action, relative to the skill's folder.")
    template: str = Field(description="Spec template of the action, relative to the skill's folder.")
    core_module: str = Field(description="Python module that the schema was generated from.")
    automl_default_parameters: list[str] = Field(description="Parameters that AutoML searches by default.")
    automl_disabled_parameters: list[str] = Field(description="Parameters that AutoML leaves alone.")
    popular: dict[str, Any] = Field(description="Parameters that users set most, with their defaults.")


class Manifest(BaseModel):
    """The packaged schemas of one skill."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    schema_version: str = Field(description="Version of this form.")
    model: str = Field(description="Name of the skill.")
    network_arch: str = Field(description="Name of the network in job records and requests.")
    automl_enabled: bool = Field(description="Whether training goes to AutoML unless a run says off.")
    actions: dict[str, ActionEntry] = Field(description="The actions that have a schema, by name.")
    failures: dict[str, str] = Field(description="Actions without a schema, with the reason.")


def build_manifest(info: SkillInfo, schemas: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the manifest of a skill from its facts and the JSON Schema of each action.

    An action that ``info`` names and ``schemas`` lacks is listed under ``failures``.
    """
    entries: dict[str, ActionEntry] = {}
    failures: dict[str, str] = {}
    for action in info.actions:
        if action in schemas:
            entries[action] = _entry(action, info, schemas[action])
        else:
            failures[action] = "no schema was generated"
    manifest = Manifest(
        schema_version=MANIFEST_VERSION,
        model=info.name,
        network_arch=info.network_arch,
        automl_enabled=info.automl_enabled,
        actions=entries,
        failures=failures,
    )
    return manifest.model_dump()


def _entry(action: str, info: SkillInfo, schema: Mapping[str, Any]) -> ActionEntry:
    origin = schema.get("x_tao_schema", {})
    return ActionEntry(
        path=f"schemas/{action}.schema.json",
        template=info.spec_templates.get(action, f"references/spec_template_{action}.yaml"),
        core_module=str(origin.get("core_module", origin.get("source", ""))),
        automl_default_parameters=list(schema.get("automl_default_parameters", ())),
        automl_disabled_parameters=list(schema.get("automl_disabled_parameters", ())),
        popular=dict(schema.get("popular", {})),
    )
