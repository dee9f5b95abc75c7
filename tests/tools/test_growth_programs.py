"""The programs of the growth page: what is imported once is imported before the clock starts."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.long
def test_the_search_that_is_not_measured_imports_what_fits_import() -> None:
    program = (
        "import sys\nfrom tools.bench.growth_programs import _FITS, _searched\n"
        "_searched(_FITS)\nbefore = set(sys.modules)\n_searched(_FITS + 3)\n"
        "assert 'torch' in before\nprint(*sorted(set(sys.modules) - before))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout.split() == []
