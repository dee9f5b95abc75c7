"""Fill one entry of the cache from one object: fetch, check, extract."""

import logging
import shutil
from pathlib import Path, PurePosixPath

from tao_skill.errors import StorageError
from tao_skill.storage.archive_names import is_archive, is_zip
from tao_skill.storage.damage import BrokenArchiveError
from tao_skill.storage.extract import extract, extract_tar
from tao_skill.storage.extract_zip import extract_zip
from tao_skill.storage.folder_writer import FolderWriter
from tao_skill.storage.locate import is_remote, local_path, name_of, redact
from tao_skill.storage.members import Limits, Members
from tao_skill.storage.objects import ObjectFacts, ObjectStore, TransferError
from tao_skill.storage.s3 import with_part_size
from tao_skill.storage.small import patiently
from tao_skill.storage.transfer import Checker, Download, WrongBytesError, fetch, forget

__all__ = ["fill_from_object"]

_PIECE = 1024 * 1024

_log = logging.getLogger(__name__)


def fill_from_object(
    store: ObjectStore, uri: str, facts: ObjectFacts, content: Path, listing: Path, *, part: Path, limits: Limits
) -> int:
    """Put what an object holds into ``content`` and return the number of files.

    ``part`` is where a transfer is kept that breaks off. Wrong bytes are fetched once more.

    Raises:
        StorageError: it can't be fetched or extracted, or what comes is wrong twice.
    """
    if not is_remote(uri):
        return extract(local_path(uri), content, limits, listing)
    if facts.checksum is not None and facts.checksum.algorithm == "etag":
        stated = facts
        facts = patiently(lambda: with_part_size(stated))
    for attempt in (1, 2):
        try:
            files = _fetch_and_fill(store, uri, facts, content, listing, part=part, limits=limits)
        except TransferError:
            raise
        except StorageError as error:
            forget(part)
            # Where the server states no sum, an archive that is broken may have been broken on its way.
            doubtful = isinstance(error, WrongBytesError) or (
                isinstance(error, BrokenArchiveError) and facts.checksum is None
            )
            if attempt == 2 or not doubtful:
                raise
            _log.warning("%s Fetching it once more.", error.message)
            _empty(content)
            continue
        forget(part)
        return files
    raise AssertionError("unreachable")


def _fetch_and_fill(
    store: ObjectStore, uri: str, facts: ObjectFacts, content: Path, listing: Path, *, part: Path, limits: Limits
) -> int:
    shown = redact(uri)
    if is_archive(uri) and not is_zip(uri):
        with Download(store, facts, part) as download:
            checker = Checker(download, facts)
            try:
                files = extract_tar(download.reader(), shown, content, limits, listing)
            except BrokenArchiveError:
                checker.check()
                raise
            download.wait()
            checker.check()
        return files
    fetch(store, facts, part)
    if is_zip(uri):
        return extract_zip(part, content, limits, listing=listing, shown=shown)
    return _keep_file(part, content, listing, name_of(uri))


def _keep_file(part: Path, content: Path, listing: Path, name: str) -> int:
    from tao_skill.storage.checksums import crc32

    total, length = 0, 0
    with part.open("rb") as file:
        while piece := file.read(_PIECE):
            total, length = crc32(piece, total), length + len(piece)
    members = Members(name, content, Limits())
    path = members.admit(name) or PurePosixPath(name)
    part.rename(content / path.name)
    with FolderWriter(members, listing) as writer:
        writer.note(path.name, length, total)
    return 1


def _empty(content: Path) -> None:
    shutil.rmtree(content)
    content.mkdir()
