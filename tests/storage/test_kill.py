"""kill -9 of the staging process at random moments: what is left is nothing or the finished thing."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from storage_archives import tar_bytes, tree  # loaded by conftest.py

from tao_skill.storage.cache_care import entries, verify
from tao_skill.storage.stage import stage

pytestmark = pytest.mark.long

KILLS = 50
CONTENT = {f"c{i % 9}/{i}.jpg": os.urandom(20_000 + i) for i in range(700)}
WEIGHTS = os.urandom(30_000_000)
PROGRAM = """
import sys
from pathlib import Path
from tao_skill.storage import s3_client, stage
s3_client.client()
print("ready", flush=True)
sys.stdin.readline()
stage.stage(sys.argv[1], Path(sys.argv[2]))
print("done", flush=True)
"""


def is_right(uri: str, path: Path) -> bool:
    return path.read_bytes() == WEIGHTS if uri.endswith(".pth") else tree(path) == CONTENT


def killed_after(seconds: float, uri: str, cache: Path) -> bool:
    """Stage in a process that is killed after so long; say whether it was done before."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, uri, str(cache)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("\n")
    process.stdin.flush()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    return "done" in process.communicate(timeout=30)[0]


def test_fifty_kills(bucket: str, s3_server: Any, tmp_path: Path) -> None:
    if s3_server.name == "moto":
        pytest.skip("one server is enough: the subject is this side")
    client = s3_server.client()
    client.put_object(Bucket=bucket[5:], Key="train.tar.gz", Body=tar_bytes(CONTENT))
    client.put_object(Bucket=bucket[5:], Key="model.pth", Body=WEIGHTS)
    for name, content in CONTENT.items():
        client.put_object(Bucket=bucket[5:], Key=f"folder/{name}", Body=content)
    cache, rng = tmp_path / "cache", random.Random(7)
    counts = {"half-made": 0, "nothing": 0, "finished": 0, "resumed part": 0}
    usual: dict[str, float] = {}
    for name in ("train.tar.gz", "model.pth", "folder"):
        begin = time.monotonic()
        stage(f"{bucket}/{name}", cache)
        usual[name] = time.monotonic() - begin
    for number in range(KILLS):
        shutil.rmtree(cache)
        name = ("train.tar.gz", "model.pth", "folder")[number % 3]
        uri = f"{bucket}/{name}"
        done = killed_after(rng.uniform(0, 1.4 * usual[name]), uri, cache)
        staged = cache / "staged"
        found = entries(cache)
        assert all(not finding.problems for finding in verify(cache))
        assert not done or len(found) == 1
        partial = list(staged.glob("*.part*")) if staged.exists() else []
        counts["finished" if found else "half-made" if partial else "nothing"] += 1
        counts["resumed part"] += any(path.suffix == ".part" for path in partial)
        assert is_right(uri, stage(uri, cache))
        assert sorted({path.suffix for path in staged.iterdir()}) == ["", ".lock"]
    print(f"\n{KILLS} kills: {counts}; {KILLS} correct recoveries")
    assert counts["half-made"] > KILLS // 4
