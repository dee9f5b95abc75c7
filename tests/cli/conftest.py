"""Data that a run can be planned with."""

from pathlib import Path

import pytest

DEMO = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"


@pytest.fixture
def data_root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a root that has every data source of the skill, as folders with one class."""
    root: Path = tmp_path_factory.mktemp("data")
    for name in ("known_classes", "unknown_classes"):
        for part in ("train", "reference", "val", "test"):
            (root / DEMO / name / f"{part}.tar.gz" / "cat").mkdir(parents=True)
    return str(root)
