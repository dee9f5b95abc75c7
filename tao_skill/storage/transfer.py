"""Fetch one object into a file: by ranges, several at a time, each straight into its place.

What has come is written down beside the file, so that a later attempt goes on from there. The file can be read from
its start while it grows.
"""

import io
import os
import random
import threading
import time
from pathlib import Path

from tao_skill.errors import Problem, StorageError
from tao_skill.storage.checksums import sum_for
from tao_skill.storage.locate import redact
from tao_skill.storage.objects import ObjectFacts, ObjectStore, TransferError
from tao_skill.storage.progress import Progress

__all__ = ["Download", "WrongBytesError", "fetch"]

CHUNK = 8 * 1024 * 1024
THREADS = 6
# How many chunks a transfer may be ahead of whoever reads along. Without a bound it takes the processors from the
# reader while it lasts, and the reader, the slower of the two, then goes on alone.
AHEAD = 4
# Attempts in a row that bring not a single byte; with the waits between them about half a minute.
_ATTEMPTS = 7
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 8.0
_PIECE = 1024 * 1024
_PREADV = hasattr(os, "preadv")


class WrongBytesError(StorageError):
    """What came is not what the server stated."""


class _StoppedError(Exception):
    """Leave a thread whose download is given up."""


class Download:
    """One running transfer; ``part`` is the growing file and ``<part>.done`` lists the chunks that are in it."""

    def __init__(self, store: ObjectStore, facts: ObjectFacts, part: Path, *, quiet: bool = False) -> None:
        self._store, self._facts, self._part = store, facts, part
        self._chunk = CHUNK if facts.size is not None and facts.ranges else max(facts.size or 0, 1)
        self._count = max(1, -(-(facts.size or 1) // self._chunk))
        self._progress = Progress(facts.name, facts.size, quiet=quiet)
        lock = threading.RLock()
        self._state = threading.Condition(lock)
        # The same lock: threads that wait for the reader sleep through what is meant for the reader.
        self._room = threading.Condition(lock)
        self._done: set[int] = set()
        self._front = 0
        self._next = 0
        # How far the stream has been read, where there is one.
        self._read: int | None = None
        self._known_size = facts.size
        self._error: BaseException | None = None
        self._stopped = False
        self._reached: dict[int, int] = {}
        self._journal_path = part.with_name(part.name + ".done")
        self._threads: list[threading.Thread] = []
        # Threads that read along; they end with the download.
        self.followers: list[threading.Thread] = []

    def __enter__(self) -> "Download":
        self._resume()
        self._file = os.open(self._part, os.O_RDWR | os.O_CREAT, 0o644)
        self._journal = self._journal_path.open("a", encoding="ascii")
        wanted = min(THREADS, self._count - len(self._done))
        for _ in range(wanted):
            thread = threading.Thread(target=self._work, daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._state:
            self._stop()
        for thread in [*self._threads, *self.followers]:
            thread.join()
        os.close(self._file)
        self._journal.close()
        self._progress.end()

    def available(self, position: int) -> int:
        """Wait until the byte at ``position`` is here, and return how far the file is whole from its start.

        A value that is not above ``position`` means the end.
        """
        with self._state:
            while True:
                if self._error is not None:
                    raise self._error
                if self._stopped:
                    raise _StoppedError
                if self._front > position or self._ended():
                    return self._front
                self._state.wait()

    def wait(self) -> int:
        """Wait for the end and return the number of bytes."""
        self.note_read(None)
        end = 0
        while (further := self.available(end)) > end:
            end = further
        return end

    def read_at(self, position: int, buffer: memoryview) -> int:
        """Fill ``buffer`` with bytes that are here already, and return their number."""
        return os.preadv(self._file, [buffer], position) if _PREADV else self._read_slowly(position, buffer)

    def _read_slowly(self, position: int, buffer: memoryview) -> int:
        data = os.pread(self._file, len(buffer), position)
        buffer[: len(data)] = data
        return len(data)

    def reader(self) -> io.BufferedReader:
        """Return the object as a stream from its start, which waits for what has not come yet."""
        self.note_read(0)
        return io.BufferedReader(_Reader(self), _PIECE)

    def note_read(self, position: int | None) -> None:
        """Let threads go on that wait for the reader; None where nobody is to be waited for."""
        before, self._read = self._read, position
        if before is None or position is None or before // self._chunk < position // self._chunk:
            with self._room:
                self._room.notify_all()

    def _ended(self) -> bool:
        return self._known_size is not None and self._front >= self._known_size

    def _resume(self) -> None:
        """Take over what an earlier attempt left, if it was of the same object and the same chunks."""
        header = f"{self._facts.identity(redact(self._facts.uri))} {self._chunk}\n"
        try:
            lines = self._journal_path.read_text(encoding="ascii").splitlines(keepends=True)
        except (OSError, UnicodeDecodeError):
            lines = []
        if lines[:1] == [header] and self._part.exists() and self._facts.ranges and self._facts.size:
            held = self._part.stat().st_size
            numbers = {int(line) for line in lines[1:] if line.endswith("\n") and line.strip().isdigit()}
            self._done = {one for one in numbers if one < self._count and self._span(one)[1] <= held}
            self._advance()
            self._progress.skip(sum(end - start for start, end in map(self._span, self._done)))
        else:
            self._part.unlink(missing_ok=True)
            self._journal_path.write_text(header, encoding="ascii")
        if self._facts.size == 0:
            self._done = {0}

    def _span(self, number: int) -> tuple[int, int]:
        size = self._facts.size or 0
        return number * self._chunk, min((number + 1) * self._chunk, size)

    def _work(self) -> None:
        try:
            while (number := self._take()) is not None:
                self._fetch(number)
                self._finish(number)
        except _StoppedError:
            return
        except BaseException as error:
            with self._state:
                self._error = self._error or _known(error, self._part)
                self._stop()

    def _stop(self) -> None:
        self._stopped = True
        self._state.notify_all()
        self._room.notify_all()

    def _take(self) -> int | None:
        with self._state:
            while True:
                while self._next < self._count and self._next in self._done:
                    self._next += 1
                if self._stopped or self._next >= self._count:
                    return None
                if self._read is None or self._next <= self._read // self._chunk + AHEAD:
                    break
                self._room.wait()
            self._next += 1
            return self._next - 1

    def _fetch(self, number: int) -> None:
        """Bring one chunk; after a break go on from the byte that came last."""
        start, end = self._span(number)
        whole = self._facts.size is None
        position, failures = start, 0
        while True:
            before = position
            try:
                position = self._read_into_place(number, position, None if whole else end)
                if whole or position >= end:
                    break
                raise TransferError(
                    f"{redact(self._facts.uri)}: the answer ended early.",
                    problems=[Problem(redact(self._facts.uri), "cut short", "a transfer that ends")],
                    next_step="run the command again; what is already here is kept",
                )
            except TransferError:
                position = self._reached.pop(number, position) if self._facts.ranges else start
                failures = 1 if position > before else failures + 1
                if failures >= _ATTEMPTS:
                    raise
                self._sleep(failures)
        if whole:
            with self._state:
                self._known_size = position

    def _read_into_place(self, number: int, position: int, end: int | None) -> int:
        with self._store.read(self._facts, position, end) as pieces:
            for piece in pieces:
                if self._stopped:
                    raise _StoppedError
                kept = piece if end is None else piece[: end - position]
                view = memoryview(kept)
                while view:  # a disk that is nearly full takes a part
                    written = os.pwrite(self._file, view, position)
                    view, position = view[written:], position + written
                self._reached[number] = position
                self._progress.add(len(kept))
        return position

    def _sleep(self, failures: int) -> None:
        pause = min(_LONGEST_WAIT, _FIRST_WAIT * 2**failures) * random.uniform(0.7, 1.3)
        end = time.monotonic() + pause
        with self._state:
            while not self._stopped and (left := end - time.monotonic()) > 0:
                self._state.wait(left)
            if self._stopped:
                raise _StoppedError

    def _finish(self, number: int) -> None:
        with self._state:
            if self._facts.size is not None:
                self._journal.write(f"{number}\n")
                self._journal.flush()
            self._done.add(number)
            self._advance()
            self._state.notify_all()

    def _advance(self) -> None:
        number = self._front // self._chunk
        while number in self._done and number < self._count:
            number += 1
        if self._facts.size is None:
            self._front = self._known_size or 0
        else:
            self._front = min(number * self._chunk, self._facts.size)


class _Reader(io.RawIOBase):
    def __init__(self, download: Download) -> None:
        self._download, self._position = download, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        front = self._download.available(self._position)
        wanted = min(len(buffer), front - self._position)
        if wanted <= 0:
            return 0
        # A slice of a bytearray, which `read()` without a size gives, would be a copy.
        count = self._download.read_at(self._position, memoryview(buffer)[:wanted])
        self._position += count
        self._download.note_read(self._position)
        return count


class Checker(threading.Thread):
    """Sum up a download in a thread of its own while it comes, and compare with what the server stated."""

    def __init__(self, download: Download, facts: ObjectFacts) -> None:
        super().__init__(daemon=True)
        self._download, self._facts = download, facts
        self._sum = sum_for(facts.checksum)
        self._failure: BaseException | None = None
        if self._sum is not None:
            download.followers.append(self)
            self.start()

    def run(self) -> None:
        assert self._sum is not None
        position, buffer = 0, memoryview(bytearray(_PIECE))
        try:
            while (front := self._download.available(position)) > position:
                count = self._download.read_at(position, buffer[: min(front - position, _PIECE)])
                self._sum.update(buffer[:count])
                position += count
        except BaseException as error:
            self._failure = error

    def check(self) -> None:
        """Wait for the end.

        Raises:
            WrongBytesError: the sums differ.
        """
        if self._sum is None:
            return
        # Whoever read along may have given up before the end.
        self._download.note_read(None)
        self.join()
        if self._failure is not None:
            raise self._failure
        found, stated = self._sum.hexdigest(), self._facts.checksum
        if stated is None or found == stated.value:
            return
        uri = redact(self._facts.uri)
        raise WrongBytesError(
            f"{uri}: what came is not what the server says it holds.",
            problems=[Problem(uri, f"{stated.algorithm} {found}", f"{stated.algorithm} {stated.value}")],
            next_step="run the command again; if it stays so, the object or the way to it is damaged",
        )


def fetch(store: ObjectStore, facts: ObjectFacts, part: Path, *, quiet: bool = False) -> None:
    """Bring an object whole and checked to ``part``; a second time from the start where wrong bytes came."""
    for attempt in (1, 2):
        try:
            with Download(store, facts, part, quiet=quiet) as download:
                checker = Checker(download, facts)
                download.wait()
                checker.check()
        except WrongBytesError:
            forget(part)
            if attempt == 2:
                raise
            continue
        part.with_name(part.name + ".done").unlink(missing_ok=True)
        return


def forget(part: Path) -> None:
    """Throw away what a transfer brought."""
    part.unlink(missing_ok=True)
    part.with_name(part.name + ".done").unlink(missing_ok=True)


def _known(error: BaseException, part: Path) -> BaseException:
    if isinstance(error, OSError) and not isinstance(error, StorageError):
        return StorageError(
            f"{part} can't be written: {error.strerror or error}.",
            problems=[Problem(str(part.parent), error.strerror or str(error), "a folder with space left")],
            next_step="make room, or set TAO_SKILL_CACHE to a folder on a larger disk",
        )
    return error
