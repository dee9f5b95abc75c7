"""What a name says of a file: which kind of archive it is."""

from pathlib import Path
from typing import Final

from tao_skill.config.folders import trouble_with_path
from tao_skill.errors import Problem, StorageError
from tao_skill.storage.locate import is_remote, local_path, name_of, redact

__all__ = ["ARCHIVE_SUFFIXES", "is_archive", "is_zip", "refuse_other_archives", "stem"]

ARCHIVE_SUFFIXES: Final = (".tar.gz", ".tgz", ".tar", ".zip")
OTHER_ARCHIVES: Final = (".rar", ".7z", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4")


def is_archive(uri: str | Path) -> bool:
    """Say whether ``stage`` would extract this, by its name."""
    return name_of(str(uri)).lower().endswith(ARCHIVE_SUFFIXES)


def is_zip(uri: str) -> bool:
    """Say whether this is a zip archive, which can be read only when it is here whole."""
    return name_of(uri).lower().endswith(".zip")


def stem(uri: str) -> str:
    """Return the name without the suffix of an archive."""
    name = name_of(uri)
    suffix = next((ending for ending in ARCHIVE_SUFFIXES if name.lower().endswith(ending)), "")
    return name.removesuffix(name[len(name) - len(suffix) :]) if suffix else name or "objects"


def refuse_other_archives(uri: str) -> None:
    """Raise StorageError for archives that nothing here can read, unless it is a folder of that name."""
    if not name_of(uri).lower().endswith(OTHER_ARCHIVES) or (not is_remote(uri) and not _is_file(local_path(uri))):
        return
    shown = redact(uri)
    raise StorageError(
        f"{shown} is a kind of archive that can't be read.",
        problems=[Problem(shown, name_of(uri), "a folder, or a .tar, .tar.gz, .tgz or .zip archive")],
        next_step=f"extract {shown} yourself and give the folder",
    )


def _is_file(path: Path) -> bool:
    return not trouble_with_path(path) and path.is_file()
