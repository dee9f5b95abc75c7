"""Find the images of a data set: class folders, plain folders, a class map.

Rules: a class is a folder directly below the root, its name the folder's (Unicode NFC) or what the class map makes of
it; its images lie anywhere below it; classes are sorted by name, images by path. Hidden entries, other files and
empty class folders are left out with a warning and never shift a label. Links are followed, except into the root, its
parents or another class, so that no loop hangs and no image gets two labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tao_skill.config.placeholder import is_given
from tao_skill.config.wording import counted
from tao_skill.errors import DataError, Problem
from tao_skill.metric_learning.data.image_set import ImageSet, image_set, name_some, share_classes
from tao_skill.metric_learning.data.walk import (
    IMAGE_SUFFIXES,
    LeftOut,
    class_folders,
    images_below,
    images_by_class_folder,
    nfc,
    shared_class_folders,
)

__all__ = [
    "IMAGE_SUFFIXES",
    "ImageSet",
    "Scan",
    "name_some",
    "read_class_folders",
    "read_class_map",
    "read_image_file",
    "read_image_folder",
    "scan_class_folders",
    "share_classes",
]

_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
_LAYOUT = "a folder of class folders: <root>/<class>/<image>"


@dataclass(frozen=True)
class Scan:
    """What was found below a root: ``images`` is None when there are problems."""

    images: ImageSet | None
    problems: list[Problem]
    folder_names: frozenset[str] = frozenset()


def read_class_folders(root: str | Path | None, key: str, class_map: Mapping[str, str] | None = None) -> ImageSet:
    """Read a tree of class folders; ``key`` is the spec key that problems name.

    Raises:
        DataError: with every problem: no path, no such folder, a file, no class folder, no image, unreadable folders.
    """
    scan = scan_class_folders(root, key, class_map)
    if scan.images is None:
        raise DataError(f"{key} can't be used", problems=scan.problems, next_step=f"correct {key}")
    return scan.images


def scan_class_folders(root: str | Path | None, key: str, class_map: Mapping[str, str] | None = None) -> Scan:
    """Do the work of `read_class_folders`, but return the problems, so that those of several sets can be joined."""
    folder, problems = _existing_folder(root, key, _LAYOUT)
    if folder is None:
        return Scan(None, problems)
    left_out = LeftOut()
    try:
        folders = class_folders(folder, left_out)
        images = images_by_class_folder(folder, folders, left_out)
        shared = shared_class_folders(folders)
    except OSError as error:
        return Scan(None, [_unreadable(key, folder, error)])
    empty = [name for name, paths in images.items() if not paths]
    named = [((class_map or {}).get(name, name), path) for name, paths in images.items() for path in paths]
    problems = [_not_utf8(path) for _, path in named if not _is_utf8(path)]
    problems += [_same_images(key, one, other) for one, other in shared]
    if not named:
        problems.append(_nothing_found(folder, key, empty, left_out))
    if problems:
        return Scan(None, problems, frozenset(images))
    return Scan(image_set(folder, key, named, left_out.warnings(key, folder, empty)), [], frozenset(images))


def read_image_folder(root: str | Path | None, key: str) -> ImageSet:
    """Return all images of a folder, flat or nested, sorted, with warnings of what is left out; none has a class.

    Raises:
        DataError: no path, no such folder, a file, no image.
    """
    folder, problems = _existing_folder(root, key, "a folder of images")
    paths: list[Path] = []
    left_out = LeftOut()
    if folder is not None:
        try:
            paths = images_below(folder, left_out)
        except OSError as error:
            problems = [_unreadable(key, folder, error)]
        problems += [_not_utf8(path) for path in paths if not _is_utf8(path)]
        if not paths and not problems:
            problems = [Problem(key, str(folder), f"at least one image ({' '.join(sorted(IMAGE_SUFFIXES))})")]
    if folder is None or problems:
        raise DataError(f"{key} can't be used", problems=problems, next_step=f"correct {key}")
    return image_set(folder, key, [("", path) for path in paths], left_out.warnings(key, folder, []))


def read_image_file(path: str | Path | None, key: str) -> ImageSet:
    """Return the one image that ``key`` names, as a set without classes.

    Raises:
        DataError: no path, no such file, a folder.
    """
    if path is not None and is_given(str(path)) and Path(path).is_file():
        return image_set(Path(path).parent, key, [("", Path(path))])
    raise DataError(
        f"{key} can't be used",
        problems=[Problem(key, None if path is None else str(path), _an_image(path))],
        next_step=f"correct {key}, or set inference.inference_input_type=image_folder for a folder",
    )


def _an_image(path: str | Path | None) -> str:
    hint = "; for a folder set inference.inference_input_type=image_folder"
    return "the path of an existing image file" + (hint if path is not None and Path(path).is_dir() else "")


def read_class_map(path: str | Path) -> dict[str, str]:
    """Read a YAML file that maps folder names to class names; several folders may share a class.

    Raises:
        DataError: the file can't be read or doesn't hold such a mapping.
    """
    expected = "a YAML file of lines `folder name: class name`"
    try:
        # BaseLoader keeps every scalar a string, so that folders called 007, no or 1e3 keep their names.
        content = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problem = Problem("dataset.class_map", str(path), f"{expected} ({error})")
        raise DataError("the class map can't be read", problems=[problem], next_step="correct the file") from error
    if not isinstance(content, dict) or not all(isinstance(v, str) and v for v in content.values()):
        problem = Problem("dataset.class_map", str(path), expected)
        raise DataError("the class map can't be used", problems=[problem], next_step="correct the file")
    return {nfc(folder): nfc(name) for folder, name in content.items()}


def _existing_folder(root: str | Path | None, key: str, expected: str) -> tuple[Path | None, list[Problem]]:
    if root is None or not is_given(str(root)):
        return None, [Problem(key, None if root is None else str(root), f"the path of {expected}")]
    folder = Path(root)
    try:
        folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None, [Problem(key, str(root), f"{expected}; nothing exists there")]
    except OSError as error:  # a name that is too long, or a folder that may not be entered
        return None, [Problem(key, str(root), f"{expected}; {error.strerror}")]
    if folder.is_dir():
        return folder, []
    hint = "; extract the archive first" if folder.name.lower().endswith(_ARCHIVES) else ""
    return None, [Problem(key, str(root), f"{expected}; this is a file{hint}")]


def _unreadable(key: str, folder: Path, error: OSError) -> Problem:
    return Problem(key, str(error.filename or folder), f"a readable folder ({error.strerror})")


def _nothing_found(root: Path, key: str, empty: Sequence[str], left_out: LeftOut) -> Problem:
    if empty:
        return Problem(key, str(root), f"images in its class folders; all are empty: {name_some(empty)}")
    if left_out.stray_images:
        stray = len(left_out.stray_images)
        many = f"{counted(stray, 'image')} {'lies' if stray == 1 else 'lie'} directly in it"
        return Problem(key, str(root), f"{_LAYOUT}; {many} and there is no class folder")
    return Problem(key, str(root), f"{_LAYOUT}; there is no class folder")


def _not_utf8(path: Path) -> Problem:
    shown = str(path).encode("utf-8", "backslashreplace").decode()
    return Problem(shown, "a name that is not UTF-8", "a file name in UTF-8; rename the file")


def _is_utf8(path: Path) -> bool:
    text = str(path)
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _same_images(key: str, folder: Path, other: Path) -> Problem:
    expected = f"a class folder with images of its own: this is a link to those of {other.name}; see dataset.class_map"
    return Problem(key, str(folder), expected)
