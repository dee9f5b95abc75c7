"""Measure staging side by side with boto3 and tarfile, on one server, in one run: ``python -m tools.bench.storage``."""

import argparse
import io
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

KEYS = {"NANIO_ACCESS_KEY": "bench", "NANIO_SECRET_KEY": "bench-secret"}
PORT = 19311
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench-secret", "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{PORT}",
}  # fmt: skip
ARCHIVE = "train.tar.gz"


def main() -> None:
    """Print a table of times, and of the memory of the staging process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--image-kilobytes", type=int, default=40)
    options = parser.parse_args()
    os.environ |= ENVIRONMENT
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        root = Path(name)
        archive = make_archive(root, options.megabytes, options.image_kilobytes)
        server = start_server(root / "server")
        try:
            upload(archive)
            report(measure(root, archive, options.rounds))
        finally:
            server.terminate()
            server.wait()


def make_archive(root: Path, megabytes: int, kilobytes: int) -> Path:
    """Write an archive of so many megabytes of JPEG-like files: a real header, then bytes that don't compress."""
    path = root / ARCHIVE
    size = kilobytes * 1000
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for number in range(megabytes * 1000 // kilobytes):
            info = tarfile.TarInfo(f"train/class_{number % 200:03d}/{number:06d}.jpg")
            info.size = size
            tar.addfile(info, io.BytesIO(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + os.urandom(size - 11)))
    return path


def start_server(folder: Path) -> "subprocess.Popen[bytes]":
    """Start a server on loopback that checks signatures."""
    folder.mkdir()
    command = [sys.executable, "-m", "nanio", "serve", "--data-dir", str(folder), "--host", "127.0.0.1"]
    command += ["--port", str(PORT), "--no-access-log", "--log-level", "error"]
    return subprocess.Popen(command, env=os.environ | KEYS)


def upload(archive: Path) -> None:
    """Put the archive on the server once it answers."""
    from boto3 import client

    for _ in range(100):
        try:
            client("s3").create_bucket(Bucket="bench")
            break
        except Exception:  # not there yet
            time.sleep(0.1)
    client("s3").upload_file(str(archive), "bench", ARCHIVE)


def measure(root: Path, archive: Path, rounds: int) -> dict[str, list[float]]:
    """Run each way in turn, so that what else the machine does hits all alike."""
    ways: dict[str, Callable[[Path], None]] = {
        "tarfile.extractall of a local archive": lambda work: _extractall(archive, work),
        "this program, local archive": lambda work: _local(archive, work),
        "boto3 download_file + extractall": _boto3,
        "this program, s3://": _stage,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    times["second staging, same process (ms)"] = []
    times["memory of the staging process (MB)"] = []
    for _ in range(rounds):
        for name, way in ways.items():
            work = root / "work"
            work.mkdir()
            os.sync()
            begin = time.perf_counter()
            way(work)
            times[name].append(time.perf_counter() - begin)
            shutil.rmtree(work)
        second, memory = _in_own_process(root / "own")
        times["second staging, same process (ms)"].append(second)
        times["memory of the staging process (MB)"].append(memory)
    return times


def _extractall(archive: Path, work: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(work, filter="data")


def _local(archive: Path, work: Path) -> None:
    from tao_skill.storage.stage import stage

    stage(archive, work)


def _boto3(work: Path) -> None:
    from boto3 import client

    client("s3").download_file("bench", ARCHIVE, str(work / ARCHIVE))
    _extractall(work / ARCHIVE, work / "out")


def _stage(work: Path) -> None:
    from tao_skill.storage.stage import stage

    stage(f"s3://bench/{ARCHIVE}", work)


def _in_own_process(cache: Path) -> tuple[float, float]:
    program = f"""
import resource, sys, time
from pathlib import Path
from tao_skill.storage.stage import stage
stage("s3://bench/{ARCHIVE}", Path(sys.argv[1]))
begin = time.perf_counter()
stage("s3://bench/{ARCHIVE}", Path(sys.argv[1]))
print((time.perf_counter() - begin) * 1000, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
"""
    answer = subprocess.run([sys.executable, "-c", program, str(cache)], capture_output=True, text=True, check=True)
    shutil.rmtree(cache)
    second, memory = answer.stdout.split()
    return float(second), float(memory)


def report(times: dict[str, list[float]]) -> None:
    """Print medians and ranges."""
    for name, values in times.items():
        print(f"{name:<42}{statistics.median(values):>9.2f}   ({min(values):.2f} to {max(values):.2f})")
    local, remote = times["this program, local archive"], times["this program, s3://"]
    ratio = statistics.median(far / near for far, near in zip(remote, local, strict=True))
    print(f"{'s3:// over local, median of rounds':<42}{ratio:>9.2f}")


if __name__ == "__main__":
    main()
