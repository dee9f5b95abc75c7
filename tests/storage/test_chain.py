"""R32, R34, R35: train, evaluate, inference with data and results on real S3 servers; the second run from the cache."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from storage_fault_proxy import FaultProxy  # loaded by conftest.py

pytestmark = pytest.mark.long

BASE = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"
QUICK = [
    "model.timm_name=resnet10t", "model.input_width=32", "model.input_height=32", "model.feat_dim=16",
    "dataset.workers=0", "dataset.num_instance=2", "train.batch_size=8", "train.num_epochs=2", "train.precision=fp32",
    "train.checkpoint_interval=1", "train.validation_interval=1",
]  # fmt: skip


def archive(images: int, first: int) -> bytes:
    """Return a data set of six classes of small pictures."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for label in range(6):
            colour = np.random.default_rng(label).integers(40, 255, size=3)
            for number in range(first, first + images):
                noise = np.random.default_rng([label, number]).normal(0, 25, size=(24, 24, 3))
                stripes = (np.arange(24) // (2 + label % 3) % 2)[:, None, None]
                picture = io.BytesIO()
                Image.fromarray((colour * (0.4 + 0.6 * stripes) + noise).clip(0, 255).astype(np.uint8)).save(
                    picture, "PNG"
                )
                info = tarfile.TarInfo(f"set/class_{label}/{number}.png")
                info.size = len(picture.getvalue())
                tar.addfile(info, io.BytesIO(picture.getvalue()))
    return buffer.getvalue()


def tao(environment: dict[str, str], *words: str) -> dict[str, Any]:
    """Run the command line as a user does and return its document."""
    process = subprocess.run(
        [sys.executable, "-m", "tao_skill", *words, "--json"], env=os.environ | environment,
        capture_output=True, text=True, timeout=1200, cwd=environment["HOME"], check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stdout + process.stderr
    return dict(json.loads(process.stdout))


def machine(tmp_path: Path, name: str) -> dict[str, str]:
    """Return the environment of a machine that has seen nothing yet."""
    home = tmp_path / name
    home.mkdir()
    checkout = Path(__file__).parents[2]
    return {
        "HOME": str(home), "TAO_SKILL_CACHE": str(home / "cache"), "TAO_SKILL_STATE": str(home / "state"),
        "PYTHONPATH": str(checkout), "TAO_SKILL_UPLOAD_SECONDS": "1", "TAO_RESULTS_ROOT": "",
    }  # fmt: skip


def reads(proxy: FaultProxy) -> list[str]:
    """Return the objects of which more than the one byte of the check was asked for; records are no data."""
    found = [one for one in proxy.seen if one.stage == "read" and one.range != (0, 0)]
    return [one.target for one in found if not one.target.endswith((".json", ".json?x-id=GetObject"))]


def test_the_whole_chain(bucket: str, s3_server: Any, tmp_path: Path) -> None:
    client = s3_server.client()
    for name, images, first in [("train", 4, 0), ("reference", 1, 100), ("val", 2, 200), ("test", 2, 300)]:
        for kind in ("known_classes", "unknown_classes"):
            key = f"data/train/{BASE}/{kind}/{name}.tar.gz"
            client.put_object(Bucket=bucket[5:], Key=key, Body=archive(images, first))
    roots = ["--data-root", f"{bucket}/data/train", "--results-root", f"{bucket}/results"]
    with FaultProxy(s3_server.port) as proxy:
        here = machine(tmp_path, "first") | s3_server.environment(proxy.url)
        trained = tao(here, "run", "train", *roots, "--automl-policy", "off", "--overrides", *QUICK)
        assert trained["upload"]["state"] == "complete"
        keys = {
            one["Key"].removeprefix(f"results/{trained['job_id']}/")
            for one in client.list_objects_v2(Bucket=bucket[5:], Prefix="results/")["Contents"]
        }
        assert {"job.json", "train/status.json", "train/log.txt", "train/checkpoints.json"} <= keys
        assert any(key.endswith(".pth") for key in keys)
        for action in ("evaluate", "inference"):
            done = tao(here, "run", action, *roots, "--parent-job-id", trained["job_id"])
            assert done["status"] == "COMPLETE"
        evaluated_here = tao(here, "run", "evaluate", *roots, "--parent-job-id", trained["job_id"])

        fetched = reads(proxy)
        assert len(fetched) == 5  # train, reference, val of known classes; reference, test of unknown ones
        proxy.seen.clear()
        proxy.down_bytes = 0
        again = tao(here, "run", "train", *roots, "--automl-policy", "off", "--overrides", *QUICK)
        assert again["status"] == "COMPLETE"
        assert reads(proxy) == []
        print(f"\n{s3_server.name}: the second run fetched {proxy.down_bytes} bytes in {len(proxy.seen)} requests")
        assert proxy.down_bytes < 20_000

        # Another machine knows the parent only from the server, and fetches the chosen file alone.
        proxy.seen.clear()
        there = machine(tmp_path, "second") | s3_server.environment(proxy.url)
        listed = tao(there, "jobs", "list", "--results-root", f"{bucket}/results")["jobs"]
        assert {one["job_id"] for one in listed} >= {trained["job_id"], again["job_id"]}
        plan = tao(there, "run", "evaluate", *roots, "--parent-job-id", trained["job_id"], "--dry-run")
        assert plan["spec"]["evaluate"]["checkpoint"].startswith(f"{bucket}/results/{trained['job_id']}/train/model")
        elsewhere = tao(there, "run", "evaluate", *roots, "--parent-job-id", trained["job_id"])
        assert elsewhere["metrics"] == evaluated_here["metrics"]
        assert len({target for target in reads(proxy) if ".pth" in target}) == 1
        assert tao(there, "jobs", "logs", trained["job_id"], "--results-root", f"{bucket}/results")["lines"]
