"""Read the data sets that a spec names and check them together, so that one error tells everything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tao_skill.config.placeholder import is_given
from tao_skill.errors import DataError
from tao_skill.metric_learning.data.check import (
    CheckedRetrieval,
    CheckedSets,
    check_retrieval_sets,
    check_training_sets,
)
from tao_skill.metric_learning.data.findings import Findings
from tao_skill.metric_learning.data.folders import (
    read_class_map,
    read_image_file,
    read_image_folder,
    scan_class_folders,
)
from tao_skill.metric_learning.data.image_set import ImageSet, name_some

if TYPE_CHECKING:
    from tao_skill.metric_learning.data.bad_images import Progress

__all__ = ["load_evaluation_sets", "load_inference_sets", "load_training_sets"]

_TRAIN, _REFERENCE, _QUERY = "dataset.train_dataset", "dataset.val_dataset.reference", "dataset.val_dataset.query"

Root = str | Path | None


def load_training_sets(
    train: Root,
    reference: Root,
    query: Root,
    *,
    batch_size: int,
    num_instance: int,
    class_map: Root = None,
    on_bad_image: str = "error",
    workers: int = 1,
    world_size: int = 1,
    decode: bool = True,
    progress: Progress | None = None,
) -> CheckedSets:
    """Read and check what training needs; without reference and query there is no validation, which is a warning.

    Raises:
        DataError: with all problems of all sets.
    """
    findings = Findings()
    roots: dict[str, Root | ImageSet] = {_TRAIN: train}
    if is_given(_text(reference)) or is_given(_text(query)):
        roots |= {_REFERENCE: reference, _QUERY: query}
    else:
        findings.warnings.append(
            f"{_REFERENCE} and {_QUERY} are not set: nothing is validated, no best checkpoint kept"
        )
    sets = _scan(roots, class_map, findings)
    return check_training_sets(
        sets[_TRAIN],
        sets.get(_REFERENCE),
        sets.get(_QUERY),
        batch_size=batch_size,
        num_instance=num_instance,
        on_bad_image=on_bad_image,
        workers=workers,
        world_size=world_size,
        decode=decode,
        progress=progress,
        findings=findings,
    )


def load_evaluation_sets(
    reference: Root | ImageSet,
    query: Root,
    *,
    topk: int,
    open_set: bool = False,
    class_map: Root = None,
    on_bad_image: str = "error",
    workers: int = 1,
    decode: bool = True,
    progress: Progress | None = None,
    keys: tuple[str, str] = (_REFERENCE, _QUERY),
) -> CheckedRetrieval:
    """Read and check what evaluation needs: reference and query, which the spec ``keys`` name.

    A reference that is a set already is one of a gallery: its images are embedded, and not decoded.

    Raises:
        DataError: with all problems of both sets.
    """
    findings = Findings()
    sets = _scan(dict(zip(keys, (reference, query), strict=True)), class_map, findings)
    return check_retrieval_sets(
        sets[keys[0]],
        sets[keys[1]],
        embedded=isinstance(reference, ImageSet),
        open_set=open_set,
        topk=topk,
        on_bad_image=on_bad_image,
        workers=workers,
        decode=decode,
        progress=progress,
        findings=findings,
    )


def load_inference_sets(
    reference: Root | ImageSet,
    input_path: Root,
    input_type: str,
    *,
    topk: int,
    class_map: Root = None,
    on_bad_image: str = "error",
    workers: int = 1,
    decode: bool = True,
    progress: Progress | None = None,
) -> CheckedRetrieval:
    """Read and check what inference needs: the reference, and the images of ``inference.input_path``.

    ``input_type`` is image, image_folder or classification_folder; a folder of either kind may be flat or nested. The
    reference may be a gallery's set, as in `load_evaluation_sets`.

    Raises:
        DataError: with all problems of reference and images.
    """
    findings = Findings()
    sets = _scan({_REFERENCE: reference}, class_map, findings)
    read = read_image_file if input_type == "image" else read_image_folder
    images: ImageSet | None = None
    try:
        images = read(input_path, "inference.input_path")
    except DataError as error:
        findings.problems += error.problems
    return check_retrieval_sets(
        sets[_REFERENCE],
        None,
        embedded=isinstance(reference, ImageSet),
        open_set=True,
        topk=topk,
        on_bad_image=on_bad_image,
        workers=workers,
        images=images,
        action="inference",
        decode=decode,
        progress=progress,
        findings=findings,
    )


def _scan(roots: Mapping[str, Root | ImageSet], class_map: Root, findings: Findings) -> dict[str, ImageSet | None]:
    names = _class_map(class_map, findings)
    ready = {key: root for key, root in roots.items() if isinstance(root, ImageSet)}
    scans = {key: scan_class_folders(root, key, names) for key, root in roots.items() if not isinstance(root, ImageSet)}
    for scan in scans.values():
        findings.problems += scan.problems
    unused = sorted(set(names) - {name for scan in scans.values() for name in scan.folder_names})
    if unused:
        findings.warnings.append(f"dataset.class_map: folders that no data set has: {name_some(unused)}")
    return ready | {key: scan.images for key, scan in scans.items()}


def _class_map(path: Root, findings: Findings) -> dict[str, str]:
    if path is None or not is_given(_text(path)):
        return {}
    try:
        return read_class_map(path)
    except DataError as error:
        findings.problems += error.problems
        return {}


def _text(root: Root) -> str:
    return "" if root is None else str(root)
