"""Arguments that several commands take."""

from __future__ import annotations

import argparse

__all__ = ["add_action", "add_results_root", "add_skill"]

_ACTIONS = "train, evaluate, inference, export or gen_trt_engine"


def add_action(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add the action: as the first word, or under the ``names`` of an option that must be there."""
    if names:
        parser.add_argument(*names, required=True, help=_ACTIONS)
    else:
        parser.add_argument("action", help=_ACTIONS)


def add_skill(parser: argparse.ArgumentParser) -> None:
    """Add the skill that is used."""
    parser.add_argument(
        "--skill", "--skill-dir", metavar="NAME|DIR", help="skill, or its folder (default: the recognition skill)"
    )


def add_results_root(parser: argparse.ArgumentParser) -> None:
    """Add where the jobs are."""
    parser.add_argument(
        "--results-root", metavar="URI", help="folder of all jobs (default: $TAO_RESULTS_ROOT, ./results)"
    )
