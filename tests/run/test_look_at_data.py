"""What is wrong with the data is told before a job is made, with all else that is wrong."""

import tarfile
from pathlib import Path
from typing import Any

import pytest

from tao_skill.errors import DataError, SpecError, TaoSkillError
from tao_skill.run import look_at_data
from tao_skill.run.make_plan import plan_run
from tao_skill.run.request import RunRequest
from tao_skill.run.runner import run

TABLE = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"
TRAIN, REFERENCE, QUERY = "dataset.train_dataset", "dataset.val_dataset.reference", "dataset.val_dataset.query"

pytestmark = pytest.mark.usefixtures("skill")


def request(tmp_path: Path, data_root: Path, *overrides: str, action: str = "train") -> RunRequest:
    return RunRequest(
        action=action, data_root=str(data_root), overrides=list(overrides), automl_policy="off",
        results_root=str(tmp_path / "results"),
    )  # fmt: skip


def problems(call: Any, kind: type[TaoSkillError]) -> dict[str, str]:
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    return {problem.key: f"{problem.value} {problem.expected}" for problem in caught.value.problems}


def pack(folder: Path, archive: Path) -> None:
    """Put the content of a folder in an archive of that name, and remove the folder."""
    with tarfile.open(archive, "w:gz") as file:
        for path in sorted(folder.rglob("*")):
            file.add(path, path.relative_to(folder), recursive=False)


def test_dry_run_counts_images_and_compares_classes(tmp_path: Path, data_root: Path) -> None:
    folder = data_root / TABLE / "known_classes"
    (folder / "val.tar.gz" / "dog").rename(folder / "val.tar.gz" / "wolf")
    said = problems(lambda: plan_run(request(tmp_path, data_root, "batch_size=12")), DataError)
    assert set(said) == {QUERY, "train.batch_size"}
    assert said[QUERY].startswith("wolf")
    assert "at most 8" in said["train.batch_size"]
    assert not (tmp_path / "results").exists()


def test_spec_and_data_are_told_together(tmp_path: Path, data_root: Path) -> None:
    folder = data_root / TABLE / "known_classes"
    (folder / "train.tar.gz" / "cat" / "0.png").write_bytes(b"")
    (folder / "val.tar.gz" / "dog").rename(folder / "val.tar.gz" / "wolf")
    wrong = request(tmp_path, data_root, "train.num_epoch=3", "batch_size=18", f"{TRAIN}={folder / 'train.tar.gz'}")
    dry = problems(lambda: plan_run(wrong), SpecError)
    assert set(dry) == {"train.num_epoch", "train.batch_size", QUERY}
    real = problems(lambda: run(wrong), SpecError)  # reads the images, too
    assert set(real) == {*dry, str(folder / "train.tar.gz" / "cat" / "0.png"), "dataset.on_bad_image"}
    assert not (tmp_path / "results").exists()


def test_model_is_told_with_the_data(tmp_path: Path, data_root: Path) -> None:
    (data_root / TABLE / "known_classes" / "train.tar.gz" / "cat" / "0.png").write_bytes(b"")
    wrong = request(tmp_path, data_root, "model.timm_name=resnet_never")
    said = problems(lambda: run(wrong), DataError)
    assert {"model.timm_name", "dataset.on_bad_image"} < set(said)


def test_archives_are_looked_at_when_they_are_here(tmp_path: Path, data_root: Path) -> None:
    folder = data_root / TABLE / "unknown_classes"
    (folder / "test.tar.gz" / "dog").rename(folder / "test.tar.gz" / "wolf")
    (folder / "test.tar.gz" / "wolf" / "1.png").write_bytes(b"no image")
    (tmp_path / "c.pth").write_bytes(b"\x80\x02w")
    archive = tmp_path / "query.tar.gz"
    pack(folder / "test.tar.gz", archive)
    words = [f"evaluate.checkpoint={tmp_path}/c.pth", f"{QUERY}={archive}"]
    assert plan_run(request(tmp_path, data_root, *words, action="evaluate")).inputs[QUERY] == [str(archive)]
    said = problems(lambda: run(request(tmp_path, data_root, *words, action="evaluate")), DataError)
    # Named as the user named it, not as the cache does; and the checkpoint is looked at as well.
    assert set(said) == {f"{archive}/wolf/1.png", "dataset.on_bad_image", QUERY, "evaluate.checkpoint"}
    assert not (tmp_path / "results").exists()


def test_more_images_than_can_be_counted_quickly_wait_for_the_run(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_at_data, "_QUICKLY", 3)
    plan = plan_run(request(tmp_path, data_root, "batch_size=12"))
    assert any("more than 3 files" in warning for warning in plan.warnings)


def test_warnings_of_the_data_are_in_the_plan(tmp_path: Path, data_root: Path) -> None:
    (data_root / TABLE / "known_classes" / "train.tar.gz" / "cat" / "notes.txt").write_text("x")
    (data_root / TABLE / "known_classes" / "train.tar.gz" / "bird").mkdir()
    warnings = plan_run(request(tmp_path, data_root)).warnings
    assert f"{TRAIN}: 1 file that is no image was ignored: cat/notes.txt" in warnings
    assert f"{TRAIN}: 1 class folder without an image was left out: bird" in warnings


def test_file_uris_and_relative_folders_are_looked_at(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data_root)
    (data_root / "empty" / "cat").mkdir(parents=True)
    for path in ("empty", f"file://{data_root}/empty"):
        said = problems(lambda path=path: plan_run(request(tmp_path, data_root, f"{TRAIN}={path}")), DataError)
        assert set(said) == {TRAIN}


def test_folder_of_one_image(tmp_path: Path, data_root: Path, pixel: bytes) -> None:
    (tmp_path / "one.png").write_bytes(pixel)
    (tmp_path / "c.pth").write_bytes(b"\x80\x02w")
    words = [f"inference.checkpoint={tmp_path}/c.pth", f"inference.input_path={tmp_path}/one.png", "inference.topk=99"]
    words.append("inference.inference_input_type=image")
    said = problems(lambda: plan_run(request(tmp_path, data_root, *words, action="inference")), DataError)
    assert set(said) == {"inference.topk"}
    assert "at most 8" in said["inference.topk"]


def test_planning_does_without_the_packages_of_the_trainer(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise ModuleNotFoundError("No module named 'numpy'", name="numpy")

    monkeypatch.setattr("tao_skill.metric_learning.data.for_spec.look_at_data", missing)
    assert plan_run(request(tmp_path, data_root, "batch_size=12")).action == "train"
