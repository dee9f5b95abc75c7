"""Evaluate and inference of a model that was really trained."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from pyarrow import parquet

from tao_skill.config.keys import nest
from tao_skill.errors import CheckpointError, DataError, SpecError
from tao_skill.metric_learning.actions import run_action
from tao_skill.metric_learning.gallery.commands import add_to_gallery

SMALL = {"model.timm_name": "resnet10t", "model.input_width": 48, "model.input_height": 32, "model.feat_dim": 16}


@pytest.fixture(scope="module")
def trained(task: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the best checkpoint of a short training, with an input that is wider than high."""
    folder = tmp_path_factory.mktemp("trained")
    data = {
        "dataset.train_dataset": str(task["train"]),
        "dataset.val_dataset.reference": str(task["reference"]),
        "dataset.val_dataset.query": str(task["query"]),
    }
    quick = {"train.num_epochs": 3, "train.batch_size": 8, "dataset.num_instance": 2, "train.optim.warmup_iters": 1}
    result = run_action("train", nest(SMALL | data | quick | {"dataset.workers": 0}), results_dir=folder)
    return Path(result["checkpoint"])


@pytest.fixture
def evaluation(task: dict[str, Path], trained: Path) -> dict[str, Any]:
    return {
        "evaluate.checkpoint": str(trained),
        "dataset.val_dataset.reference": str(task["reference"]),
        "dataset.val_dataset.query": str(task["query"]),
        "dataset.workers": 0,
    }


@pytest.fixture
def recognition(task: dict[str, Path], trained: Path) -> dict[str, Any]:
    return {
        "inference.checkpoint": str(trained),
        "inference.input_path": str(task["query"]),
        "dataset.val_dataset.reference": str(task["reference"]),
        "dataset.workers": 0,
        "inference.topk": 2,
    }


def run(action: str, flat: dict[str, Any], folder: Path) -> dict[str, Any]:
    return run_action(action, nest(flat), results_dir=folder)


