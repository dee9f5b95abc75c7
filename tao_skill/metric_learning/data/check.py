"""Find everything that is wrong with the data before training starts, and say it all at once."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tao_skill.config.wording import counted
from tao_skill.errors import InternalError
from tao_skill.metric_learning.data.findings import NAMED_AT_MOST, Findings
from tao_skill.metric_learning.data.image_set import ImageSet, name_some, share_classes

if TYPE_CHECKING:
    from tao_skill.metric_learning.data.bad_images import Progress

__all__ = [
    "CheckedRetrieval",
    "CheckedSets",
    "Findings",
    "check_retrieval_sets",
    "check_training_sets",
    "name_differences",
    "nested_hint",
]


@dataclass(frozen=True)
class CheckedSets:
    """Sets fit for training; reference and query share one list of class names. Warnings are for the user's eyes."""

    train: ImageSet
    reference: ImageSet | None
    query: ImageSet | None
    warnings: list[str]


@dataclass(frozen=True)
class CheckedRetrieval:
    """Sets fit for evaluation (with ``query``) or inference (with ``images``)."""

    reference: ImageSet
    query: ImageSet | None
    images: list[Path]
    warnings: list[str]


def check_training_sets(
    train: ImageSet | None,
    reference: ImageSet | None,
    query: ImageSet | None,
    *,
    batch_size: int,
    num_instance: int,
    on_bad_image: str,
    workers: int,
    world_size: int = 1,
    decode: bool = True,
    progress: Progress | None = None,
    findings: Findings | None = None,
) -> CheckedSets:
    """Check that the sets can be trained and validated with; ``batch_size`` is that of each process.

    A set is None only where there is none, or where ``findings`` already hold the reason. Without ``decode`` the images
    are counted, not read.

    Raises:
        DataError: with all problems of all sets.
    """
    findings = _with_warnings_of([train, reference, query], findings)
    if decode:
        from tao_skill.metric_learning.data.bad_images import with_decodable_images

        train, reference, query = with_decodable_images(
            [train, reference, query], on_bad_image, workers, progress, findings
        )
    if train is not None:
        _check_batches(train, batch_size, num_instance, world_size, findings)
    reference, query = _check_pair(reference, query, None, findings)
    findings.raise_if_any()
    if train is None:
        raise InternalError("training sets were checked without a training set")
    return CheckedSets(train, reference, query, findings.warnings)


def check_retrieval_sets(
    reference: ImageSet | None,
    query: ImageSet | None,
    *,
    open_set: bool,
    topk: int,
    on_bad_image: str,
    workers: int,
    images: ImageSet | None = None,
    action: str = "evaluate",
    embedded: bool = False,
    decode: bool = True,
    progress: Progress | None = None,
    findings: Findings | None = None,
) -> CheckedRetrieval:
    """Check that queries, or the ``images`` of inference, can be looked up in the reference.

    Without ``decode`` the images are counted, not read; a reference that is ``embedded`` is never read.

    Raises:
        DataError: with all problems of all sets.
    """
    findings = _with_warnings_of([reference, query, images], findings)
    if decode:
        from tao_skill.metric_learning.data.bad_images import with_decodable_images

        sets = [None if embedded else reference, query, images]
        read, query, images = with_decodable_images(sets, on_bad_image, workers, progress, findings)
        reference = reference if embedded else read
    if reference is not None and topk > len(reference):
        findings.problem(f"{action}.topk", topk, f"at most {len(reference)}, the number of reference images")
    reference, query = _check_pair(reference, query, open_set, findings)
    findings.raise_if_any()
    if reference is None:
        raise InternalError("retrieval sets were checked without a reference set")
    return CheckedRetrieval(reference, query, images.paths if images else [], findings.warnings)


def _with_warnings_of(sets: Sequence[ImageSet | None], findings: Findings | None) -> Findings:
    findings = findings if findings is not None else Findings()
    for images in sets:
        findings.warnings += images.warnings if images is not None else []
    return findings


def _check_batches(train: ImageSet, batch_size: int, num_instance: int, world_size: int, findings: Findings) -> None:
    num_classes, key = len(train.classes), "train.batch_size"
    if num_classes < 2:
        hint = nested_hint(train)
        findings.problem(train.key, f"one class: {train.classes[0]}", f"at least two classes to tell apart{hint}")
    if num_instance < 1 or batch_size < 1 or batch_size % num_instance:
        findings.problem(key, batch_size, f"a multiple of dataset.num_instance = {num_instance}")
    if num_instance >= 1:
        _check_size_of_batches(train, batch_size, num_instance, world_size, findings)
    _warn_of_small_classes(train, num_instance, findings)


