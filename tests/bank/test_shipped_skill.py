"""The shipped skill says what its requirements say."""

import re
import runpy
from pathlib import Path

import pytest

from tao_skill.bank.documents import front_matter
from tao_skill.bank.location import bank_root
from tao_skill.bank.skill import find_skill
from tao_skill.bank.skill_info import load_skill_info
from tao_skill.cli import ml_recog
from tao_skill.config.keys import flatten
from tao_skill.config.leaves import known_keys

SKILL = find_skill()
TEXT = (SKILL.directory / "SKILL.md").read_text()
FRONT = front_matter(SKILL.directory / "SKILL.md", "")
DEMO = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"


def test_name_title_and_size() -> None:  # R1 R3
    assert FRONT["name"] == SKILL.directory.name == "tao-train-metric-learning-recognition"
    assert re.search(r"^# ML Recog$", TEXT, re.MULTILINE)
    assert SKILL.info.network_arch == "ml_recog"
    assert len(TEXT.splitlines()) < 250


@pytest.mark.parametrize(
    "phrase",
    ["train metric learning", "ml-recog", "retrieval embeddings", "triplet loss recognition", "fine-grained matching"],
)
def test_trigger_phrases(phrase: str) -> None:  # R2
    assert f'"{phrase}"' in FRONT["description"]


@pytest.mark.parametrize(
    "word", ["fine-grained", "embedding", "retrieval", "triplet", "contrastive", "Use when", "export", "inference"]
)
def test_the_description_says_what_and_when(word: str) -> None:  # R1
    assert word in FRONT["description"]


def test_data_sources() -> None:  # R26 R27 R28 R29 R30 and the calibration images of R71
    unknown, known = f"{DEMO}/unknown_classes", f"{DEMO}/known_classes"
    found = {(row.action, row.spec_key): (row.source, row.files, row.is_list) for row in SKILL.data_sources}
    assert found == {
        ("evaluate", "dataset.val_dataset"): (
            "train_datasets",
            {"reference": f"{unknown}/reference.tar.gz", "query": f"{unknown}/test.tar.gz"},
            False,
        ),
        ("inference", "dataset.val_dataset"): (
            "train_datasets",
            {"reference": f"{unknown}/reference.tar.gz", "query": ""},
            False,
        ),
        ("inference", "inference.input_path"): ("train_datasets", f"{unknown}/test.tar.gz", False),
        ("train", "dataset.train_dataset"): ("train_datasets", f"{known}/train.tar.gz", False),
        ("train", "dataset.val_dataset"): (
            "train_datasets",
            {"reference": f"{known}/reference.tar.gz", "query": f"{known}/val.tar.gz"},
            False,
        ),
        ("gen_trt_engine", "gen_trt_engine.tensorrt.calibration.cal_image_dir"): (
            "train_datasets",
            f"{known}/test.tar.gz",
            True,
        ),
    }


FUNCTIONS = {  # R59 to R68, then R71
    ("evaluate", "evaluate.checkpoint"): "parent_model",
    ("evaluate", "results_dir"): "output_dir",
    ("export", "export.checkpoint"): "parent_model",
    ("export", "export.onnx_file"): "create_onnx_file",
    ("export", "results_dir"): "output_dir",
    ("inference", "inference.checkpoint"): "parent_model",
    ("inference", "results_dir"): "output_dir",
    ("train", "model.pretrained_model_path"): "ptm_if_no_resume_model",
    ("train", "results_dir"): "output_dir",
    ("train", "train.resume_training_checkpoint_path"): "resume_model",
    ("evaluate", "evaluate.trt_engine"): "parent_model",
    ("inference", "inference.trt_engine"): "parent_model",
    ("gen_trt_engine", "gen_trt_engine.onnx_file"): "parent_model",
    ("gen_trt_engine", "gen_trt_engine.trt_engine"): "create_engine_file",
    ("gen_trt_engine", "gen_trt_engine.tensorrt.calibration.cal_cache_file"): "create_cal_cache",
    ("gen_trt_engine", "results_dir"): "output_dir",
    **{(action, "encryption_key"): "key" for action in SKILL.info.actions},
    ("train (AutoML)", "results_dir"): "automl_output_dir",
    ("train (AutoML)", "model.pretrained_model_path"): "automl_assign_ptm",
    ("train (AutoML)", "train.resume_training_checkpoint_path"): "automl_resume_model",
    ("train (AutoML)", "train.checkpoint_interval"): "assign_const_value,train.num_epochs",
    ("train (AutoML)", "train.validation_interval"): ("assign_const_value,train.num_epochs,train.checkpoint_interval"),
}


def test_inference_functions() -> None:  # R58 to R68 R71
    found = {(row.action, row.spec_field): ",".join((row.function, *row.args)) for row in SKILL.inference}
    assert found == FUNCTIONS


def test_every_key_of_the_tables_and_facts_is_a_key_of_its_action() -> None:
    deploy = load_skill_info(SKILL.directory / "references" / "tao-deploy-metric-learning-recognition.skill_info.yaml")
    keys = [(row.action, row.spec_field) for row in SKILL.inference]
    keys += [(row.action, row.spec_key) for row in SKILL.data_sources if row.spec_key != "dataset.val_dataset"]
    for info in (SKILL.info, deploy):
        keys += [(name, key) for name, action in info.actions.items() for key in (*action.inputs, *action.outputs)]
        keys += [("", key) for key in info.spec_shorthand_keys.values()]
    readers = known_keys()
    assert [key for _, key in keys if key not in readers] == []
    wrong = [(action, key) for action, key in keys if action and action.split(" ")[0] not in readers[key]]
    assert wrong == []