def test_evaluate_writes_the_promised_metrics(evaluation: dict[str, Any], tmp_path: Path) -> None:
    result = run("evaluate", evaluation | {"evaluate.topk": 3}, tmp_path)
    names = {"test_AMI", "test_NMI", "test Top-3 Accuracy"}
    for name in ("Mean Average Precision", "Mean Reciprocal Rank", "r-Precision", "Precision at Rank 1"):
        names |= {f"test {name}", f"test {name} (macro)"}
    assert names <= set(result["metrics"])
    assert result["num_queries"] == 12
    assert result["num_references"] == 6
    stored = json.loads((tmp_path / "evaluate" / "results.json").read_text())
    assert stored["metrics"] == result["metrics"]
    with (tmp_path / "evaluate" / "per_class.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    mean = sum(float(row["precision_at_1"]) for row in rows) / len(rows)
    assert mean == pytest.approx(result["metrics"]["test Precision at Rank 1 (macro)"])


def test_evaluation_equals_the_validation_of_that_epoch(
    evaluation: dict[str, Any], trained: Path, tmp_path: Path
) -> None:
    header = torch.load(trained, weights_only=True)["tao_skill"]
    result = run("evaluate", evaluation, tmp_path)
    for name in ("Precision at Rank 1", "Mean Average Precision"):
        assert result["metrics"][f"test {name}"] == pytest.approx(header["metrics"][f"val {name}"])


def test_evaluation_does_not_depend_on_the_batch_size(evaluation: dict[str, Any], tmp_path: Path) -> None:
    first = run("evaluate", evaluation | {"evaluate.batch_size": 5}, tmp_path / "a")
    second = run("evaluate", evaluation | {"evaluate.batch_size": 12}, tmp_path / "b")
    assert first["metrics"] == pytest.approx(second["metrics"])


def test_per_class_file_is_left_out_on_request(evaluation: dict[str, Any], tmp_path: Path) -> None:
    run("evaluate", evaluation | {"evaluate.report_accuracy_per_class": False}, tmp_path)
    assert not (tmp_path / "evaluate" / "per_class.csv").exists()


def test_settings_of_the_checkpoint_may_be_repeated_but_not_contradicted(
    evaluation: dict[str, Any], tmp_path: Path
) -> None:
    run("evaluate", evaluation | SMALL, tmp_path)
    wrong = {"model.feat_dim": 32, "model.input_width": 32, "dataset.pixel_mean": [0.5, 0.5, 0.5]}
    with pytest.raises(CheckpointError) as raised:
        run("evaluate", evaluation | wrong, tmp_path)
    assert {problem.key for problem in raised.value.problems} == set(wrong)


def test_untrained_model_can_be_measured(evaluation: dict[str, Any], trained: Path, tmp_path: Path) -> None:
    content = torch.load(trained, weights_only=True)["state_dict"]
    prefix = "recogniser.trunk."
    trunk = {name.removeprefix(prefix): value for name, value in content.items() if name.startswith(prefix)}
    torch.save(trunk, tmp_path / "trunk.pth")
    del evaluation["evaluate.checkpoint"]
    result = run(
        "evaluate", evaluation | SMALL | {"model.pretrained_trunk_path": str(tmp_path / "trunk.pth")}, tmp_path
    )
    assert "without training" in result["checkpoint"]


def test_query_of_an_unknown_class_is_named_and_allowed_in_an_open_set(
    evaluation: dict[str, Any], task: dict[str, Path], tmp_path: Path
) -> None:  # R56
    shutil.copytree(task["query"], tmp_path / "query")
    shutil.copytree(task["query"] / "class_0", tmp_path / "query" / "stranger")
    changed = evaluation | {"dataset.val_dataset.query": str(tmp_path / "query")}
    with pytest.raises(DataError, match="stranger"):
        run("evaluate", changed, tmp_path)
    result = run("evaluate", changed | {"evaluate.open_set": True}, tmp_path)
    assert result["num_open_set_queries"] == 2
    assert 0 <= result["metrics"]["test Open-Set AUROC"] <= 1
    assert 0 <= result["metrics"]["test Open-Set FPR at 95% TPR"] <= 1
    assert result["metrics"]["test Unknown Accept Rate"] in (0, 0.5, 1)
    assert result["metrics"]["test Precision at Rank 1"] == pytest.approx(
        run("evaluate", evaluation, tmp_path / "closed")["metrics"]["test Precision at Rank 1"]
    )


def test_the_rejection_distance_travels_from_validation_to_results(
    evaluation: dict[str, Any], recognition: dict[str, Any], trained: Path, tmp_path: Path
) -> None:
    stored = torch.load(trained, weights_only=True)["tao_skill"]["recognition"]["rejection"]
    assert stored["false_accept_rate"] == 0.05
    record = json.loads((trained.parent / "checkpoints.json").read_text())
    assert stored in [entry["rejection"] for entry in record["checkpoints"] if entry["file"] == trained.name]
    assert json.loads((trained.parent / "results.json").read_text())["rejection"] == stored
    measured = run("evaluate", evaluation, tmp_path)
    assert measured["rejection"] == stored | {"source": "model"}
    # The same images, as evaluation equals validation.
    assert measured["metrics"]["test Known Accept Rate"] == stored["known_accept_rate"]
    found = run("inference", recognition, tmp_path)
    assert found["rejection"]["distance"] == stored["distance"]
    assert found["num_unknown"] == round(12 * (1 - stored["known_accept_rate"]))


def test_evaluation_says_so_where_nothing_is_called_unknown(
    evaluation: dict[str, Any], trained: Path, tmp_path: Path
) -> None:
    given = {key: value for key, value in evaluation.items() if key != "evaluate.checkpoint"}
    weights = {"model.pretrained_model_path": str(trained)}
    result = run("evaluate", SMALL | given | weights, tmp_path)
    assert any("Nothing is called unknown" in warning for warning in result["warnings"])
    assert not any("unknown" in warning for warning in run("evaluate", evaluation, tmp_path)["warnings"])


def test_beyond_the_distance_images_are_unknown(recognition: dict[str, Any], tmp_path: Path) -> None:
    none = run("inference", recognition | {"inference.reject_distance": 4.0}, tmp_path / "none")
    assert none["num_unknown"] == 0
    result = run("inference", recognition | {"inference.reject_distance": 0.0}, tmp_path)
    assert result["num_unknown"] == 12
    rows = [json.loads(line) for line in (tmp_path / "inference" / "result.jsonl").read_text().splitlines()]
    assert {row["recognised_as"] for row in rows} == {"unknown"}
    assert {row["matches"][0]["label"] for row in rows} <= {f"class_{i}" for i in range(6)}


@pytest.mark.parametrize("action", ["evaluate", "inference"])
def test_embeddings_and_pictures_are_written_on_request(
    evaluation: dict[str, Any], recognition: dict[str, Any], tmp_path: Path, action: str
) -> None:
    flat = {"evaluate": evaluation, "inference": recognition}[action]
    run(action, flat, tmp_path / "without")
    run(action, flat | {f"{action}.save_embeddings": True, f"{action}.picture_queries": 5}, tmp_path)
    table = parquet.read_table(tmp_path / action / "embeddings.parquet")
    assert table["set"].to_pylist() == ["reference"] * 6 + ["query"] * 12
    assert len(table["embedding"][0]) == 16
    assert (tmp_path / action / "matches.html").read_text().count('<div class="row">') == 5
    plain = {path.name for path in (tmp_path / "without" / action).iterdir()}
    more = {path.name for path in (tmp_path / action).iterdir()}
    assert more - plain == {"embeddings.parquet", "matches.html"}


@pytest.fixture(scope="module")
def gallery(task: dict[str, Path], trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a gallery of the reference images."""
    folder = tmp_path_factory.mktemp("gallery")
    given = {"inference.checkpoint": str(trained), "inference.input_path": str(task["reference"])}
    given |= {"inference.gallery": str(folder), "dataset.workers": 0}
    add_to_gallery(folder, nest(given), source=str(trained), reference=str(task["reference"]), new=True)
    return folder


def test_a_gallery_takes_the_place_of_the_reference(
    evaluation: dict[str, Any], recognition: dict[str, Any], gallery: Path, tmp_path: Path
) -> None:
    expected = run("evaluate", evaluation, tmp_path / "folder")
    asked = {"evaluate.gallery": str(gallery), "evaluate.picture_queries": 5}
    found = run("evaluate", _without_reference(evaluation) | asked, tmp_path)
    assert "no image" not in (tmp_path / "evaluate" / "matches.html").read_text()
    assert found["metrics"] == pytest.approx(expected["metrics"])
    assert (found["num_references"], found["gallery"]) == (6, str(gallery))
    assert (tmp_path / "evaluate" / "per_class.csv").read_text() == (
        tmp_path / "folder" / "evaluate" / "per_class.csv"
    ).read_text()
    run("inference", recognition, tmp_path / "folder")
    result = run("inference", _without_reference(recognition) | {"inference.gallery": str(gallery)}, tmp_path)
    assert (result["num_references"], result["search"]["kind"]) == (6, "exact")
    tables = []
    for folder in (tmp_path, tmp_path / "folder"):
        with (folder / "inference" / "result.csv").open(newline="") as file:
            tables.append([(row["path"], row["label_1"], row["label_2"]) for row in csv.DictReader(file)])
    assert tables[0] == tables[1]


def test_a_gallery_with_more_classes_recognises_them_and_its_images_may_be_others_by_now(
    recognition: dict[str, Any], gallery: Path, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(gallery, tmp_path / "shop")
    Image.new("RGB", (40, 40), (250, 250, 0)).save(tmp_path / "lemon.png")
    given = {"inference.checkpoint": str(trained), "inference.input_path": str(tmp_path / "lemon.png")}
    given |= {"inference.gallery": str(tmp_path / "shop"), "dataset.workers": 0}
    images = [str(tmp_path / "lemon.png")]
    added = add_to_gallery(tmp_path / "shop", nest(given), source=str(trained), label="lemon", images=images)
    assert (added["added"], added["num_classes"]) == (1, 7)
    shutil.copy(tmp_path / "lemon.png", tmp_path / "query.png")
    Image.new("RGB", (40, 40), (0, 0, 250)).save(tmp_path / "lemon.png")
    changed = _without_reference(recognition) | {"inference.gallery": str(tmp_path / "shop")}
    changed |= {"inference.input_path": str(tmp_path / "query.png"), "inference.inference_input_type": "image"}
    run("inference", changed | {"inference.picture_queries": 5}, tmp_path)
    assert (tmp_path / "inference" / "matches.html").read_text().count("no image") == 1
    line = json.loads((tmp_path / "inference" / "result.jsonl").read_text())
    assert line["matches"][0]["label"] == "lemon"


def test_the_gallery_of_another_model_is_refused(
    evaluation: dict[str, Any], gallery: Path, trained: Path, tmp_path: Path
) -> None:
    content = torch.load(trained, weights_only=True)
    name = next(iter(content["state_dict"]))
    content["state_dict"][name] += 1
    torch.save(content, tmp_path / "other.pth")
    changed = {"evaluate.checkpoint": str(tmp_path / "other.pth"), "evaluate.gallery": str(gallery)}
    with pytest.raises(DataError, match="another model"):
        run("evaluate", _without_reference(evaluation) | changed, tmp_path)
    with pytest.raises(DataError, match="no gallery"):
        run("evaluate", _without_reference(evaluation) | {"evaluate.gallery": str(tmp_path)}, tmp_path / "out")


def _without_reference(flat: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in flat.items() if key != "dataset.val_dataset.reference"}


def test_inference_writes_both_files(recognition: dict[str, Any], tmp_path: Path) -> None:
    result = run("inference", recognition, tmp_path)
    assert result["num_images"] == 12
    with (tmp_path / "inference" / "result.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "label_1", "distance_1", "label_2", "distance_2"]
    assert len(rows) == 12
    assert all(0 <= float(row["distance_1"]) <= float(row["distance_2"]) <= 4 for row in rows)
    lines = [json.loads(line) for line in (tmp_path / "inference" / "result.jsonl").read_text().splitlines()]
    assert [line["matches"][0]["label"] for line in lines] == [row["label_1"] for row in rows]


def test_inference_agrees_with_evaluation(
    recognition: dict[str, Any], evaluation: dict[str, Any], tmp_path: Path
) -> None:
    run("inference", recognition, tmp_path)
    with (tmp_path / "inference" / "result.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    right = sum(Path(row["path"]).parent.name == row["label_1"] for row in rows) / len(rows)
    measured = run("evaluate", evaluation, tmp_path)["metrics"]["test Precision at Rank 1"]
    assert right == pytest.approx(measured)


@pytest.mark.parametrize(
    "case",
    [
        (True, "classification_folder", "", "class_1/0.png"),
        (True, "image", "class_1/0.png", "0.png"),
        (False, "image_folder", "class_1", "{query}/class_1/0.png"),
    ],
)
def test_images_are_named_as_wished(
    recognition: dict[str, Any], task: dict[str, Path], tmp_path: Path, case: tuple[bool, str, str, str]
) -> None:
    relative, kind, below, expected = case
    changes = {
        "inference.input_path": str(task["query"] / below),
        "inference.inference_input_type": kind,
        "inference.relative_paths": relative,
    }
    run("inference", recognition | changes, tmp_path)
    with (tmp_path / "inference" / "result.csv").open(newline="") as file:
        paths = [row["path"] for row in csv.DictReader(file)]
    assert expected.format(query=task["query"]) in paths
    lines = [json.loads(line) for line in (tmp_path / "inference" / "result.jsonl").read_text().splitlines()]
    assert [line["path"] for line in lines] == paths


@pytest.mark.parametrize("kind", ["image", "image_folder"])
def test_single_images_and_flat_folders_are_recognised(
    recognition: dict[str, Any], task: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    folder = task["query"] / "class_1"
    path = folder / "0.png" if kind == "image" else folder
    changed = recognition | {"inference.input_path": str(path), "inference.inference_input_type": kind}
    assert run("inference", changed, tmp_path)["num_images"] == (1 if kind == "image" else 2)


def test_reference_image_finds_itself(recognition: dict[str, Any], task: dict[str, Path], tmp_path: Path) -> None:
    run("inference", recognition | {"inference.input_path": str(task["reference"])}, tmp_path)
    with (tmp_path / "inference" / "result.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            assert row["label_1"] == Path(row["path"]).parent.name
            assert float(row["distance_1"]) == pytest.approx(0, abs=1e-5)


def test_bad_input_is_told_at_once(recognition: dict[str, Any], tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "fine.png")
    (tmp_path / "broken.png").write_bytes(b"")
    with pytest.raises(DataError) as raised:
        run("inference", recognition | {"inference.input_path": str(tmp_path), "inference.topk": 7}, tmp_path / "out")
    told = str(raised.value)
    assert "broken.png" in told
    assert "inference.topk" in told


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as raised:
        run("inference", {}, tmp_path)
    keys = {problem.key for problem in raised.value.problems}
    assert keys == {"inference.checkpoint", "inference.input_path", "dataset.val_dataset.reference"}
