"""The next command finds the jobs of the command before."""

from pathlib import Path

import pytest

from tao_skill.cli.main import main
from tao_skill.cli.next_command import with_results_root


@pytest.mark.parametrize(
    ("step", "root", "expected"),
    [
        ("python -m tao_skill jobs show JOB", "s3://b/r", "python -m tao_skill jobs show --results-root s3://b/r JOB"),
        (
            "wait for it, or end it: python -m tao_skill jobs cancel JOB",
            "my results",
            "wait for it, or end it: python -m tao_skill jobs cancel --results-root 'my results' JOB",
        ),
        ("python -m tao_skill jobs show JOB", None, "python -m tao_skill jobs show JOB"),
        ("python -m tao_skill jobs list --results-root /a", "/b", "python -m tao_skill jobs list --results-root /a"),
        ("python -m tao_skill skill show NAME", "/b", "python -m tao_skill skill show NAME"),
        ("correct num_epochs", "/b", "correct num_epochs"),
    ],
)
def test_a_given_root_is_repeated(step: str, root: str | None, expected: str) -> None:
    assert with_results_root(step, root) == expected


def test_an_error_repeats_it(tmp_path: Path, data_root: str, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(tmp_path / "other")
    words = ["run", "evaluate", "--data-root", data_root, "--parent-job-id", "none", "--results-root", root]
    assert main(words) != 0
    assert f"Next: python -m tao_skill jobs list --results-root {root}" in capsys.readouterr().err
