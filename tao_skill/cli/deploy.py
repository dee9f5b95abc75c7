"""`deploy`: look after models that leave the trainer."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tao_skill.cli.outcome import Outcome
from tao_skill.errors import StorageError, UsageError

__all__ = ["add_to"]

_EXAMPLE = """example:
  python -m tao_skill deploy compare --parent-job-id EXPORT_JOB --data-root /data --html engines.html
"""


def add_to(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("deploy", help="compare the engines of a model", parents=parents)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True, dest="verb")
    compare = verbs.add_parser(
        "compare",
        help="one model in every engine that this machine can run: answers, speed, memory",
        description="Compare torch, ONNX Runtime, OpenVINO and TensorRT on the same images, in turns.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=parents,
    )
    compare.add_argument("--parent-job-id", metavar="ID", required=True, help="job of export or gen_trt_engine")
    compare.add_argument("--results-root", metavar="URI", help="folder of all jobs")
    compare.add_argument("--data-root", metavar="URI", help="where the skill's data sources lie")
    compare.add_argument("--reference", metavar="URI", help="reference images, a folder of class folders")
    compare.add_argument("--query", metavar="URI", help="query images, a folder of class folders")
    compare.add_argument("--batches", metavar="N", type=int, nargs="+", default=[1, 16], help="batch sizes to time")
    compare.add_argument("--rounds", metavar="N", type=int, default=7, help="rounds of timing (default: 7)")
    compare.add_argument("--html", metavar="FILE", help="write the comparison as an HTML page, too")
    compare.set_defaults(call=_compare)


def _compare(options: argparse.Namespace) -> Outcome:
    from tao_skill.cli.progress import show_log
    from tao_skill.run.compare import compare_engines

    if min(*options.batches, options.rounds) < 1:
        raise UsageError("--batches and --rounds count from 1.", next_step="python -m tao_skill deploy compare --help")
    show_log("debug" in options)
    document = compare_engines(
        options.parent_job_id,
        results_root=options.results_root,
        data_root=options.data_root,
        reference=options.reference,
        query=options.query,
        batches=options.batches,
        rounds=options.rounds,
    )
    if options.html:
        _write_page(Path(options.html), document)
    return Outcome(document, _text(document) + (f"\nPage: {options.html}" if options.html else ""))


def _write_page(path: Path, document: Mapping[str, Any]) -> None:
    from tao_skill.metric_learning.compare.page import comparison_page

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(comparison_page(document), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{path} can't be written: {error.strerror or error}") from error


def _text(document: Mapping[str, Any]) -> str:
    batches = [str(batch) for batch in document["batches"]]
    table = [["engine", "P@1", "mAP", "cosine mean", "worst", *(f"img/s @{batch}" for batch in batches)]]
    table[0] += [*(f"× @{batch}" for batch in batches), "memory MB", "file MB"]
    for row in document["rows"]:
        cells = [row["label"], f"{row['precision_at_1']:.4f}", f"{row['mean_average_precision']:.4f}"]
        cells += [f"{row['mean_cosine']:.5f}", f"{row['worst_cosine']:.5f}"]
        cells += [f"{row['images_per_second'][batch]:.1f}" for batch in batches]
        cells += [f"{row['speedup'][batch]:.2f}" for batch in batches]
        cells += [f"{row['memory_bytes'] / 1e6:.0f}", f"{row['file_bytes'] / 1e6:.1f}"]
        table.append(cells)
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = [
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in table)
    ]
    return "\n".join([*lines, *(f"not run: {one['label']}: {one['reason']}" for one in document["skipped"])])
