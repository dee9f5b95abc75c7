"""The manifest of a skill's schemas."""

from typing import Any

from tao_skill.bank.manifest import Manifest, build_manifest
from tao_skill.bank.skill import find_skill

TRAIN: dict[str, Any] = {
    "automl_default_parameters": ["a.b"],
    "automl_disabled_parameters": ["c"],
    "popular": {"a.b": 1},
    "x_tao_schema": {"core_module": "some.module"},
}


def test_keys_and_failures() -> None:  # R7
    info = find_skill().info
    manifest = build_manifest(info, {"train": TRAIN})
    assert set(manifest) == {"schema_version", "model", "network_arch", "automl_enabled", "actions", "failures"}
    assert (manifest["network_arch"], manifest["automl_enabled"]) == ("ml_recog", True)
    assert manifest["actions"]["train"] == {
        "path": "schemas/train.schema.json",
        "template": "references/spec_template_train.yaml",
        "core_module": "some.module",
        "automl_default_parameters": ["a.b"],
        "automl_disabled_parameters": ["c"],
        "popular": {"a.b": 1},
    }
    assert set(manifest["failures"]) == set(info.actions) - {"train"}
    assert Manifest.model_validate(manifest).model == info.name
