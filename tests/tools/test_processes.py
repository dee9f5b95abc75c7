"""What is measured of a program from outside."""

import subprocess
import sys

import pytest

from tools.bench.processes import answer_of, run_measured

# A child that shares its parent's pages; when it has ended, the parent alone grows to less than both showed.
TWO_PEAKS = """
import os, time
held = b"1" * 200_000_000
child = os.fork()
if child == 0:
    time.sleep(1.7)
    os._exit(0)
os.waitpid(child, 0)
more = b"1" * 100_000_000
time.sleep(1.2)
"""


def test_both_peaks_are_sums_that_a_look_has_seen() -> None:
    measured = run_measured([sys.executable, "-c", TWO_PEAKS])
    assert 400 < measured.peak_resident_mb < 460
    # Not what both processes showed then, less the pages they shared: 200.
    assert 300 < measured.peak_mb < 350


def test_memory_that_comes_and_goes_is_not_counted_twice() -> None:
    program = """
import time
end, made = time.time() + 3.5, 0
while time.time() < end or made < 5:  # however slow the machine is
    bytearray(300_000_000)
    made += 1
"""
    measured = run_measured([sys.executable, "-c", program])
    assert 300 < measured.peak_mb <= measured.peak_resident_mb < 340


def test_libraries_count_whole_though_others_use_them_too() -> None:
    program = "import time, torch\nprint('{}')\ntime.sleep(2.5)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        measured = run_measured([sys.executable, "-c", program])
        other.kill()
    assert measured.peak_mb > 0.97 * measured.peak_resident_mb


def test_programs_that_just_start_have_no_memory_of_their_own_yet() -> None:
    # Each waits in vfork, with all of its parent's memory, until its program is found; there is none in any folder.
    program = """
import contextlib, subprocess, time
held, end = b"1" * 300_000_000, time.time() + 4
path = ":".join(f"/no/such/folder/{number}" for number in range(2000))
while time.time() < end:
    with contextlib.suppress(FileNotFoundError):
        subprocess.run(["no-such-program"], env={"PATH": path})
"""
    measured = run_measured([sys.executable, "-c", program])
    assert 300 < measured.peak_mb < 340
    assert 300 < measured.peak_resident_mb < 340


def test_what_a_child_has_of_its_own_counts() -> None:
    program = TWO_PEAKS.replace("time.sleep(1.7)", "held = bytearray(held); time.sleep(1.7)").replace(
        "100_000_000", "1"
    )
    measured = run_measured([sys.executable, "-c", program])
    assert 400 < measured.peak_mb < 460


def test_a_child_inherits_nothing_that_imports_set() -> None:
    program = """
import json, os
before = dict(os.environ)
import tools.bench.targets
import tao_skill.metric_learning.training.fit
from tools.bench.processes import child_environment
assert "GOMP_SPINCOUNT" in os.environ
after = child_environment()
print(json.dumps(sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))))
"""
    # OpenCV's names a folder that its wheel does not have.
    assert set(answer_of([sys.executable, "-c", program])) <= {"LD_LIBRARY_PATH"}


def test_a_program_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        answer_of([sys.executable, "-c", "raise SystemExit('no such thing')"])