def _check_size_of_batches(
    train: ImageSet, batch_size: int, num_instance: int, world_size: int, findings: Findings
) -> None:
    """Look whether there are enough classes and images; what is proposed holds whole classes."""
    num_classes, key = len(train.classes), "train.batch_size"
    classes, images = counted(num_classes, "class", "classes"), counted(len(train), "image")
    each = f" in each of {world_size} processes" if world_size > 1 else ""
    if num_classes < world_size:
        expected = f"at least {world_size} classes, one for each process that trains, or fewer processes"
        findings.problem(train.key, classes, expected)
    elif batch_size // num_instance * world_size > num_classes:
        most = num_instance * (num_classes // world_size)
        expected = f"at most {most}{each}: {classes} with dataset.num_instance = {counted(num_instance, 'image')} each"
        findings.problem(key, batch_size, expected)
    if batch_size * world_size > len(train):
        most = len(train) // world_size
        if most >= num_instance:
            whole = most - most % num_instance
            findings.problem(key, batch_size, f"at most {whole}{each}, since the training set has {images}")
        elif most:
            expected = f"at most {most}, since the training set has {images}{' for all processes' if each else ''}"
            findings.problem("dataset.num_instance", num_instance, expected)


def _warn_of_small_classes(train: ImageSet, num_instance: int, findings: Findings) -> None:
    counts = train.images_per_class()
    single = [name for name, count in zip(train.classes, counts, strict=True) if count == 1 < num_instance]
    few = [name for name, count in zip(train.classes, counts, strict=True) if 1 < count < num_instance]
    if single:
        findings.warnings.append(
            f"{train.key}: {counted(len(single), 'class has', 'classes have')} one image, so "
            f"{'its' if len(single) == 1 else 'their'} positive pairs are two augmentations of it: {name_some(single)}"
        )
    if few:
        findings.warnings.append(
            f"{train.key}: {counted(len(few), 'class has', 'classes have')} fewer than dataset.num_instance = "
            f"{num_instance} images, which repeat within a batch: {name_some(few)}"
        )


def _check_pair(
    reference: ImageSet | None, query: ImageSet | None, open_set: bool | None, findings: Findings
) -> tuple[ImageSet | None, ImageSet | None]:
    """Compare the class names of reference and query and put both in one name space.

    ``open_set`` is None in training, where queries of unknown classes can't be allowed.
    """
    if reference is None or query is None:
        return reference, query
    if reference.root.resolve() == query.root.resolve():
        findings.warnings.append(f"{query.key} is the same folder as {reference.key}: every query finds itself")
    elif shared := {*map(os.path.abspath, query.paths)} & {*map(os.path.abspath, reference.paths)}:
        findings.warnings.append(
            f"{query.key}: {counted(len(shared), 'image is', 'images are')} in {reference.key} too, where "
            f"{'it finds itself' if len(shared) == 1 else 'they find themselves'}: {name_some(sorted(shared), 3)}"
        )
    missing, hint = name_differences(query.classes, reference.classes)
    if len(missing) == len(query.classes):
        expected = f"class names of {reference.key}, which are {name_some(reference.classes, 5)}; not one is in both"
        findings.problem(query.key, name_some(missing, 5), expected + hint)
    elif missing and open_set:
        findings.warnings.append(
            f"{query.key}: {counted(len(missing), 'class is', 'classes are')} not in the reference and "
            f"{'counts' if len(missing) == 1 else 'count'} as unknown: {name_some(missing, NAMED_AT_MOST)}"
        )
    elif missing:
        way = "add reference images of them, or remove them from the query"
        way += ", or set evaluate.open_set=true" if open_set is not None else ""
        findings.problem(
            query.key, name_some(missing, NAMED_AT_MOST), f"classes that are in the reference: {way}{hint}"
        )
    return share_classes(reference, query)


def name_differences(names: Sequence[str], known: Sequence[str]) -> tuple[list[str], str]:
    """Return the names that aren't known, and a hint at those that differ in case, spaces or punctuation only."""
    there = set(known)
    missing = [name for name in names if name not in there]
    plain = {_plain(name): name for name in known}
    pairs = [f"{name} and {plain[_plain(name)]}" for name in missing if _plain(name) in plain]
    hint = f" (alike but for case or punctuation: {name_some(pairs, 5)}; see dataset.class_map)" if pairs else ""
    return missing, hint


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def nested_hint(images: ImageSet) -> str:
    """Return a hint where images lie so deep that the class folders may be one level further down; else nothing."""
    depths = {len(path.relative_to(images.root).parts) for path in images.paths}
    if min(depths) < 3:
        return ""
    folder = images.root / images.paths[0].relative_to(images.root).parts[0]
    return f"; should the path be {folder}, whose folders hold the images?"
