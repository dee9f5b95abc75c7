"""Train from one spec file: the entry point for runners that start a Python script with ``--config FILE``."""

import argparse
import sys
from collections.abc import Sequence

try:
    from tao_skill.cli.ml_recog import main as ml_recog
except ModuleNotFoundError as error:
    if error.name != "tao_skill":
        raise
    raise SystemExit('This script needs the tao-skill package: in its checkout, pip install ".[train]"') from error


def main(arguments: Sequence[str] | None = None) -> int | None:
    """Run the trainer on the spec (YAML or JSON) that ``--config`` names; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, metavar="FILE", help="nested train spec, YAML or JSON")
    return ml_recog(["train", "-e", parser.parse_args(arguments).config])


if __name__ == "__main__":
    sys.exit(main())
