"""Walk through the folders of a data set without hanging on links, and note what is left out."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from tao_skill.config.wording import counted
from tao_skill.metric_learning.data.image_set import name_some

__all__ = [
    "IMAGE_SUFFIXES",
    "LeftOut",
    "class_folders",
    "images_below",
    "images_by_class_folder",
    "nfc",
    "shared_class_folders",
]

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
)


@dataclass
class LeftOut:
    """Collect what a scan left out."""

    other_files: list[Path] = field(default_factory=list)
    stray_images: list[Path] = field(default_factory=list)
    hidden: list[Path] = field(default_factory=list)
    loops: list[Path] = field(default_factory=list)

    def warnings(self, key: str, root: Path, empty: Sequence[str]) -> list[str]:
        """Return a sentence for each kind of thing left out below a root; ``empty`` names class folders."""
        kinds: list[tuple[str, str, Sequence[str]]] = [
            ("class folder without an image was left out", "class folders without an image were left out", empty),
            ("image outside any class folder was ignored", "images outside any class folder were ignored", self._below(
                root, self.stray_images)),
            ("file that is no image was ignored", "files that are no images were ignored", self._below(
                root, self.other_files)),
            ("hidden entry was ignored", "hidden entries were ignored", self._below(root, self.hidden)),
            ("link back into the data set was not followed", "links back into the data set were not followed",
             self._below(root, self.loops)),
        ]  # fmt: skip
        return [f"{key}: {counted(len(what), one, many)}: {name_some(what)}" for one, many, what in kinds if what]

    @staticmethod
    def _below(root: Path, paths: Sequence[Path]) -> list[str]:
        return [str(path.relative_to(root)) for path in paths]


def class_folders(root: Path, left_out: LeftOut) -> list[Path]:
    """Return the folders directly below the root, sorted."""
    folders = []
    with os.scandir(root) as entries:
        for entry in entries:
            path = Path(entry.path)
            if _is_hidden(entry.name):
                left_out.hidden.append(path)
            elif _kind(entry) == "folder":
                folders.append(path)
            else:
                (left_out.stray_images if _is_image(entry.name) else left_out.other_files).append(path)
    return sorted(folders)


def images_by_class_folder(root: Path, folders: Sequence[Path], left_out: LeftOut) -> dict[str, list[Path]]:
    """Return the images below each class folder by the folder's name; folders without any are there too."""
    own = {folder: _identity(folder) for folder in folders}
    images: dict[str, list[Path]] = {}
    for folder in folders:
        other_classes = set(own.values()) - {own[folder]}
        found = _images(folder, _outer(root), left_out, other_classes)
        images.setdefault(nfc(folder.name), []).extend(found)
    return images


def shared_class_folders(folders: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Return the class folders that are links to another class folder or into one, each with that one."""
    first: dict[tuple[int, int], Path] = {}
    for folder in folders:
        first.setdefault(_identity(folder), folder)
    shared = []
    for folder in folders:
        lineage = _lineage(folder) if folder.is_symlink() else []
        other = next((first[one] for one in lineage if first.get(one, folder) != folder), None)
        if other is not None:
            shared.append((folder, other))
    return shared


def images_below(root: Path, left_out: LeftOut) -> list[Path]:
    """Return all images below a folder, sorted."""
    return sorted(_images(root, _outer(root) - {_identity(root)}, left_out))


def _images(
    folder: Path, blocked: set[tuple[int, int]], left_out: LeftOut, others: Set[tuple[int, int]] = frozenset()
) -> list[Path]:
    """Return the images below a folder: each real folder is entered once, blocked ones and links into others never."""
    images: list[Path] = []
    seen, waiting = blocked | others, [folder]
    while waiting:
        current = waiting.pop()
        identity = _identity(current)
        if identity in seen or (others and current.is_symlink() and not others.isdisjoint(_lineage(current))):
            left_out.loops.append(current)
            continue
        seen.add(identity)
        with os.scandir(current) as entries:
            for entry in entries:
                _sort_in(entry, images, waiting, left_out)
    return images


def _sort_in(entry: os.DirEntry[str], images: list[Path], waiting: list[Path], left_out: LeftOut) -> None:
    path, kind = Path(entry.path), _kind(entry)
    if _is_hidden(entry.name):
        left_out.hidden.append(path)
    elif kind == "folder":
        waiting.append(path)
    elif _is_image(entry.name) and kind in ("file", "broken link"):
        images.append(path)  # A link to nothing too, so that the check of the images names it.
    else:
        left_out.other_files.append(path)


def _kind(entry: os.DirEntry[str]) -> str:
    """Say what an entry is, following links; a pipe or device is "other", since opening one may hang."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        return "broken link" if entry.is_symlink() and not Path(entry.path).exists() else "other"
    except OSError:  # a link to itself
        return "broken link"


def _outer(root: Path) -> set[tuple[int, int]]:
    return set(_lineage(root))


def _lineage(folder: Path) -> list[tuple[int, int]]:
    """Return the identities of a folder, where links lead, and of its parents there, from the inside out."""
    real = folder.resolve()
    return [_identity(one) for one in (real, *real.parents)]


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 - called once per file


def nfc(name: str) -> str:
    """Return the composed Unicode form, which macOS and Linux then agree on."""
    return unicodedata.normalize("NFC", name)
