"""TAO's own AutoML runner and spec files with this skill, as it is.

The runner is NVIDIA's nvidia-tao-automl with nvidia-tao-sdk, in an environment of its own: TAO_AUTOML_PYTHON names its
python. Without it these tests are skipped.
"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tao_skill.bank.skill import DEFAULT_SKILL
from tao_skill.config import ACTIONS
from tao_skill.config.keys import nest

ROOT = Path(__file__).parents[2]
SKILL = ROOT / "skills" / DEFAULT_SKILL
PEER = os.environ.get("TAO_AUTOML_PYTHON", "")
TABLE = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo/known_classes"
SMALL = {
    "train.num_epochs": 1,
    "train.batch_size": 8,
    "dataset.num_instance": 2,
    "model.timm_name": "resnet10t",
    "model.input_width": 32,
    "model.input_height": 32,
    "model.feat_dim": 16,
    "dataset.gaussian_blur.enabled": False,
    "dataset.workers": 0,
    "wandb.enable": False,
}
TWO_RECOMMENDATIONS = """
import json, sys
from tao_automl.runner import AutoMLRunner, _extract_metric_from_logs
from tao_sdk.platforms.virtualenv import VirtualEnvSDK
skill, venv, work, overrides = sys.argv[1:5]
sdk = VirtualEnvSDK(venv_path=venv, work_dir=f"{work}/sdk")
runner = AutoMLRunner(sdk, skill_dir=skill, action="train", poll_interval=2)
metric = "val Precision at Rank 1"
result = runner.run(
    workspace_path=f"{work}/workspace",
    automl_settings={"algorithm": "bayesian", "automl_max_recommendations": 2, "run_baseline": False, "metric": metric,
                     "direction": "maximize"},
    automl_hyperparameters=["train.optim.trunk.base_lr", "train.optim.embedder.base_lr"],
    spec_overrides=json.loads(overrides), gpu_count=0,
)
log = sdk.get_job_logs(result["best"]["job_id"], tail=500)
found = {"result": result, "from_log": _extract_metric_from_logs(log, metric), "jobs": sdk.list_jobs()}
print(json.dumps(found, default=str))
"""
READ_SKILL = """
import sys
from pathlib import Path
from tao_automl.runner import SkillContext, _validate_external_automl_schema, _validate_specs_against_schema
for action in sys.argv[2:]:
    context = SkillContext(skill_dir=Path(sys.argv[1]), action=action)
    place = Path(sys.argv[1]) / "schemas" / f"{action}.schema.json"
    if action == "train":
        assert context.execution is not None
        _validate_external_automl_schema(context.schema, place)
    _validate_specs_against_schema(context.default_specs, context.schema, place, require_all=True, source=action)
    print(action, len(context.valid_spec_keys))
"""

pytestmark = pytest.mark.long
needs_peer = pytest.mark.skipif(not PEER, reason="TAO_AUTOML_PYTHON names no python with nvidia-tao-automl")


def peer(folder: Path, program: str, *words: str) -> str:
    environment = os.environ | {"TAO_SDK_STATE_DIR": str(folder / "state"), "HOME": str(folder)}
    done = subprocess.run(
        [PEER, "-c", program, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@needs_peer
def test_its_strict_loader_reads_every_schema(tmp_path: Path) -> None:
    assert len(peer(tmp_path, READ_SKILL, str(SKILL), *ACTIONS).splitlines()) == len(ACTIONS)


@needs_peer
def test_two_recommendations_on_the_cpu(tmp_path: Path, data_root: Path) -> None:
    data = {
        "dataset.train_dataset": f"{data_root}/{TABLE}/train.tar.gz",
        "dataset.val_dataset.reference": f"{data_root}/{TABLE}/reference.tar.gz",
        "dataset.val_dataset.query": f"{data_root}/{TABLE}/val.tar.gz",
    }
    before = {path: path.read_bytes() for path in SKILL.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    folders = data | {key: str(extracted(tmp_path, uri)) for key, uri in data.items()}
    said = peer(tmp_path, TWO_RECOMMENDATIONS, str(SKILL), sys.prefix, str(tmp_path), json.dumps(SMALL | folders))
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    history = answer["result"]["history"]
    assert [one["status"] for one in history] == ["success", "success"]
    assert all(0 <= one["metric"] <= 1 for one in history)
    assert 0 <= answer["from_log"] <= 1
    assert len(answer["jobs"]) == 2
    for document in answer["jobs"]:
        told = json.loads((Path(document["results_dir"]).parent / "metadata.json").read_text())
        assert obeys_ours(document, "job_record") >= {"job_id", "action", "status", "results_dir", "created_at"}
        assert obeys_ours(told, "job_record") >= {"job_id", "status", "results_dir", "pid"}
        assert obeys_ours(told, "results") == {"job_id", "status", "results_dir"}
        if document["job_id"] != answer["result"]["best"]["job_id"]:
            continue  # the runner clears what the others made
        made = Path(document["results_dir"]) / "results_dir" / "train"
        assert {"status.json", "results.json", "spec.yaml", "model_best.pth"} <= {path.name for path in made.iterdir()}
    assert before == {path: path.read_bytes() for path in before}


def obeys_ours(document: dict[str, Any], schema: str) -> set[str]:
    """Check what a document says under names that our schema has too, and return those names."""
    packaged = json.loads((ROOT / "schemas" / f"{schema}.schema.json").read_text())
    names = document.keys() & packaged["properties"].keys()
    for name in names:
        jsonschema.Draft202012Validator(packaged["properties"][name]).validate(document[name])
    return set(names)


def extracted(folder: Path, archive: str) -> Path:
    target = folder / "data" / Path(archive).name.partition(".")[0]
    target.mkdir(parents=True)
    subprocess.run(["tar", "-xzf", archive, "-C", str(target), "--strip-components=1"], check=True)
    return target


def test_a_spec_file_of_tao_with_all_its_keys_is_accepted(tmp_path: Path, data_root: Path) -> None:
    """Every key of release 7.x with its default, and the data; what has no meaning in train is named."""
    with (ROOT / "tests" / "config" / "peer_fields.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] not in ("object", "") and row["default"]]
    spec = {row["key"]: json.loads(row["default"]) for row in rows}
    assert len(spec) > 80
    data = {
        "dataset.train_dataset": str(extracted(tmp_path, f"{data_root}/{TABLE}/train.tar.gz")),
        "dataset.val_dataset.reference": str(extracted(tmp_path, f"{data_root}/{TABLE}/reference.tar.gz")),
        "dataset.val_dataset.query": str(extracted(tmp_path, f"{data_root}/{TABLE}/val.tar.gz")),
        "results_dir": str(tmp_path / "results"),
    }
    changes = {"train.num_epochs": 1, "model.input_width": 32, "model.input_height": 32, "dataset.workers": 0}
    file_ = tmp_path / "spec.yaml"
    file_.write_text(yaml.safe_dump(nest(spec | data | changes)))
    words = [sys.executable, "-m", "tao_skill.cli.ml_recog", "train", "-e", str(file_), "--json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "val Precision at Rank 1" in json.loads(done.stdout)["metrics"]
    foreign = [key for key in spec if key.partition(".")[0] in ("evaluate", "inference", "export", "gen_trt_engine")]
    unnamed = [key for key in foreign if key not in done.stderr]
    assert not unnamed, unnamed
