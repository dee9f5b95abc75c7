"""`data check` from the shell."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tao_skill.cli.main import main
from tao_skill.errors import StorageError, UsageError

DEMO = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"


def write(folder: Path, seed: int) -> None:
    for number, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for i in range(2):
            pixels = np.random.default_rng([seed, number, i]).integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for seed, part in enumerate(("known_classes/train", "known_classes/reference", "known_classes/val")):
        write(tmp_path / DEMO / f"{part}.tar.gz", seed)
    return tmp_path


def test_a_root_is_checked_as_far_as_it_goes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "--data-root", str(root), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in report["sets"]] == ["train", "train reference", "train query"]
    assert report["ok"]
    assert "evaluate can't run with this root" in report["warnings"][0]
    assert main(["data", "check", "--data-root", str(root), "--action", "evaluate"]) == 7
    assert "unknown_classes" in capsys.readouterr().err


def test_a_problem_has_its_exit_code_and_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = root / DEMO / "known_classes" / "train.tar.gz"
    (train / "cat" / "0.png").write_bytes(b"x")
    assert main(["data", "check", "--train", str(train)]) == 4
    out = capsys.readouterr().out
    assert "4 images of 2 classes" in out
    assert "0.png = 'not an image" in out
    assert "1 problem, 0 warnings" in out


@pytest.mark.parametrize("arguments", [[], ["--data-root", "x", "--train", "y"]])
def test_the_data_must_be_named_in_one_way(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", *arguments]) == 2
    assert "--data-root" in capsys.readouterr().err


def test_torch_is_not_loaded(root: Path) -> None:
    program = (
        "import sys; from tao_skill.cli.main import main\n"
        f"code = main(['data', 'check', '--train', {str(root / DEMO / 'known_classes' / 'train.tar.gz')!r}])\n"
        "print([name for name in ('torch', 'cv2', 'pytorch_lightning') if name in sys.modules]); sys.exit(code)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "[]"


def test_names_that_are_too_long_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    for suffix in ("", ".tar.gz", ".7z"):
        assert main(["data", "check", "--train", f"/tmp/{'x' * 300}{suffix}", "--json"]) == StorageError.exit_code
        assert "xxx" in json.loads(capsys.readouterr().out)["error"]["problems"][0]["value"]


def test_a_signed_link_is_no_data_root(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "--data-root", "https://h/d?sig=topsecret", "--json"]) == UsageError.exit_code
    out = capsys.readouterr().out
    assert "https://h/d?hidden" in out
    assert "topsecret" not in out
