"""What all tests share: as many of them run at once as there are processors, so each takes one thread."""

import atexit
import base64
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"
# What the tests train is nobody's to track; those of the tracking itself say otherwise.
os.environ["WANDB_MODE"] = "disabled"
os.environ["TAO_SKILL_CACHE"] = tempfile.mkdtemp(prefix="tao-skill-tests-")
atexit.register(shutil.rmtree, os.environ["TAO_SKILL_CACHE"], ignore_errors=True)

_TABLE = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"
# A picture of one pixel.
_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGM4IacBAALAAQ/aQIG5AAAAAElFTkSuQmCC"
)


def write_small_sets(root: Path) -> Path:
    """Write every data source of the recognition skill, as folders with two classes of four tiny images each."""
    for name in ("known_classes", "unknown_classes"):
        for part in ("train", "reference", "val", "test"):
            for kind in ("cat", "dog"):
                folder = root / _TABLE / name / f"{part}.tar.gz" / kind
                folder.mkdir(parents=True)
                for number in range(4):
                    (folder / f"{number}.png").write_bytes(_PIXEL)
    return root


@pytest.fixture
def pixel() -> bytes:
    """Return a PNG file of one pixel."""
    return _PIXEL


@pytest.fixture
def small_sets() -> Callable[[Path], Path]:
    """Give `write_small_sets`."""
    return write_small_sets


@pytest.fixture
def told_process(tmp_path: Path) -> Callable[..., Path]:
    """Return what writes files as Linux tells of a process and its control groups, and gives the process's folder.

    Its words are the groups of the process, the controllers of each mount (an empty word: version 2), the files below
    the mounts, and which group is mounted there.
    """

    def write(groups: str, mounts: Mapping[str, str], files: Mapping[str, str], root: str = "/") -> Path:
        process = tmp_path / "proc" / "self"
        process.mkdir(parents=True)
        (process / "cgroup").write_text(groups)
        lines = ["24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro"]
        for controllers, place in mounts.items():
            kind = f"shared:9 - cgroup cgroup rw,{controllers}" if controllers else "- cgroup2 cgroup2 rw,nsdelegate"
            lines.append(f"30 25 0:26 {root} {tmp_path / place} rw,nosuid {kind}")
        (process / "mountinfo").write_text("\n".join(lines) + "\n")
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text + "\n")
        return process

    return write


@pytest.fixture
def http_server() -> Callable[..., AbstractContextManager[str]]:
    """Return what serves the tools over HTTP from a folder while its block runs, and gives the URL."""

    @contextmanager
    def serve(folder: Path, *words: str, token: str = "") -> Iterator[str]:
        command = [sys.executable, "-m", "tao_skill", "mcp", "--http", "--port", "0", *words]
        environment = os.environ | ({"TAO_SKILL_MCP_TOKEN": token} if token else {})
        process = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert "Serving MCP at" in line, line + process.stderr.read()
            yield line.split()[-1]
        finally:
            process.terminate()
            process.communicate(timeout=30)

    return serve
