"""The command line as a whole: what it prints, how it fails, how fast it starts."""

import json
import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tao_skill.cli.main import main
from tao_skill.cli.outcome import error_outcome, exit_code_of
from tao_skill.errors import CheckpointError, Problem, SpecError, StorageError, UsageError

CHECKOUT = Path(__file__).parents[2]
HEAVY = ("torch", "boto3", "optuna", "ray", "pytorch_lightning", "numpy", "pydantic", "jsonschema", "yaml")


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, env=env)


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    program = (
        "import sys, tao_skill.cli, tao_skill.cli.main, tao_skill.cli.ml_recog;"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert python("-c", program).stdout.strip() == "[]"


def test_planning_loads_no_deep_learning(data_root: str) -> None:
    program = (
        "import sys; from tao_skill.cli.main import main;"
        f"code = main(['run', 'train', '--dry-run', '--json', '--data-root', {data_root!r}]);"
        "print(code, [name for name in ('torch', 'boto3', 'optuna', 'numpy') if name in sys.modules], file=sys.stderr)"
    )
    assert python("-c", program).stderr.strip() == "0 []"


@pytest.mark.parametrize(
    ("arguments", "budget"),
    [
        ("--help", 0.6),
        ("schema train", 0.75),
        ("run train --dry-run --json --automl-policy off --data-root {data_root}", 1.2),
    ],
)
def test_cpu_time_of_a_cold_start(arguments: str, budget: float, data_root: str) -> None:
    """Budgets are three times those of a quiet and quick machine, which tools.bench.start compares with."""
    used = []
    for _ in range(6):  # other work on the machine can only make it slower
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert python("-m", "tao_skill", *arguments.format(data_root=data_root).split()).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if used[-1] <= budget:
            return
    raise AssertionError(f"{min(used):.3f} s of CPU time, budget {budget} s")


@pytest.mark.parametrize(
    "words",
    [
        ["--json"],
        ["trian", "--json"],
        ["run", "--json"],
        ["run", "train", "--no-such", "--json"],
        ["run", "train", "--dry", "--json"],  # abbreviations are off
        ["run", "train", "--overrides", "--json"],
        ["jobs", "show", "--json"],
        ["--json", "validate", "x.yaml"],
    ],
)
def test_wrong_usage_is_json_too(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["error"]["code"] == "usage_error"
    assert "--help" in document["error"]["next_step"]
    assert err == ""


def test_settings_in_the_wrong_place_are_shown_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "train", "--overrides", "train.seed=1", "--data-root", "/d", "train.num_epochs=3"]
    assert main([*words, "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["next_step"].endswith("--overrides train.num_epochs=3")
    assert main([*words[:-1], "more", "--json"]) == 2
    assert "--overrides" not in json.loads(capsys.readouterr().out)["error"]["next_step"]


def test_wrong_usage_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: python -m tao_skill run: ")
    assert "Next: python -m tao_skill run --help" in err


def test_an_error_is_one_document_with_all_problems(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "train", "--dry-run", "--json", "--overrides", "train.num_epoch=3", "train.batch_size=0"]
    assert main(words) == SpecError.exit_code
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "spec_error"
    assert {"dataset.train_dataset", "train.num_epoch", "train.batch_size"} <= {one["key"] for one in error["problems"]}
    assert all(set(one) == {"key", "value", "expected"} for one in error["problems"])


def test_foreign_errors_are_one_line_unless_debug(capsys: pytest.CaptureFixture[str]) -> None:
    error = ZeroDivisionError("by\nzero")
    outcome = error_outcome(error)
    assert outcome.message.splitlines()[0] == "error: Unexpected ZeroDivisionError: by zero"
    assert outcome.exit_code == 70
    assert capsys.readouterr().err == ""
    error_outcome(error, debug=True)
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_an_error_always_has_a_next_step() -> None:
    problems = [Problem("model.timm_name", "resnt", "a model of timm")]
    document = error_outcome(CheckpointError("no", problems=problems)).document["error"]
    assert "correct model.timm_name" in document["next_step"]
    assert "--debug" in error_outcome(SpecError("no")).document["error"]["next_step"]
    assert error_outcome(SpecError("no", next_step="this")).document["error"]["next_step"] == "this"


def test_exit_codes_follow_the_kind_of_error() -> None:
    assert error_outcome(KeyboardInterrupt()).exit_code == 130
    assert exit_code_of("canceled") == 130
    assert exit_code_of("data_error") == 4
    assert exit_code_of("job_error") == 9
    assert exit_code_of("who knows") == 1


def test_a_reader_that_goes_away_is_no_failure_to_complain_about() -> None:
    command = f"{shlex.quote(sys.executable)} -m tao_skill schema train | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=CHECKOUT)
    assert done.stderr == ""
    assert done.returncode in (0, 141)


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--version"], ["--help"], ["run", "--help"], ["jobs", "resume", "--help"]):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 0
    assert "tao-skill 0." in capsys.readouterr().out


@pytest.mark.parametrize("more", [["--json"], []])
def test_words_that_are_no_text_are_refused(more: list[str]) -> None:
    words = [b"run", b"train", b"--overrides", b"dataset.train_dataset=/data/\xff", *(word.encode() for word in more)]
    done = subprocess.run([sys.executable, "-m", "tao_skill", *words], capture_output=True, check=False, cwd=CHECKOUT)
    assert done.returncode == 2, done
    assert b"UTF-8" in done.stdout + done.stderr
    if more:
        assert json.loads(done.stdout)["error"]["problems"][0]["value"].endswith("/data/\udcff")


def test_a_terminal_that_lacks_letters_gets_an_answer() -> None:
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    words = [sys.executable, "-m", "tao_skill", "run", "trän", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=CHECKOUT, env=env)
    assert json.loads(done.stdout)["error"]["problems"][0]["value"] == "trän"


@pytest.mark.parametrize("words", [["schema", "train"], ["tools"], ["call", "list_skills"]])
def test_a_terminal_that_lacks_letters_gets_json(words: list[str]) -> None:
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "tao_skill", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=CHECKOUT, env=env)
    assert json.loads(done.stdout)


def test_a_terminal_that_lacks_letters_gets_help() -> None:
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    for words in (["--help"], ["call", "--help"], ["run", "train", "--help"]):
        command = [sys.executable, "-m", "tao_skill", *words]
        assert subprocess.run(command, capture_output=True, check=False, cwd=CHECKOUT, env=env).returncode == 0


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        ("schema train >&-", 0),
        ("schema train >/dev/full", StorageError.exit_code),
        ("run train <&-", SpecError.exit_code),
        ("call status - </bin/sh", UsageError.exit_code),
    ],
)
def test_streams_that_are_closed_or_full_or_no_text(rest: str, code: int) -> None:
    line = f"{shlex.quote(sys.executable)} -m tao_skill {rest}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, check=False, cwd=CHECKOUT)
    assert done.returncode == code, done
    assert b"Traceback" not in done.stderr
