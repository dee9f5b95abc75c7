"""Find images that can't be decoded, quickly, before they are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from tao_skill.config.wording import counted
from tao_skill.metric_learning.data.decoded import doubtful, remember
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
    if not paths:
        return []
    from tao_skill.metric_learning.data.decode import undecodable_reason  # costs as much as a whole dry run

    def reasons(task: Sequence[Path]) -> list[str | None]:
        return [undecodable_reason(path) for path in task]

    tasks = [paths[start : start + _FILES_PER_TASK] for start in range(0, len(paths), _FILES_PER_TASK)]
    bad: list[tuple[Path, str]] = []
    done = 0
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for task, found in zip(tasks, pool.map(reasons, tasks), strict=True):
            bad += [(path, reason) for path, reason in zip(task, found, strict=True) if reason is not None]
            done += len(task)
            if progress is not None:
                progress(done, len(paths))
    return bad


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
    bad = _undecodable_of([images for images in sets if images is not None], workers, progress)
    if not bad:
        return list(sets)
    if on_bad_image != "skip":
        _report_bad(bad, findings)
        return list(sets)
    return [None if images is None else _skipping(images, bad, findings) for images in sets]


def _undecodable_of(sets: Sequence[ImageSet], workers: int, progress: Progress | None) -> dict[Path, str]:
    doubts = [doubtful(images.paths) for images in sets]
    bad = dict(find_undecodable(list(dict.fromkeys(chain.from_iterable(doubts))), workers, progress))
    for images, looked_at in zip(sets, doubts, strict=True):
        if not all(path in bad for path in looked_at):  # else nothing is known beyond what was
            remember(images.paths, bad)
    return bad


def _report_bad(bad: dict[Path, str], findings: Findings) -> None:
    for path, reason in list(bad.items())[:NAMED_AT_MOST]:
        findings.problem(str(path), reason, "an image file that decodes")
    more = len(bad) - NAMED_AT_MOST
    also = f"; {more} more than the {NAMED_AT_MOST} listed here" if more > 0 else ""
    without = counted(len(bad), "undecodable image")
    findings.problem("dataset.on_bad_image", "error", f"skip, to go on without {without}{also}")


def _skipping(images: ImageSet, bad: dict[Path, str], findings: Findings) -> ImageSet | None:
    kept = images.without(bad)
    root = images.root
    shown = {path: path.relative_to(root) if path.is_relative_to(root) else path for path in bad}
    skipped = [f"{shown[path]} ({bad[path]})" for path in images.paths if path in bad]
    if skipped:
        number = counted(len(skipped), "image can't be decoded and is", "images can't be decoded and are")
        findings.warnings.append(f"{images.key}: {number} skipped: {name_some(skipped, NAMED_AT_MOST)}")
    lost = sorted(set(images.classes) - set(kept.classes))
    if not kept.paths:
        findings.problem(images.key, f"{len(images)} images, none decodes", "at least one image that decodes")
        return None
    if lost:
        findings.warnings.append(f"{images.key}: classes without a decodable image were left out: {name_some(lost)}")
    return kept
