"""Files connector: CSV, JSON lines and Parquet files in a folder, each read once.

Lines are read as they become complete, like `tail -F` does; other forms are read whole once nobody
writes to them any more.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, BinaryIO

import msgspec

from functions.connectors.connector import Page, ReadOptions, Unreachable
from functions.connectors.folder_files import (
    FolderFile,
    Looks,
    ending_of,
    open_for_writing,
    reject,
)
from functions.connectors.folder_position import Finished, FolderState, WholeFile
from functions.connectors.followed_lines import (
    START_BYTES,
    HeaderMemory,
    LineCursor,
    LineReader,
)
from functions.connectors.real_folder import DONE, RealFolder
from functions.connectors.whole_files import ChunkProgress, fingerprint, page_of
from functions.normalize.csv_header import FileForm, FileUnreadable
from functions.normalize.text_encoding import check_encoding
from storage.model.periods import parse_period
from storage.model.reject_log import RejectLog
from storage.platform.error_text import bounded, bounded_list
from storage.platform.trusted_files import NotTrusted

__all__ = ["FolderConnection", "connect"]

# Files that one call finishes, and those after which one is watched in done/.
MAX_FILES = 100
# Files that are followed at a time: their cursors are all in the position.
MAX_FOLLOWED = 1000
# Refused entries that a run names.
MAX_REFUSED = 10


class FolderConnection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The watched folder; a relative path starts at the data folder.

    A file that did not change for `settle`, and that nobody has open for writing, is complete. A
    file of lines is moved away when it did not change for `stay`.
    """

    folder: str = "drop"
    settle: str = "2s"
    stay: str = "1m"
    delimiter: str = ""  # seen in the file where it is not stated
    encoding: str = ""
    header_line: int = 0

    @property
    def form(self) -> FileForm:
        """How the files are written, as far as it is stated."""
        return FileForm(self.delimiter, self.encoding, self.header_line)

    def __post_init__(self) -> None:
        for key in ("settle", "stay"):
            try:
                parse_period(getattr(self, key))
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None
        if len(self.delimiter) > 1:
            raise ValueError(f"delimiter is {self.delimiter!r} (expected one character)")
        if self.header_line < 0:
            raise ValueError(f"header_line is {self.header_line} (expected a line from 1 on)")
        check_encoding(self.encoding)


def connect(connection: FolderConnection, options: ReadOptions) -> "WatchedFolder":
    """Return a reader of the folder, which is created unless it is a dry run.

    Raises Unreachable when the folder cannot be created or read.
    """
    folder = RealFolder(options.folders.data / connection.folder)
    try:
        if not options.dry:
            folder.create()
        folder.entries()
    except OSError as error:
        raise Unreachable(
            f"the folder '{folder.path}' cannot be used ({error}): create it, and let this user "
            "write to it"
        ) from error
    except NotTrusted as error:
        raise Unreachable(str(error)) from error
    finally:
        folder.close()
    return WatchedFolder(folder, connection, options)


@dataclass
class Tally:
    """How many rows the records of a file became, and what was refused of them."""

    rows: int = 0
    rejects: RejectLog = field(default_factory=RejectLog)

    def add(self, rows: int, rejects: RejectLog) -> None:
        """Add those of a page."""
        self.rows += rows
        self.rejects.merge(rejects)

    def problem(self) -> str:
        """Return why the file has brought nothing, in words; "" if it has, or was empty."""
        if self.rows or not self.rejects.count:
            return ""
        return f"no record could be used: {'; '.join(self.rejects.sentences()[:3])}"


