"""The folder of a gallery: read whole, changed whole or not at all, by one process at a time.

``gallery.json`` names the model, the version of the gallery, and two files of that version:
``embeddings-<version>.npy`` (unit vectors, float32) and ``entries-<version>.jsonl`` (``[label, path, sha256]`` of each
row). A change writes both under a new version and then puts a new ``gallery.json`` in the place of the old one: whoever
is killed before leaves the old gallery, and files that the next change removes.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tao_skill.errors import DataError, Problem, StorageError
from tao_skill.metric_learning.files import replacing
from tao_skill.metric_learning.gallery.own_files import LOCK, MANIFEST, embeddings_file, entries_file, remove_old

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tao_skill.metric_learning.engines.facts import ModelFacts

__all__ = [
    "Contents",
    "Entry",
    "ModelOfGallery",
    "cannot_write",
    "change_gallery",
    "find_gallery",
    "read_entries",
    "read_gallery",
    "read_model",
]

FORMAT_VERSION = 1
_LOCK_SECONDS = 600
_BUILD = "python -m tao_skill gallery build"


@dataclass(frozen=True, order=True, slots=True)
class Entry:
    """One reference image; ``path`` is where it was when it was embedded."""

    label: str
    path: str
    sha256: str


@dataclass(frozen=True)
class ModelOfGallery:
    """The model that a gallery's embeddings come from; ``source`` is where its file was when the gallery was built.

    ``rejection`` is the model's own: beyond which distance an image is unknown.
    ``settings`` holds, by spec key, what its file doesn't say of it: how pixels become its numbers.
    """

    fingerprint: str
    embed_dim: int
    source: str
    rejection: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, facts: ModelFacts, source: str, settings: Mapping[str, Any] | None = None) -> ModelOfGallery:
        """Return what a gallery says of a model whose file is ``source`` and leaves ``settings`` unsaid."""
        rejection = dict(facts.recognition.get("rejection") or {})
        return cls(facts.fingerprint, facts.model.feat_dim, source, rejection, dict(settings or {}))


@dataclass(frozen=True)
class Contents:
    """All of a gallery: entries sorted by label and path, and their unit vectors ``(num_entries, embed_dim)``."""

    model: ModelOfGallery
    entries: list[Entry]
    embeddings: NDArray[np.float32]
    version: str = ""
    changed_at: str = ""

    @classmethod
    def of(cls, model: ModelOfGallery, entries: list[Entry], embeddings: NDArray[np.float32]) -> Contents:
        """Return contents with entries in any order sorted."""
        order = sorted(range(len(entries)), key=lambda place: entries[place])
        return cls(model, [entries[place] for place in order], embeddings[order])

    def classes(self) -> dict[str, int]:
        """Return the number of images of each label."""
        counts: dict[str, int] = {}
        for entry in self.entries:
            counts[entry.label] = counts.get(entry.label, 0) + 1
        return counts

    def shared_images(self) -> list[list[str]]:
        """Return, for each image that is there under several labels, these labels: all but one are wrong, or old."""
        labels: dict[str, list[str]] = {}
        for entry in self.entries:
            labels.setdefault(entry.sha256, []).append(entry.label)
        return [several for several in labels.values() if len(several) > 1]

    def check_model(self, fingerprint: str, folder: Path, key: str) -> None:
        """Refuse another model than the gallery's.

        Raises:
            DataError: the fingerprints differ.
        """
        if fingerprint != self.model.fingerprint:
            named = f"the model with fingerprint {self.model.fingerprint[:12]}"
            named += "".join(f", {key}={value}" for key, value in self.model.settings.items())
            raise DataError(
                f"The gallery {folder} was built with another model ({self.model.source}): its embeddings can't be "
                "compared with this one's.",
                problems=[Problem(key, fingerprint[:12], named)],
                next_step=f"build it again with this model ({_BUILD} --overwrite), or use another folder",
            )


def find_gallery(folder: Path) -> bool:
    """Say whether a folder holds a gallery."""
    return (folder / MANIFEST).is_file()


def read_gallery(folder: Path, key: str = "--gallery") -> Contents:
    """Return what a gallery holds; ``key`` is the setting that problems name.

    Raises:
        DataError: there is no gallery, or it is damaged.
    """
    return _steadily(folder, key, _read)


def read_entries(folder: Path, key: str = "--gallery") -> list[Entry]:
    """Return the images of a gallery without their embeddings; raises as `read_gallery`."""
    return _steadily(folder, key, _read_entries)


def read_model(folder: Path, key: str = "--gallery") -> ModelOfGallery:
    """Return the model that a gallery was built with; raises as `read_gallery`."""
    return _steadily(folder, key, lambda _, manifest: ModelOfGallery(**manifest["model"]))


_Part = TypeVar("_Part")


def _steadily(folder: Path, key: str, read: Callable[[Path, Mapping[str, Any]], _Part]) -> _Part:
    """Read what one version of a gallery holds, also while others change it."""
    manifest = _manifest(folder, key)
    while True:
        try:
            return read(folder, manifest)
        except FileNotFoundError as error:
            # Changed in between: then the new gallery.json names files that are there.
            newer = _manifest(folder, key)
            if newer == manifest:
                raise _damaged(folder, key, f"{error.filename} is missing") from error
            manifest = newer
        except (ValueError, KeyError, TypeError, EOFError, OSError) as error:
            raise _damaged(folder, key, str(error)) from error


def change_gallery(
    folder: Path, change: Callable[[Contents | None], Contents | None], *, forget: bool = False
) -> Contents | None:
    """Replace what a gallery holds by what ``change`` makes of it, while no other process changes it.

    ``change`` gets None where there is no gallery yet, or where ``forget`` asks for a new one whatever is there, also
    where that is damaged. Returns the new contents, or None where ``change`` returns None, which leaves everything as
    it is.

    Raises:
        StorageError: the folder can't be written, or another process keeps it locked.
        DataError: the gallery is damaged.
    """
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK, timeout=_LOCK_SECONDS):
            new = change(read_gallery(folder) if find_gallery(folder) and not forget else None)
            if new is None:
                return None
            version = uuid.uuid4().hex[:12]
            _write(folder, new, version)
            remove_old(folder, version)
            return read_gallery(folder)
    except Timeout as error:
        raise StorageError(
            f"Another process has been changing the gallery {folder} for {_LOCK_SECONDS} seconds.",
            next_step="wait until it is done, and give the same command again",
        ) from error
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_write(folder: Path, error: OSError) -> StorageError:
    """Return what to raise where a gallery can't be written."""
    return StorageError(
        f"The gallery {folder} can't be written: {error.strerror or error}",
        next_step="free some disk space, or choose another folder",
    )


