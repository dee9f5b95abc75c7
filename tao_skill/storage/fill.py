"""Fill one entry of the cache: fetch, check, extract."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tao_skill.errors import StorageError
from tao_skill.storage.archive_names import is_zip
from tao_skill.storage.checksums import length_and_crc
from tao_skill.storage.damage import BrokenArchiveError
from tao_skill.storage.extract import extract, extract_tar
from tao_skill.storage.extract_zip import extract_zip
from tao_skill.storage.folder_writer import FolderWriter
from tao_skill.storage.locate import is_remote, local_path, redact
from tao_skill.storage.members import Limits, Members
from tao_skill.storage.objects import ObjectFacts, ObjectStore, TransferError
from tao_skill.storage.s3 import with_part_size
from tao_skill.storage.small import patiently
from tao_skill.storage.transfer import Checker, Download, WrongBytesError, fetch, forget

__all__ = ["fill_from_archive", "fill_from_files"]

_log = logging.getLogger(__name__)


def fill_from_archive(
    store: ObjectStore, uri: str, facts: ObjectFacts, content: Path, listing: Path, *, part: Path, limits: Limits
) -> int:
    """Put what an archive holds into ``content`` and return the number of files.

    ``part`` is where a transfer is kept that breaks off. Wrong bytes are fetched once more.

    Raises:
        StorageError: it can't be fetched or extracted, or what comes is wrong twice.
    """
    limits = limits.for_archive(facts.size)
    if not is_remote(uri):
        return extract(local_path(uri), content, limits, listing)
    facts = _with_exact_sum(facts)
    for attempt in (1, 2):
        try:
            files = _fetch_and_extract(store, uri, facts, content, listing, part=part, limits=limits)
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


def fill_from_files(
    store: ObjectStore, objects: Sequence[ObjectFacts], content: Path, listing: Path, *, part: Path
) -> int:
    """Put a file, and those that belong to it, into ``content`` and return their number.

    ``part`` is where a transfer of the first one is kept that breaks off.

    Raises:
        StorageError: one can't be fetched, or what comes is wrong twice.
    """
    members = Members(objects[0].name, content, Limits(), holds="object")
    with FolderWriter(members, listing) as writer:
        for number, facts in enumerate(objects):
            place = part if number == 0 else content.with_name("companion.part")
            fetch(store, _with_exact_sum(facts), place)
            path = members.admit(facts.name) or PurePosixPath(facts.name)
            writer.note(path.name, *length_and_crc(place))
            place.rename(content / path.name)
    return len(objects)


def _with_exact_sum(facts: ObjectFacts) -> ObjectFacts:
    if facts.checksum is None or facts.checksum.algorithm != "etag":
        return facts
    return patiently(lambda: with_part_size(facts))


def _fetch_and_extract(
    store: ObjectStore, uri: str, facts: ObjectFacts, content: Path, listing: Path, *, part: Path, limits: Limits
) -> int:
    shown = redact(uri)
    if is_zip(uri):
        fetch(store, facts, part)
        return extract_zip(part, content, limits, listing=listing, shown=shown)
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


def _empty(content: Path) -> None:
    shutil.rmtree(content)
    content.mkdir()
