"""A bank of its own for each test: the skill's documents, with schemas and templates made from the dataclasses."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tao_skill.bank.skill import DEFAULT_SKILL, Skill, find_skill
from tao_skill.config import ACTIONS
from tao_skill.config.schema import json_schema, template
from tao_skill.config.yaml_text import dump_yaml

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def bank_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bank")
    skill = root / "skills" / DEFAULT_SKILL
    for part in ("SKILL.md", "references/skill_info.yaml", "scripts/train.py"):
        (skill / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / "skills" / DEFAULT_SKILL / part, skill / part)
    (skill / "schemas").mkdir()
    for action in ACTIONS:
        (skill / "schemas" / f"{action}.schema.json").write_text(json.dumps(json_schema(action)))
        (skill / "references" / f"spec_template_{action}.yaml").write_text(dump_yaml(template(action)))
    return root


@pytest.fixture
def skill(bank_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Skill]:
    root = tmp_path / "bank"
    shutil.copytree(bank_source, root)
    monkeypatch.setenv("TAO_SKILL_BANK_PATH", str(root))
    monkeypatch.setenv("TAO_SKILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TAO_RESULTS_ROOT", raising=False)
    return find_skill()


@pytest.fixture
def data_root(tmp_path: Path, small_sets: Callable[[Path], Path]) -> Path:
    """Return a root that has every data source of the skill, as small folders."""
    return small_sets(tmp_path / "data")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Return a file that stands for weights without a record beside them."""
    (tmp_path / "c.pth").write_bytes(b"\x80\x02w")
    return tmp_path / "c.pth"
