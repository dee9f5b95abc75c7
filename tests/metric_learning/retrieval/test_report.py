"""The names of the metrics and the files that hold them."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from tao_skill.errors import InternalError, StorageError
from tao_skill.metric_learning.retrieval.metrics import RetrievalMetrics, retrieval_metrics
from tao_skill.metric_learning.retrieval.report import (
    metric_names,
    write_inference_results,
    write_per_class_csv,
    write_results_json,
)


def measured(topk: tuple[int, ...] = ()) -> RetrievalMetrics:
    query = torch.tensor([[1.0, 0], [1.0, 0], [0, 1.0]])
    reference = torch.tensor([[1.0, 0], [0, 1.0], [-1.0, 0]])
    return retrieval_metrics(query, [0, 1, 1], reference, [0, 1, 2], class_names=["a", "b, c", "d"], topk=topk)


# R25
@pytest.mark.parametrize("prefix", ["val", "test"])
def test_names_are_exactly_those_of_the_skill(prefix: str) -> None:
    assert metric_names(prefix, measured(), {"AMI": 0.25, "NMI": 0.5}) == {
        f"{prefix}_AMI": 0.25,
        f"{prefix}_NMI": 0.5,
        f"{prefix} Mean Average Precision": pytest.approx(2.5 / 3),
        f"{prefix} Mean Reciprocal Rank": pytest.approx(2.5 / 3),
        f"{prefix} r-Precision": pytest.approx(2 / 3),
        f"{prefix} Precision at Rank 1": pytest.approx(2 / 3),
        f"{prefix} MAP@R": pytest.approx(2 / 3),
        f"{prefix} Mean Average Precision (macro)": pytest.approx(0.875),
        f"{prefix} Mean Reciprocal Rank (macro)": pytest.approx(0.875),
        f"{prefix} r-Precision (macro)": 0.75,
        f"{prefix} Precision at Rank 1 (macro)": 0.75,
        f"{prefix} MAP@R (macro)": 0.75,
    }


def test_top_k_adds_its_own_name_and_clusters_may_be_left_out() -> None:
    named = metric_names("test", measured((1, 2)))
    assert named["test Top-1 Accuracy"] == pytest.approx(2 / 3)
    assert named["test Top-2 Accuracy"] == named["test Top-2 Accuracy (macro)"] == 1
    assert named["test Precision at 2"] == named["test Precision at 2 (macro)"] == 0.5
    assert "test_AMI" not in named


def test_results_are_plain_json_without_nan(tmp_path: Path) -> None:
    results = {"metrics": {"loss": float("nan"), "p": np.float32(0.5)}, "checkpoint": Path("a.pth"), "n": np.int64(3)}
    write_results_json(tmp_path / "new" / "results.json", results)
    text = (tmp_path / "new" / "results.json").read_text()
    assert "NaN" not in text
    assert json.loads(text) == {"metrics": {"loss": None, "p": 0.5}, "checkpoint": "a.pth", "n": 3}


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_results_json(path, {"n": 1})
    with pytest.raises(TypeError):
        write_results_json(path, {"n": 2, "what": object()})
    assert json.loads(path.read_text()) == {"n": 1}
    assert [one.name for one in tmp_path.iterdir()] == ["results.json"]


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be written"):
        write_results_json(tmp_path / "file" / "results.json", {})


def test_the_table_of_classes(tmp_path: Path) -> None:
    write_per_class_csv(tmp_path / "per_class.csv", measured().per_class)
    assert (tmp_path / "per_class.csv").read_text().splitlines() == [
        "class,num_queries,num_references,precision_at_1,r_precision,mean_average_precision,mean_reciprocal_rank",
        "a,1,1,1.0,1.0,1.0,1.0",
        '"b, c",2,1,0.5,0.5,0.75,0.75',
        "d,0,1,,,,",
    ]


def test_recognised_images_as_table_and_as_json_lines(tmp_path: Path) -> None:
    table, lines = tmp_path / "result.csv", tmp_path / "result.jsonl"
    labels = [["cat", "dog, wet"], ["dog, wet", "cat"]]
    distances = torch.tensor([[0.1, 1.5], [0.0, 2.0]])
    write_inference_results(table, lines, ["x/ü, 1.png", Path("y.png")], labels, distances)
    assert table.read_text(encoding="utf-8").splitlines()[0] == "path,label_1,distance_1,label_2,distance_2"
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert rows == [
        ["x/ü, 1.png", "cat", "0.1", "dog, wet", "1.5"],
        ["y.png", "dog, wet", "0.0", "cat", "2.0"],
    ]
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    assert found[0] == {
        "path": "x/ü, 1.png",
        "matches": [{"label": "cat", "distance": 0.1}, {"label": "dog, wet", "distance": 1.5}],
        "recognised_as": "cat",
        "rejected": False,
    }
    assert [one["path"] for one in found] == ["x/ü, 1.png", "y.png"]


def test_beyond_the_distance_images_are_unknown_and_keep_their_nearest(tmp_path: Path) -> None:
    table, lines = tmp_path / "result.csv", tmp_path / "result.jsonl"
    count = write_inference_results(
        table, lines, ["a.png", "b.png"], [["x"], ["y"]], [[0.5], [0.75]], reject_distance=0.5
    )
    assert count == 1
    assert table.read_text().splitlines()[1:] == ["a.png,x,0.5", "b.png,y,0.75"]
    second = json.loads(lines.read_text().splitlines()[1])
    assert (second["matches"][0]["label"], second["recognised_as"], second["rejected"]) == ("y", "unknown", True)


@pytest.mark.parametrize("written", [0.7, 0.1])
@pytest.mark.parametrize("given", [float, np.float32])
def test_what_lies_at_the_distance_itself_is_known(tmp_path: Path, written: float, given: type) -> None:
    """0.7 is written for a float32 that is a little less, 0.1 for one that is a little more."""
    at, distances = float(given(written)), np.array([[written]], np.float32)
    table, lines = tmp_path / "a.csv", tmp_path / "a.jsonl"
    assert write_inference_results(table, lines, ["a.png"], [["x"]], distances, reject_distance=at) == 0
    assert f'"distance": {written}' in lines.read_text()


def test_no_images_give_an_empty_table(tmp_path: Path) -> None:
    write_inference_results(tmp_path / "a.csv", tmp_path / "a.jsonl", [], [], np.empty((0, 3)))
    assert (tmp_path / "a.csv").read_text() == "path\n"
    assert (tmp_path / "a.jsonl").read_text() == ""


def test_file_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    write_inference_results(tmp_path / "a.csv", tmp_path / "a.jsonl", [name], [["x"]], [[0.5]])
    assert b"caf\xe9.png,x,0.5\n" in (tmp_path / "a.csv").read_bytes()
    assert json.loads((tmp_path / "a.jsonl").read_text())["path"] == name


def test_shapes_that_disagree_are_our_mistake(tmp_path: Path) -> None:
    with pytest.raises(InternalError):
        write_inference_results(tmp_path / "a.csv", tmp_path / "a.jsonl", ["x"], [["a", "b"]], [[0.5]])
    assert not list(tmp_path.iterdir())