def _manifest(folder: Path, key: str) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["format_version"]
    except FileNotFoundError as error:
        raise DataError(
            f"There is no gallery in {folder}.",
            problems=[Problem(key, str(folder), "a folder that gallery build made")],
            next_step=f"{_BUILD} --parent-job-id JOB --reference DIR --gallery FOLDER",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, key, str(error)) from error
    if version != FORMAT_VERSION:
        raise _damaged(folder, key, f"its format is {version}, this program's is {FORMAT_VERSION}")
    assert isinstance(manifest, dict)
    return manifest


def _damaged(folder: Path, key: str, why: str) -> DataError:
    return DataError(
        f"The gallery {folder} is damaged: {why}",
        problems=[Problem(key, str(folder), "a whole gallery")],
        next_step=f"build it again: {_BUILD} --overwrite",
    )


def _read(folder: Path, manifest: Mapping[str, Any]) -> Contents:
    import numpy as np

    version = manifest["version"]
    entries = _read_entries(folder, manifest)
    embeddings = np.load(embeddings_file(folder, version), allow_pickle=False)
    model = ModelOfGallery(**manifest["model"])
    if embeddings.shape != (len(entries), model.embed_dim):
        raise ValueError(f"{len(entries)} entries, but embeddings {embeddings.shape}")
    return Contents(model, entries, embeddings, version, manifest["changed_at"])


def _read_entries(folder: Path, manifest: Mapping[str, Any]) -> list[Entry]:
    with entries_file(folder, manifest["version"]).open(encoding="utf-8") as file:
        return [Entry(*json.loads(line)) for line in file]


def _write(folder: Path, new: Contents, version: str) -> None:
    import numpy as np

    with replacing(embeddings_file(folder, version)) as temporary, temporary.open("wb") as file:
        np.save(file, np.ascontiguousarray(new.embeddings, dtype=np.float32))
    with replacing(entries_file(folder, version)) as temporary, temporary.open("w", encoding="utf-8") as lines:
        for entry in new.entries:
            lines.write(json.dumps([entry.label, entry.path, entry.sha256]) + "\n")
    manifest = {
        "format_version": FORMAT_VERSION,
        "version": version,
        "changed_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "num_images": len(new.entries),
        "num_classes": len(new.classes()),
        "model": asdict(new.model),
    }
    with replacing(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
