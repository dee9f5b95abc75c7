"""The count of decoded files, on which the table's promise rests that no file is decoded twice."""

from dataclasses import replace
from pathlib import Path

from tools.bench.pictures import make_classes
from tools.bench.training import Task, decodes_of_product


def test_a_second_decoding_of_a_file_is_seen(tmp_path: Path) -> None:
    images, few = make_classes(tmp_path / "train", 4, 4, 48, 48), make_classes(tmp_path / "val", 2, 2, 48, 48)
    task = Task(images, few, few, "resnet10t", 32, 8, steps=2, epochs=2)
    files = 4 * 4 + 2 * 2
    assert decodes_of_product(task, tmp_path / "cache") == files
    assert decodes_of_product(task, tmp_path / "cache") == 0
    assert decodes_of_product(replace(task, keeps_pixels=False), tmp_path / "cache") >= 2 * files
