"""Inputs become local paths."""

import tarfile
from pathlib import Path

import pytest

from tao_skill.errors import NotAvailableError, StorageError
from tao_skill.run.stage import find_inputs, stage_all, stage_inputs


def test_inputs_are_found_by_key_or_section() -> None:
    spec = {
        "dataset": {"val_dataset": {"reference": "/r", "query": ""}, "class_map": None},
        "cal": {"images": ["/a", "/b"], "other": "/c"},
        "evaluate": {"checkpoint": "???"},
    }
    keys = ["dataset.val_dataset", "dataset.class_map", "cal.images", "evaluate.checkpoint"]
    assert find_inputs(spec, keys) == {"dataset.val_dataset.reference": ["/r"], "cal.images": ["/a", "/b"]}


def test_folders_stay_archives_are_extracted_lists_stay_lists(tmp_path: Path) -> None:
    folder = tmp_path / "set" / "cat"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "set", "set")
    spec = {"a": {"folder": str(tmp_path / "set"), "list": [str(tmp_path / "set.tar.gz")]}, "n": 1}
    inputs = {"a.folder": [str(tmp_path / "set")], "a.list": [str(tmp_path / "set.tar.gz")]}
    staged = stage_inputs(spec, inputs, tmp_path / "cache")
    assert staged["a"]["folder"] == str(tmp_path / "set")
    (extracted,) = staged["a"]["list"]
    assert (Path(extracted) / "cat" / "a.txt").read_text() == "a"
    assert Path(extracted).is_relative_to(tmp_path / "cache")
    assert spec["a"]["list"] == [str(tmp_path / "set.tar.gz")]
    assert stage_inputs(spec, inputs, tmp_path / "cache") == staged


def test_results_name_images_as_they_are_in_the_archive(tmp_path: Path) -> None:
    (tmp_path / "set" / "cat").mkdir(parents=True)
    (tmp_path / "set" / "cat" / "a.txt").write_text("a")
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "set", "set")
    for path, relative in (("set", False), ("set.tar.gz", True)):
        spec = {"inference": {"input_path": str(tmp_path / path), "relative_paths": False}}
        inputs = {"inference.input_path": [str(tmp_path / path)]}
        assert stage_inputs(spec, inputs, tmp_path / "cache")["inference"]["relative_paths"] is relative


def test_all_that_is_missing_is_told_with_its_key(tmp_path: Path) -> None:
    spec = {"a": str(tmp_path / "x"), "b": str(tmp_path / "y")}
    with pytest.raises(StorageError) as caught:
        stage_inputs(spec, {"a": [spec["a"]], "b": [spec["b"]]}, tmp_path)
    assert [problem.key for problem in caught.value.problems] == ["a", "b"]


def test_a_scheme_that_is_not_supported_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NotAvailableError) as caught:
        stage_inputs({"a": "ftp://host/x"}, {"a": ["ftp://host/x"]}, tmp_path)
    assert caught.value.problems[0].key == "a"


def test_places_without_a_key_are_told_by_their_number(tmp_path: Path) -> None:
    uris = [str(tmp_path / name) for name in ("x", "y")]
    with pytest.raises(StorageError) as caught:
        stage_all(uris, ["reference"])
    assert [problem.key for problem in caught.value.problems] == ["reference", "URI 2"]
