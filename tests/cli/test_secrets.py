"""The encryption key has no effect and is never written or shown."""

import json
from pathlib import Path

import pytest

from tao_skill.cli import ml_recog
from tao_skill.cli.main import main

SECRET = "SECRET123"


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixel: bytes) -> list[str]:
    """Return a run of evaluate that fails in the action itself: the checkpoint is none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TAO_RESULTS_ROOT", raising=False)
    (tmp_path / "c.pth").write_bytes(b"\x80\x02no checkpoint")
    for name in ("r", "q"):
        (tmp_path / name / "cat").mkdir(parents=True)
        (tmp_path / name / "cat" / "0.png").write_bytes(pixel)
    overrides = ["evaluate.checkpoint=c.pth", "dataset.val_dataset.reference=r", "dataset.val_dataset.query=q"]
    return ["run", "evaluate", "--results-root", "out", "--overrides", *overrides]


def held(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace") for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("as_json", [True, False])
def test_a_run_neither_writes_nor_shows_it(
    words: list[str], tmp_path: Path, as_json: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    more = ["--json"] if as_json else []
    secret = [f"encryption_key={SECRET}"]
    assert main([*words, *secret, "--dry-run", *more]) == 0
    assert main([*words, *secret, *more]) not in (0, 2, 3)
    (job,) = (tmp_path / "out").iterdir()
    for verb in ("show", "logs"):
        assert main(["jobs", verb, job.name, "--results-root", "out", *more]) == 0
    out, err = capfd.readouterr()
    assert SECRET not in out + err
    assert SECRET not in held(job)
    assert json.loads((job / "job.json").read_text())["spec"]["encryption_key"] == "***"
    # The runner has said that it has no effect; the action doesn't say it again.
    told = "encryption_key has no effect"
    assert told not in (job / "evaluate" / "log.txt").read_text()
    if not as_json:
        assert err.count(told) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        f"encryption_key=[{SECRET}",
        f'{{"encryption_key": "{SECRET}"',
        f"encryption_kye={SECRET}",
        f"encryption key={SECRET}",
        f"encryption_key.deep={SECRET}",
        f'{{"encryption_key": ["{SECRET}"], "train.batch_size": 0}}',
        "@wrong.yaml",
    ],
)
def test_an_error_does_not_quote_it(
    wrong: str, words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wrong.yaml").write_text(f"encryption_key: {SECRET}\n  deep: [\n")
    assert main([*words, wrong, "evaluate.batch_size=0", "--json"]) == 3
    assert main([*words, wrong, "evaluate.batch_size=0"]) == 3
    assert main(["run", "train", "--dry-run", wrong]) != 0
    out, err = capfd.readouterr()
    assert SECRET not in out + err


def test_the_trainer_keeps_it_out_of_its_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(f"results_dir: {tmp_path}/job\nencryption_key: {SECRET}\n")
    assert ml_recog.main(["evaluate", "-e", str(spec), "--json"]) != 0
    assert ml_recog.main(["evaluate", "-e", str(spec), f"encryption_key={SECRET}"]) != 0
    assert main(["validate", str(spec), "--action", "evaluate"]) != 0
    out, err = capfd.readouterr()
    assert SECRET not in out + err
    assert (tmp_path / "job" / "evaluate" / "spec.yaml").is_file()
    assert SECRET not in held(tmp_path / "job")
