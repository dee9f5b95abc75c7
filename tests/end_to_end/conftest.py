"""Small archives where the skill's table expects them, and a cache for each test."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TABLE = Path("metric_learning_recognition/retail-product-checkout-dataset_classification_demo")


def _add_images(archive: tarfile.TarFile, root: str, classes: range, images: range, scratch: Path) -> None:
    for label in classes:
        colour = np.random.default_rng(label).integers(30, 255, size=3)
        for number in images:
            noise = np.random.default_rng([label, number]).normal(0, 20, size=(24, 24, 3))
            file = scratch / "image.png"
            Image.fromarray((colour + noise).clip(0, 255).astype(np.uint8)).save(file)
            archive.add(file, f"{root}/class_{label}/{number}.png")


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data root with small archives where the skill's table expects them."""
    root = tmp_path_factory.mktemp("data")
    sets = {
        "known_classes/train": (range(6), range(4)),
        "known_classes/reference": (range(6), range(10, 11)),
        "known_classes/val": (range(6), range(20, 22)),
        "unknown_classes/reference": (range(6, 10), range(10, 11)),
        "unknown_classes/test": (range(6, 10), range(20, 22)),
    }
    for name, (classes, images) in sets.items():
        path = root / TABLE / f"{name}.tar.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w:gz") as archive:
            _add_images(archive, path.name.partition(".")[0], classes, images, root)
    return root


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAO_SKILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TAO_RESULTS_ROOT", raising=False)
