"""Incremental read of a source: pages become rows, and a cursor says where to resume.

While documents are grouped into rows or counters are compared, the cursor's position stays behind
what was read, so that a restart fetches again what was incomplete. The rows come out the same, and
the writer stores each (server, ts) once.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from functions.connectors.connector import Connector, Page
from functions.connectors.source_file import SourceConfig, read_source
from functions.engine.function import Batch, Function, Unreachable, hash_of
from functions.engine.triggers import Every
from functions.normalize.counters import CounterRates, State
from functions.normalize.devices import DeviceRules
from functions.normalize.grouping import DocumentGrouping
from functions.normalize.mapper import Mapper
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.ipc.decoding import InvalidJson, decode_json
from storage.model.metrics import METRICS, Metric
from storage.model.reject_log import RejectLog
from storage.model.schema import TIMESTAMP
from storage.model.time_limits import TimeRange

__all__ = ["IncrementalRead", "SourceCursor", "function_of", "source_function"]

log = logging.getLogger(__name__)

MAX_DOCUMENTS = 50_000
# A run stops reading well before its deadline, so that what a slow source returned is kept.
MAX_READ_S = 20.0
DEADLINE = timedelta(seconds=60)
MEMORY_MB = 1024
# How far back a restart fetches again, for the previous readings of counters.
COUNTER_LOOKBACK = timedelta(minutes=2)
# Of a file whose documents are gathered so many rows wait for its end, about 200 MB.
MAX_OPEN_ROWS = 2_000_000
VERSION = 1


class SourceCursor(msgspec.Struct, frozen=True):
    """Where a source resumes: its position, and the counters that cannot be fetched again."""

    position: Any
    version: int = VERSION
    counters: State = {}


@dataclass
class ReadBatch:
    """What one run has read so far."""

    rows: list[pa.Table] = field(default_factory=list)
    facts: list[pa.Table] = field(default_factory=list)
    rejects: RejectLog = field(default_factory=RejectLog)
    notes: list[str] = field(default_factory=list)
    documents: int = 0
    moved: bool = False
    more: bool = False
    again: bool = False

    def add(self, rows: pa.Table | None) -> None:
        """Append rows; None adds nothing."""
        if rows is not None:
            self.rows.append(rows)


class CursorMark(NamedTuple):
    """A position, and the time of the newest row before it in epoch microseconds; 0 for none."""

    position: Any
    newest_us: int


class IncrementalRead:
    """Reads one source run by run; lives as long as its process."""

    def __init__(
        self,
        source: SourceConfig,
        metrics: tuple[Metric, ...] = METRICS,
        connect: Callable[[], Connector] | None = None,
    ) -> None:
        self._source = source
        self._connect = connect or source.connect
        self._metrics = metrics
        self._connector: Connector | None = None
        self._last_cursor: str | None = None
        self._restart_from(None)

    def run(self, now: datetime, cursor: str | None) -> Batch:
        """Return the rows that follow `cursor`; `more` in the batch if the run stopped early.

        Raises Unreachable when the source does not answer and nothing was read, SourceInvalid when
        the source file cannot be used.
        """
        if cursor != self._last_cursor:  # after a restart, or when the last rows were not written
            log.debug("%s resumes from %.200s", self._source.name, cursor)
            self._restart_from(cursor)
        with ExitStack() as undo:
            undo.callback(self._restart_from, cursor)
            undo.callback(self.close)
            batch = self._batch(now)
            undo.pop_all()
        self._last_cursor = batch.cursor or cursor
        return batch

    def close(self) -> None:
        """Close the connection; the next run connects again."""
        connector, self._connector = self._connector, None
        if connector is not None:
            log.debug("%s: connection closed", self._source.name)
            connector.close()

    def _restart_from(self, cursor: str | None) -> None:
        mapping, start = self._source.mapping, _decode_cursor(cursor)
        self._last_cursor = cursor
        self._position = start.position
        self._mapper = Mapper(
            mapping, self._source.name, self._source.file.site, self._metrics,
            CounterRates(start.counters), self._source.options.rules,
        )  # fmt: skip
        self._grouping = DocumentGrouping(mapping) if mapping.period else None
        self._has_counters = any(f.counter for fields in mapping.entries.values() for f in fields)
        self._marks = deque([CursorMark(start.position, 0)])
        self._after_final_page = False

    def _batch(self, now: datetime) -> Batch:
        collected = ReadBatch()
        self._fetch(collected, now)
        if self._grouping is not None and not self._waits_for_end(collected.more):
            until = self._marks[-1].newest_us if collected.more else int(now.timestamp() * 1e6)
            collected.add(self._grouping.take(until))
        rows = {"metrics": _concat(collected.rows), "server_facts": _concat(collected.facts)}
        return Batch(
            rows, self._cursor() if collected.moved or rows["metrics"].num_rows else None,
            more=collected.more or collected.again, refused=collected.rejects.count,
            clamped=collected.rejects.clamped,
            reasons=(*dict.fromkeys(collected.notes), *collected.rejects.sentences()),
        )  # fmt: skip

    def _waits_for_end(self, more: bool) -> bool:
        """Return True in the middle of a file: its rows may come series after series."""
        assert self._grouping is not None
        in_file = more and self._source.file.kind == "files"
        return in_file and self._grouping.open_rows < MAX_OPEN_ROWS

    def _fetch(self, collected: ReadBatch, now: datetime) -> None:
        if self._connector is None:
            self._connector = self._connect()
            log.debug("%s: connected", self._source.name)
        pages, deadline = self._connector.pages(self._position, now), time.monotonic() + MAX_READ_S
        within = self._source.options.limits.at(now)
        try:
            for page in pages:
                self._add_page(page, collected, within)
                if collected.documents >= MAX_DOCUMENTS or time.monotonic() > deadline:
                    collected.more = True
                    break
        except Unreachable:
            if not collected.moved:
                raise
            log.debug("%s: connection lost in the middle of a fetch", self._source.name)
            collected.more = True  # what was read is kept; the next run reports the error
            self.close()
        finally:
            close = getattr(pages, "close", None)
            if close is not None:
                close()

    def _add_page(self, page: Page, collected: ReadBatch, within: TimeRange) -> None:
        collected.documents += len(page.documents)
        collected.moved |= page.position != self._position or bool(page.documents or page.refused)
        collected.rejects.count += page.refused
        collected.notes += page.notes
        collected.again |= page.again
        newest = self._marks[-1].newest_us
        self._position, self._after_final_page = page.position, page.final
        if page.begins:
            self._mapper.counters.begin()
            if self._grouping is not None:
                self._grouping.begin()
        if page.documents:
            mapped = self._mapper.map(page.documents, within)
            collected.rejects.merge(mapped.rejects)
            collected.notes += mapped.notes
            collected.documents += max(0, mapped.rows.num_rows - len(page.documents))
            collected.facts.append(mapped.facts)
            if page.on_mapped is not None:
                page.on_mapped(mapped.rows.num_rows, mapped.rejects)
            if mapped.rows.num_rows:
                newest = max(newest, pc.max(mapped.rows["ts"].cast(pa.int64())).as_py())
            if self._grouping is None:
                collected.add(mapped.rows)
            else:
                self._grouping.add(mapped.rows)
        if log.isEnabledFor(logging.DEBUG):
            self._log_page(page, newest)
        if page.final:
            self._marks.clear()
            collected.add(self._grouping.take_all() if self._grouping is not None else None)
        self._marks.append(CursorMark(page.position, newest))

    def _log_page(self, page: Page, newest_us: int) -> None:
        newest = pc.cast(pa.scalar(newest_us), TIMESTAMP) if newest_us else "no row"
        log.debug(
            "%s: page of %d documents, %d refused, newest row so far %s, position %.200s",
            self._source.name, len(page.documents), page.refused, newest, page.position,
        )  # fmt: skip

    def _cursor(self) -> str:
        """The newest position that has everything still needed behind it."""
        newest, needed = self._marks[-1].newest_us, self._marks[-1].newest_us + 1
        if self._grouping is not None and self._grouping.oldest_us is not None:
            needed = self._grouping.oldest_us
        if self._has_counters and not self._after_final_page:
            needed = min(needed, newest - COUNTER_LOOKBACK // timedelta(microseconds=1))
        while len(self._marks) > 1 and self._marks[1].newest_us < needed:
            self._marks.popleft()
        counters = (
            self._mapper.counters.state() if self._has_counters and self._after_final_page else {}
        )
        cursor = SourceCursor(self._marks[0].position, counters=counters)
        return msgspec.json.encode(cursor).decode()


def source_function(name: str, text: bytes, folders: Folders, settings: Settings) -> Function:
    """Return the function that runs the source file NAME.toml; raises SourceInvalid."""
    schema = settings.schema()
    source = read_source(name, text, folders, schema, DeviceRules(settings.devices))
    return function_of(IncrementalRead(source, schema.metrics), source, hash_of(text))


def function_of(read: IncrementalRead, source: SourceConfig, code_hash: str) -> Function:
    """Return the function that the runner calls every period of `source`."""

    def run(now: datetime, cursor: str | None) -> Batch:
        return read.run(now, cursor)

    return Function(
        source.name, (Every(source.options.every),), ("metrics", "server_facts"),
        f"samples of {source.file.kind}", ("now", "cursor"), code_hash, DEADLINE, MEMORY_MB,
        call=run,
    )  # fmt: skip


def _concat(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables, promote_options="default") if tables else pa.table({})


def _decode_cursor(text: str | None) -> SourceCursor:
    """The cursor; the start for one that is absent, invalid or of another version."""
    try:
        cursor = decode_json(text or "", SourceCursor)
    except InvalidJson:
        return SourceCursor(None)
    return cursor if cursor.version == VERSION else SourceCursor(None)
