"""Look at data sets before anybody spends time on them: counts, damage, names, duplicates, sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tao_skill.config.wording import counted
from tao_skill.metric_learning.data.bad_images import Progress
from tao_skill.metric_learning.data.check import name_differences
from tao_skill.metric_learning.data.duplicates import equal_files, near_duplicates
from tao_skill.metric_learning.data.findings import NAMED_AT_MOST, Findings
from tao_skill.metric_learning.data.fingerprints import FileFacts, fingerprints
from tao_skill.metric_learning.data.folders import read_class_map, scan_class_folders
from tao_skill.metric_learning.data.image_set import ImageSet, name_some

__all__ = ["DataSet", "check_data"]

Role = Literal["train", "reference", "query"]
SMALL_SIDE = 32
"""Images with a shorter side, in pixels, are named: they hold little to recognise."""
FEW_SHADES = 1 / 8
"""Images of more than 8 bits whose brightest pixel is a smaller share of white are named: 32 shades are left."""


@dataclass(frozen=True)
class DataSet:
    """One set to look at: ``name`` is what it is called in the report, ``task`` joins the sets used together."""

    name: str
    role: Role
    path: str
    task: str = ""


@dataclass
class _Looked:
    """One set with all that was found in it."""

    asked: DataSet
    images: ImageSet | None
    facts: list[FileFacts] = field(default_factory=list)

    def class_of(self) -> dict[Path, str]:
        """Return the class name of each image."""
        if self.images is None:
            return {}
        names = self.images.classes
        return {path: names[label] for path, label in zip(self.images.paths, self.images.labels, strict=True)}


def check_data(
    sets: Sequence[DataSet],
    *,
    class_map: str | None = None,
    workers: int = 4,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return a report as plain data: each set's facts, what two sets share, and what is wrong (``problems``) or odd
    (``warnings``). ``ok`` says that nothing is wrong.

    Raises:
        DataError: the class map can't be used.
    """
    names = read_class_map(class_map) if class_map else {}
    findings = Findings()
    looked = [_look(one, names, findings) for one in sets]
    everything = list(dict.fromkeys(path for one in looked if one.images for path in one.images.paths))
    known = {facts.path: facts for facts in fingerprints(everything, workers, progress)}
    for one in looked:
        one.facts = [known[path] for path in one.images.paths] if one.images else []
        _judge(one, findings)
    training = {one.asked.task for one in looked if one.asked.role == "train"}
    names_shared = [
        _compare_names(reference, query, query.asked.task in training, findings)
        for reference, query in _retrieval_pairs(looked)
    ]
    duplicates = _duplicates(looked, findings)
    return {
        "ok": not findings.problems,
        "sets": [_describe(one) for one in looked],
        "names": names_shared,
        "duplicates": duplicates,
        "problems": [{"key": one.key, "value": one.value, "expected": one.expected} for one in findings.problems],
        "warnings": findings.warnings,
    }


def _look(asked: DataSet, class_map: Mapping[str, str], findings: Findings) -> _Looked:
    scan = scan_class_folders(asked.path, asked.name, class_map)
    findings.problems += scan.problems
    if scan.images is not None:
        findings.warnings += scan.images.warnings
    return _Looked(asked, scan.images)


def _judge(one: _Looked, findings: Findings) -> None:
    """Note what is wrong or odd with a set by itself."""
    if one.images is None:
        return
    name = one.asked.name
    bad = [facts for facts in one.facts if facts.reason is not None]
    for facts in bad[:NAMED_AT_MOST]:
        findings.problem(str(facts.path), facts.reason, "an image file that decodes")
    if len(bad) > NAMED_AT_MOST:
        findings.problem(name, f"{len(bad)} files", f"images that decode; only {NAMED_AT_MOST} of them are listed")
    if one.asked.role == "train":
        if len(one.images.classes) < 2:
            findings.problem(name, f"one class: {one.images.classes[0]}", "at least two classes to tell apart")
        single = _classes_of_one(one.images)
        if single:
            text = f"{name}: {len(single)} of {len(one.images.classes)} classes have one image: {name_some(single, 5)}"
            findings.warnings.append(f"{text}; their positive pairs are two augmentations of it")
    small = [facts.path for facts in one.facts if facts.reason is None and min(facts.width, facts.height) < SMALL_SIDE]
    if small:
        findings.warnings.append(
            f"{name}: {counted(len(small), 'image has', 'images have')} a side shorter than {SMALL_SIDE} pixels: "
            f"{name_some(small, 3)}"
        )
    shadeless = [facts.path for facts in one.facts if not FEW_SHADES <= facts.brightest <= 1.0]
    if shadeless:
        findings.warnings.append(
            f"{name}: {counted(len(shadeless), 'deep gray image fills', 'deep gray images fill')} little of the range "
            f"of gray values, or goes beyond: few shades are left in 8 bits, so scale the values of such files: "
            f"{name_some(shadeless, 3)}"
        )


def _classes_of_one(images: ImageSet) -> list[str]:
    return [name for name, count in zip(images.classes, images.images_per_class(), strict=True) if count == 1]