def test_facts() -> None:  # R9 R24 R72 R73 R74
    info = SKILL.info
    assert info.automl_enabled is True
    assert not info.container_image
    assert (info.data_format, info.gpu_spec_key) == ("default", "train.num_gpus")
    assert set(info.actions) == {"train", "evaluate", "inference", "export", "gen_trt_engine"}
    train = info.actions["train"]
    assert train.command == "ml_recog train -e {config_path}"
    assert (train.config_format, train.mode) == ("yaml", "config")
    assert train.inputs["model.pretrained_trunk_path"].optional
    assert train.inputs["model.pretrained_embedder_path"].optional
    assert set(info.spec_shorthand_keys) == {
        "num_epochs", "batch_size", "val_batch_size", "eval_batch_size", "infer_batch_size", "trunk_learning_rate",
        "embedder_learning_rate", "feat_dim", "input_width", "input_height", "resume_checkpoint",
    }  # fmt: skip
    assert info.spec_shorthand_keys["eval_batch_size"] == "evaluate.batch_size"


def test_the_train_script_exists_and_takes_the_arguments_it_is_given() -> None:
    execution = SKILL.info.actions["train"].execution
    assert execution is not None
    assert execution.args == ["--config", "{config_path}"]
    assert (SKILL.directory / execution.script).is_file()


def test_the_train_script_hands_its_config_to_the_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []
    monkeypatch.setattr(ml_recog, "main", lambda arguments: given.append(arguments) or 3)
    script = runpy.run_path(str(SKILL.directory / "scripts" / "train.py"))
    assert script["main"](["--config", str(tmp_path / "spec.json")]) == 3
    assert given == [["train", "-e", str(tmp_path / "spec.json")]]


def test_deploy_facts_agree_with_the_main_ones() -> None:  # R5 R6 R73 R75 8.27
    references = SKILL.directory / "references"
    deploy = load_skill_info(references / "tao-deploy-metric-learning-recognition.skill_info.yaml")
    assert (references / "tao-deploy-metric-learning-recognition.md").is_file()
    assert set(deploy.actions) == {"gen_trt_engine", "evaluate", "inference"}
    assert deploy.actions["gen_trt_engine"] == SKILL.info.actions["gen_trt_engine"]
    assert deploy.actions["gen_trt_engine"].inputs["gen_trt_engine.tensorrt.calibration.cal_image_dir"].list
    assert set(deploy.spec_shorthand_keys) == {
        "trt_data_type", "trt_engine", "batch_size", "infer_batch_size", "cal_batch_size", "cal_batches",
    }  # fmt: skip
    assert all(name.startswith("references/spec_template_deploy_") for name in deploy.spec_templates.values())
    ordered = TEXT.index("references/tao-deploy-metric-learning-recognition.md")
    assert "first" in TEXT[ordered : ordered + 60]


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("train", {"batch_size": "train.batch_size", "num_epochs": "train.num_epochs"}),
        ("evaluate", {"batch_size": "evaluate.batch_size", "trt_engine": "evaluate.trt_engine"}),
        ("inference", {"infer_batch_size": "inference.batch_size", "batch_size": "inference.batch_size"}),
        ("export", {"batch_size": "export.batch_size", "feat_dim": "model.feat_dim"}),
        (
            "gen_trt_engine",
            {
                "trt_data_type": "gen_trt_engine.tensorrt.data_type",
                "trt_engine": "gen_trt_engine.trt_engine",
                "batch_size": "gen_trt_engine.batch_size",
                "cal_batch_size": "gen_trt_engine.tensorrt.calibration.cal_batch_size",
                "cal_batches": "gen_trt_engine.tensorrt.calibration.cal_batches",
            },
        ),
    ],
)
def test_short_names_stand_for_keys_of_the_action_that_runs(action: str, expected: dict[str, str]) -> None:  # R73
    found = SKILL.shorthands(action, flatten(SKILL.template(action)).keys())
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("phrase", ["turn off AutoML", "disable AutoML", "no HPO", "plain training"])
def test_policy_words(phrase: str) -> None:  # R17
    assert f'"{phrase}"' in TEXT


@pytest.mark.parametrize(
    "fact",
    [
        "tao-skill-bank:tao-run-automl",  # R19
        "AutoML is enabled but not runnable",  # R22
        "`val Precision at Rank 1`",  # R25
        "s3://bucket/data/train",  # R32
        "16 GB",  # R55
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1",  # R57
        "model.pretrained_model_path",  # R4
    ],
)
def test_facts_that_the_document_must_state(fact: str) -> None:
    assert fact in " ".join(TEXT.split())


def test_upload_excludes_match_what_they_mean() -> None:  # 8.25
    from fnmatch import fnmatch

    for action in SKILL.info.actions.values():
        assert any(fnmatch("inputs/train/a.jpg", pattern) for pattern in action.upload_excludes)


def test_nothing_names_a_place_outside_the_package() -> None:  # R12
    for path in [*(bank_root() / "tao_skill").rglob("*.py"), *SKILL.directory.rglob("*.*")]:
        if path.suffix in (".py", ".md", ".yaml", ".json"):
            assert "tao-core" not in path.read_text(), path
