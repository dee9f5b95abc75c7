"""Measure staging side by side with boto3 and tarfile, on one server, in one run: ``python -m tools.bench.storage``.

The server runs on the same processors, so what it takes is told too.
"""

import argparse
import io
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

KEYS = {"NANIO_ACCESS_KEY": "bench", "NANIO_SECRET_KEY": "bench-secret"}
PORT = 19311
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench-secret", "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{PORT}",
}  # fmt: skip
ARCHIVE = "train.tar.gz"
_DISTINCT = 300
# gzip's own: what `tar czf` does.
_LEVEL = 6
SECOND = "second staging, same process (ms)"
MEMORY = "memory of the staging process (MB)"


@dataclass(frozen=True)
class Taken:
    """Seconds: of the clock, of the processor in this process and its children, and in the server."""

    wall: float
    own: float
    server: float


def main() -> None:
    """Print a table of times, and of the memory of the staging process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--archive", type=Path, help="a .tar.gz to measure with, instead of one made on the spot")
    options = parser.parse_args()
    os.environ |= ENVIRONMENT
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        root = Path(name)
        archive = root / ARCHIVE
        if options.archive:
            shutil.copyfile(options.archive, archive)
        else:
            make_archive(archive, options.megabytes)
        with server(root / "server") as process:
            upload(archive)
            report(measure(root, archive, options.rounds, process.pid))


def make_archive(path: Path, megabytes: int) -> None:
    """Write an archive of so many megabytes of JPEG files, as ``tar czf`` would."""
    files = list(_jpegs())
    written, number = 0, 0
    with tarfile.open(path, "w:gz", compresslevel=_LEVEL) as tar:
        while written < megabytes * 1_000_000:
            content = files[number % len(files)]  # gzip looks back 32 kB: it doesn't find the same picture again
            info = tarfile.TarInfo(f"train/class_{number % 200:03d}/{number:06d}.jpg")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
            written, number = written + len(content), number + 1


def _jpegs() -> Iterator[bytes]:
    import cv2

    from tools.bench.pictures import picture

    for number in range(_DISTINCT):
        _, encoded = cv2.imencode(".jpg", picture(number % 20, number, 500, 375))
        yield encoded.tobytes()


@contextmanager
def server(folder: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a server on loopback that checks signatures."""
    process = start_server(folder)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


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


def measure(root: Path, archive: Path, rounds: int, server_pid: int) -> dict[str, list[Taken]]:
    """Run each way in turn, so that what else the machine does hits all alike."""
    ways: dict[str, Callable[[Path], None]] = {
        "tar -xzf of a local archive": lambda work: _tar(archive, work),
        "tarfile.extractall of a local archive": lambda work: _extractall(archive, work),
        "this program, local archive": lambda work: _local(archive, work),
        "boto3 download_file + extractall": _boto3,
        "this program, s3://": _stage,
    }
    times: dict[str, list[Taken]] = {name: [] for name in (*ways, SECOND, MEMORY)}
    for _ in range(rounds):
        for name, way in ways.items():
            work = root / "work"
            work.mkdir()
            os.sync()
            own, served, begin = _own_seconds(), _seconds_of(server_pid), time.perf_counter()
            way(work)
            wall = time.perf_counter() - begin
            times[name].append(Taken(wall, _own_seconds() - own, _seconds_of(server_pid) - served))
            shutil.rmtree(work)
        second, memory = _in_own_process(root / "own")
        times[SECOND].append(Taken(second, 0, 0))
        times[MEMORY].append(Taken(memory, 0, 0))
    return times


def _own_seconds() -> float:
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both)


def _seconds_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _tar(archive: Path, work: Path) -> None:
    subprocess.run(["tar", "-xzf", str(archive), "-C", str(work)], check=True)


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
import sys, time
from pathlib import Path
from tao_skill.storage.stage import stage
from tools.bench.processes import own_peak_mb
stage("s3://bench/{ARCHIVE}", Path(sys.argv[1]))
begin = time.perf_counter()
stage("s3://bench/{ARCHIVE}", Path(sys.argv[1]))
print((time.perf_counter() - begin) * 1000, own_peak_mb())
"""
    answer = subprocess.run([sys.executable, "-c", program, str(cache)], capture_output=True, text=True, check=True)
    shutil.rmtree(cache)
    second, memory = answer.stdout.split()
    return float(second), float(memory)


def report(times: dict[str, list[Taken]]) -> None:
    """Print medians and ranges."""
    print(f"{'':<42}{'wall':>9}   {'range':<18}{'own CPU':>8}{'server CPU':>12}")
    for name, values in times.items():
        walls = [one.wall for one in values]
        spread = f"({min(walls):.2f} to {max(walls):.2f})"
        line = f"{name:<42}{statistics.median(walls):>9.2f}   {spread:<18}"
        if name not in (SECOND, MEMORY):
            own, served = (
                statistics.median(column) for column in zip(*[(x.own, x.server) for x in values], strict=True)
            )
            line += f"{own:>8.2f}{served:>12.2f}"
        print(line)
    local, remote = times["this program, local archive"], times["this program, s3://"]
    ratios = [far.wall / near.wall for far, near in zip(remote, local, strict=True)]
    print(f"{'s3:// over local, median of rounds':<42}{statistics.median(ratios):>9.2f}")


if __name__ == "__main__":
    main()
