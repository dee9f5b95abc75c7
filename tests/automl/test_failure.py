"""Failures of a trial are told apart, since only those of the machine are tried again."""

import pytest

from tao_skill.automl.failure import classify


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"code": "spec_error", "message": "train.batch_size = 3"}, "configuration"),
        ({"code": "spec_error", "message": "no such key", "log": ["Connection refused"]}, "configuration"),
        ({"code": "data_error", "message": "one class only"}, "data"),
        ({"code": "storage_error", "message": "the server is gone"}, "infrastructure"),
        ({"message": "torch.OutOfMemoryError: CUDA out of memory", "exit_code": 1}, "configuration"),
        ({"code": "job_error", "message": "The training diverged: its loss is nan"}, "configuration"),
        ({"exit_code": -9, "log": ["epoch 1"]}, "infrastructure"),
        ({"exit_code": -9, "log": ["RuntimeError: CUDA out of memory"]}, "configuration"),
        ({"exit_code": 1, "log": ["OSError: [Errno 28] No space left on device"]}, "infrastructure"),
        ({"exit_code": 1, "log": ["RuntimeError: CUDA error: unspecified launch failure"]}, "infrastructure"),
        ({"exit_code": 1, "log": ["RuntimeError: CUDA error: device-side assert triggered"]}, "configuration"),
        ({"exit_code": 1, "log": ["PIL.UnidentifiedImageError: cannot identify image file"]}, "data"),
        ({"exit_code": 1, "log": ["ValueError: surprise"]}, "configuration"),
        ({"timed_out": True}, "configuration"),
    ],
)
def test_what_failed(facts: dict[str, object], kind: str) -> None:
    assert classify(**facts).kind == kind  # type: ignore[arg-type]


def test_a_failure_says_what_was_said_last() -> None:
    assert classify(exit_code=1, log=["first", "ValueError: last", ""]).message == "ValueError: last"
    assert "SIGKILL ended it (memory may have run out)" in classify(exit_code=-9).message
    assert classify(exit_code=1).message == "it left no message"