class WatchedFolder:
    """Connector for a folder: each file goes to done/ or rejected/ below it after it was read."""

    def __init__(
        self, folder: RealFolder, connection: FolderConnection, options: ReadOptions
    ) -> None:
        self._folder = folder
        # A dry run looks once: it can see nothing become quiet.
        self._settle = timedelta(0) if options.dry else parse_period(connection.settle)
        self._stay = parse_period(connection.stay)
        self._options = options
        form, times = connection.form, () if options.shaped else options.time.fields
        self._reader = fingerprint(options.reader, *astuple(form))
        self._looks = Looks(folder)
        self._lines = LineReader(HeaderMemory(folder, form), times, form)
        self._chunks = ChunkProgress(form)
        self._tallies: dict[int, Tally] = {}
        self._done: dict[str, LineCursor] = {}

    def pages(self, position: Any | None, now: datetime) -> Iterator[Page]:
        """Yield the records after the position, the oldest file first; raises Unreachable."""
        state = FolderState(position, self._reader)
        try:
            files = self._files(state, now)
            yield from self._refusals(state)
            yield from self._file_pages(files, state)
        except NotTrusted as error:
            raise Unreachable(str(error)) from error
        finally:
            self._folder.close()

    def _files(self, state: FolderState, now: datetime) -> list[FolderFile]:
        """Move the files that the last call finished, and return those that are there."""
        path = self._folder.path
        try:
            self._move_finished(state)
            self._bring_back(state)
        except OSError as error:
            raise Unreachable(
                f"a file cannot be moved in the folder '{path}' ({error}): let this user write to "
                "it"
            ) from error
        try:
            return self._looks.files(now)
        except OSError as error:
            raise Unreachable(f"the folder '{path}' cannot be read ({error}): create it") from error

    def _refusals(self, state: FolderState) -> Iterator[Page]:
        """Yield a page that names what is not read, with the number of new ones."""
        refusals = self._looks.refusals
        if refusals:
            notes = bounded_list((each.why for each in refusals), MAX_REFUSED)
            yield Page((), state.position(), notes, sum(each.is_new for each in refusals))

    def _file_pages(self, files: Sequence[FolderFile], state: FolderState) -> Iterator[Page]:
        there = {file.status.st_ino for file in files}
        state.keep_only(there)
        self._tallies = {i: tally for i, tally in self._tallies.items() if i in there}
        stay = self._stay if len(files) <= MAX_FILES else self._settle
        for file in files:
            if state.finished_count < MAX_FILES and state.has_room(file, MAX_FOLLOWED):
                yield from self._pages_of(file, state, stay)

    def close(self) -> None:
        """Do nothing: no file stays open between calls."""

    def _pages_of(self, file: FolderFile, state: FolderState, stay: timedelta) -> Iterator[Page]:
        by_lines = False
        try:
            with self._folder.open(file.name) as opened:
                cursor = state.cursor_of(file, opened)
                opened.seek(0)
                by_lines = bool(cursor.offset) or self._lines.follows(
                    file.name, opened.read(START_BYTES)
                )
                if by_lines:
                    yield from self._line_pages(file, opened, state, cursor, stay)
                else:
                    yield from self._whole_pages(file, state)
        except FileUnreadable as error:
            quiet = file.quiet >= self._settle if by_lines else file.is_complete(self._settle)
            if quiet:  # else more may come
                yield self._rejected(file, state, bounded(str(error)), refused=1)
        except (FileNotFoundError, NotTrusted):  # the next look says what it is
            return
        except OSError as error:
            note = f"{file.name} cannot be read ({error.strerror}): let this user read it"
            yield Page((), state.position(), (note,))

    def _line_pages(
        self,
        file: FolderFile,
        opened: BinaryIO,
        state: FolderState,
        cursor: LineCursor,
        stay: timedelta,
    ) -> Iterator[Page]:
        complete = False
        if cursor.offset == 0 and max(file.quiet, file.known) < self._settle:
            return
        while True:
            part = self._lines.next_part(opened, cursor, last=complete)
            if part is not None:
                begins, cursor = cursor.offset == 0, part.cursor
                state.put(cursor)
                yield page_of(
                    file.name, part.chunk, state.position(), notes=part.notes, begins=begins,
                    on_mapped=self._tally(file, begins),
                )  # fmt: skip
            elif complete or not file.is_complete(self._settle):
                break
            else:
                complete = True
        if complete and file.is_complete(stay) and file.is_unchanged:
            yield self._finished(file, state)

    def _whole_pages(self, file: FolderFile, state: FolderState) -> Iterator[Page]:
        if file.quiet < self._settle or open_for_writing(self._folder, file.name):
            return
        same = (state.whole.name, state.whole.stamp) == (file.name, file.stamp)
        taken = state.whole.chunks if same else 0
        opener = partial(self._folder.open, file.name)
        chunks = self._chunks.chunks_after(opener, file.stamp, taken, ending_of(file.name))
        for read, chunk in chunks:
            state.whole = WholeFile(file.name, file.stamp, read)
            yield page_of(
                file.name, chunk, state.position(), begins=read == 1,
                on_mapped=self._tally(file, read == 1),
            )  # fmt: skip
        if file.is_unchanged:  # else it is read again when it is complete
            state.whole = WholeFile()
            yield self._finished(file, state)

    def _tally(self, file: FolderFile, begins: bool) -> Callable[[int, RejectLog], None] | None:
        """Return what counts the rows of a file; None for one whose first rows are not known."""
        if begins:
            self._tallies[file.status.st_ino] = Tally()
        tally = self._tallies.get(file.status.st_ino)
        return tally.add if tally else None

    def _finished(self, file: FolderFile, state: FolderState) -> Page:
        tally = self._tallies.pop(file.status.st_ino, None)
        problem = tally.problem() if tally else ""
        if problem:
            return self._rejected(file, state, bounded(problem))
        state.finish(Finished(file.name, file.stamp))
        return Page((), state.position(), final=True, again=state.finished_count >= MAX_FILES)

    def _rejected(self, file: FolderFile, state: FolderState, why: str, refused: int = 0) -> Page:
        state.forget(file.status.st_ino)
        state.whole = WholeFile()
        state.finish(Finished(file.name, file.stamp, why))
        note = f"{file.name} is rejected: {why}. To try again move it back from rejected/"
        return Page((), state.position(), (note,), refused, final=True, again=True)

    def _move_finished(self, state: FolderState) -> None:
        """Move the files away that the last call finished: their rows are safe now."""
        for each in state.take_finished():
            inode = int(each.stamp.partition("-")[0])
            cursor, stamp = state.known(inode), self._folder.stamp(each.name)
            same = stamp == each.stamp
            if self._options.dry or (same and open_for_writing(self._folder, each.name)):
                continue
            if not same:
                if cursor is None or self._size(each.name) <= cursor.offset:  # moved back, or gone
                    state.forget(inode)
                    self._watch(each.name, cursor)
            elif each.rejected:
                reject(self._folder, each.name, each.rejected)
            else:
                target = self._folder.move(each.name, DONE)
                state.forget(inode)
                self._watch(target, cursor)

    def _watch(self, target: str, cursor: LineCursor | None) -> None:
        """Remember a file in done/: who has it open may still write to it."""
        if cursor is not None:
            self._done[target] = cursor
        if len(self._done) > MAX_FILES:
            del self._done[next(iter(self._done))]

    def _bring_back(self, state: FolderState) -> None:
        """Move files back from done/ to which somebody has written since."""
        for target, cursor in list(self._done.items()):
            try:
                status = self._folder.status(target, DONE)
            except OSError:
                status = None
            if status is None or status.st_ino != cursor.inode:
                del self._done[target]
            elif status.st_size > cursor.offset:
                del self._done[target]
                name = self._folder.move(target, "", DONE)
                state.put(msgspec.structs.replace(cursor, name=name))

    def _size(self, name: str) -> int:
        try:
            return self._folder.status(name).st_size
        except OSError:
            return 0
