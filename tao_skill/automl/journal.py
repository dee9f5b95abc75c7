"""Optuna's journal in the folder of a search: opened again after a kill, whatever the kill left of it."""

from __future__ import annotations

from pathlib import Path

from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage

__all__ = ["JOURNAL", "STUDY_NAME", "open_journal", "set_aside"]

JOURNAL = "optuna_journal.jsonl"
STUDY_NAME = "search"


def open_journal(folder: Path) -> JournalStorage:
    """Return the storage; the caller holds the search's own lock, so a lock that is left here is a dead process's."""
    path = folder / JOURNAL
    lock = Path(f"{path}.lock")
    lock.unlink(missing_ok=True)
    _cut_half_line(path)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))


def set_aside(folder: Path) -> None:
    """Move a journal away that can't be used, so that a new one is begun."""
    path = folder / JOURNAL
    if path.exists():
        path.replace(path.with_suffix(".broken"))


def _cut_half_line(path: Path) -> None:
    """Take off what a kill in the middle of a write left: Optuna would glue the next entry to it."""
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        temporary = path.with_suffix(".part")
        temporary.write_bytes(whole)
        temporary.replace(path)
