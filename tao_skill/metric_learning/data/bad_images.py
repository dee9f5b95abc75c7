"""Find images that can't be decoded, quickly, before they are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tao_skill.metric_learning.data.decode import undecodable_reason
from tao_skill.metric_learning.data.findings import NAMED_AT_MOST, Findings
from tao_skill.metric_learning.data.image_set import ImageSet, name_some

__all__ = ["Progress", "find_undecodable", "with_decodable_images"]

#: Called with the number of images checked so far and the number of all.
Progress = Callable[[int, int], object]

_FILES_PER_TASK = 32


def find_undecodable(paths: Sequence[Path], workers: int, progress: Progress | None = None) -> list[tuple[Path, str]]:
    """Decode every file in threads and return those that fail, with the reason, in the order given.

    Threads are enough, because Pillow decodes without holding the interpreter's lock.
    """
    tasks = [paths[start : start + _FILES_PER_TASK] for start in range(0, len(paths), _FILES_PER_TASK)]
    bad: list[tuple[Path, str]] = []
    done = 0
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for task, reasons in zip(tasks, pool.map(_reasons, tasks), strict=True):
            bad += [(path, reason) for path, reason in zip(task, reasons, strict=True) if reason is not None]
            done += len(task)
            if progress is not None:
                progress(done, len(paths))
    return bad


def _reasons(paths: Sequence[Path]) -> list[str | None]:
    return [undecodable_reason(path) for path in paths]


def with_decodable_images(
    sets: Sequence[ImageSet | None],
    on_bad_image: str,
    workers: int,
    progress: Progress | None,
    findings: Findings,
) -> list[ImageSet | None]:
    """Report undecodable images as problems, or leave them out with a warning where they are to be skipped.

    Sets that are None stay None, as does one of which nothing is left.
    """
    paths = list(dict.fromkeys(path for images in sets if images is not None for path in images.paths))
    bad = dict(find_undecodable(paths, workers, progress))
    if not bad:
        return list(sets)
    if on_bad_image != "skip":
        _report_bad(bad, findings)
        return list(sets)
    named = name_some((f"{path} ({reason})" for path, reason in bad.items()), NAMED_AT_MOST)
    findings.warnings.append(f"{len(bad)} images can't be decoded and are skipped: {named}")
    return [None if images is None else _skipping(images, bad, findings) for images in sets]


def _report_bad(bad: dict[Path, str], findings: Findings) -> None:
    for path, reason in list(bad.items())[:NAMED_AT_MOST]:
        findings.problem(str(path), reason, "an image file that decodes")
    more = len(bad) - NAMED_AT_MOST
    also = f"; {more} more than the {NAMED_AT_MOST} listed here" if more > 0 else ""
    findings.problem(
        "dataset.on_bad_image", "error", f"no undecodable image, or skip to leave them out ({len(bad)} found{also})"
    )


def _skipping(images: ImageSet, bad: dict[Path, str], findings: Findings) -> ImageSet | None:
    kept = images.without(bad)
    lost = sorted(set(images.classes) - set(kept.classes))
    if not kept.paths:
        findings.problem(images.key, f"{len(images)} images, none decodes", "at least one image that decodes")
        return None
    if lost:
        findings.warnings.append(f"{images.key}: classes without a decodable image were left out: {name_some(lost)}")
    return kept