def _describe(one: _Looked) -> dict[str, Any]:
    described: dict[str, Any] = {"name": one.asked.name, "role": one.asked.role, "path": one.asked.path}
    if one.images is None:
        return described
    counts = one.images.images_per_class()
    single = _classes_of_one(one.images)
    sound = [facts for facts in one.facts if facts.reason is None]
    return described | {
        "images": len(one.images),
        "classes": len(one.images.classes),
        "bytes": sum(facts.bytes for facts in one.facts),
        "images_per_class": _spread(counts),
        "class_counts": dict(zip(one.images.classes, counts, strict=True)),
        "one_image_classes": len(single),
        "undecodable": len(one.facts) - len(sound),
        "width": _spread([facts.width for facts in sound]),
        "height": _spread([facts.height for facts in sound]),
        "formats": dict(Counter(facts.format for facts in sound).most_common()),
    }


def _spread(values: Sequence[int]) -> dict[str, float] | None:
    if not values:
        return None
    return {"min": int(min(values)), "median": float(np.median(values)), "max": int(max(values))}


def _retrieval_pairs(looked: Sequence[_Looked]) -> list[tuple[_Looked, _Looked]]:
    """Return reference and query of each task, where both could be read."""
    pairs = []
    for query in looked:
        for reference in looked:
            roles = (reference.asked.role, query.asked.role) == ("reference", "query")
            if roles and reference.asked.task == query.asked.task and reference.images and query.images:
                pairs.append((reference, query))
    return pairs


def _compare_names(reference: _Looked, query: _Looked, training: bool, findings: Findings) -> dict[str, Any]:
    """Compare the class names of a reference and its queries; training can't validate on unknown classes."""
    assert reference.images is not None
    assert query.images is not None
    known, asked = set(reference.images.classes), set(query.images.classes)
    missing, hint = name_differences(query.images.classes, reference.images.classes)
    if missing and len(missing) == len(asked):
        expected = f"class names of {reference.asked.name}, which are {name_some(sorted(known), 5)}; not one is in both"
        findings.problem(query.asked.name, name_some(missing, 5), expected + hint)
    elif missing and training:
        expected = f"classes that are in {reference.asked.name}{hint}"
        findings.problem(query.asked.name, name_some(missing, NAMED_AT_MOST), expected)
    elif missing:
        findings.warnings.append(
            f"{query.asked.name}: {len(missing)} of {len(asked)} classes are not in {reference.asked.name}: "
            f"{name_some(missing, 5)}{hint}; evaluate counts them as unknown with evaluate.open_set=true, else it stops"
        )
    return {
        "reference": reference.asked.name,
        "query": query.asked.name,
        "shared": len(known & asked),
        "only_query": missing[:NAMED_AT_MOST],
        "only_reference": len(known - asked),
    }


def _duplicates(looked: Sequence[_Looked], findings: Findings) -> dict[str, Any]:
    """Find equal and nearly equal images, within sets and across them."""
    groups = equal_files(facts for one in looked for facts in one.facts)
    return {
        "same_file": [pair for one, other in combinations(looked, 2) for pair in _shared(one, other, findings)],
        "same_file_two_classes": _conflicts(looked, groups, findings),
        "near": [pair for one, other in combinations(looked, 2) for pair in _near(one, other, findings)],
    }


def _conflicts(looked: Sequence[_Looked], groups: list[list[FileFacts]], findings: Findings) -> dict[str, Any]:
    """Return groups of equal files that have different labels: at least one of them is wrong."""
    classes = {path: name for one in looked for path, name in one.class_of().items()}
    wrong = [group for group in groups if len({classes[facts.path] for facts in group}) > 1]
    if wrong:
        first = " = ".join(str(facts.path) for facts in wrong[0][:3])
        several = counted(len(wrong), "image is", "images are")
        findings.warnings.append(f"{several} there under several class names, such as {first}")
    return {"count": len(wrong), "some": [[str(one.path) for one in group] for group in wrong[:NAMED_AT_MOST]]}


def _shared(one: _Looked, other: _Looked, findings: Findings) -> list[dict[str, Any]]:
    """Return the files that two sets share."""
    places = {facts.sha256: facts.path for facts in one.facts if facts.sha256}
    pairs = [(places[facts.sha256], facts.path) for facts in other.facts if facts.sha256 in places]
    if not pairs:
        return []
    if "query" in (one.asked.role, other.asked.role):
        findings.warnings.append(
            f"{one.asked.name} and {other.asked.name} share {counted(len(pairs), 'file')}, which makes results look "
            f"better than they are: {pairs[0][0]} = {pairs[0][1]}"
        )
    return [_pair_facts(one, other, len(pairs), [[str(a), str(b)] for a, b in pairs[:NAMED_AT_MOST]])]


def _near(one: _Looked, other: _Looked, findings: Findings) -> list[dict[str, Any]]:
    """Return pictures that queries and another set share although the files differ."""
    if "query" not in (one.asked.role, other.asked.role):
        return []
    pairs = near_duplicates(one.facts, other.facts)
    if not pairs:
        return []
    findings.warnings.append(
        f"{one.asked.name} and {other.asked.name} hold {counted(len(pairs), 'pair')} of nearly the same picture, such "
        f"as {pairs[0].first} ~ {pairs[0].second}"
    )
    some = [[str(pair.first), str(pair.second), pair.likeness] for pair in pairs[:NAMED_AT_MOST]]
    return [_pair_facts(one, other, len(pairs), some)]


def _pair_facts(one: _Looked, other: _Looked, count: int, some: list[list[Any]]) -> dict[str, Any]:
    return {"sets": [one.asked.name, other.asked.name], "count": count, "some": some}
