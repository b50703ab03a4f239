"""One run of a source: pages through its mapping to rows, with the cursor to go on from.

The cursor holds a position. While documents are gathered or counters compared it lies further back
than what was read, so that after a restart what was not yet whole is fetched again; the rows are
the same then, and the writer takes each (server, ts) once.
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
from functions.normalize.grouping import DocumentGrouping
from functions.normalize.mapper import Mapper
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.ipc.decoding import InvalidJson, decode_json
from storage.model.metrics import METRICS, Metric
from storage.model.reject_log import RejectLog
from storage.model.schema import TIMESTAMP

__all__ = ["IncrementalRead", "SourceCursor", "function_of", "source_function"]

log = logging.getLogger(__name__)

MAX_DOCUMENTS = 50_000
# A run ends after so long, well before its deadline, so that what a slow source gave is kept.
PATIENCE_S = 20.0
DEADLINE = timedelta(seconds=60)
MEMORY_MB = 1024
# How far back a counter's reading is looked for after a restart.
COUNTED_BACK = timedelta(minutes=2)
VERSION = 1


class SourceCursor(msgspec.Struct, frozen=True):
    """Where a source goes on: its position, and counters that cannot be fetched again."""

    position: Any
    version: int = VERSION
    counters: State = {}


@dataclass
class ReadBatch:
    """What one run has brought in so far."""

    rows: list[pa.Table] = field(default_factory=list)
    facts: list[pa.Table] = field(default_factory=list)
    refusals: RejectLog = field(default_factory=RejectLog)
    notes: list[str] = field(default_factory=list)
    documents: int = 0
    moved: bool = False
    more: bool = False
    again: bool = False

    def add(self, rows: pa.Table | None) -> None:
        """Put rows to the others."""
        if rows is not None:
            self.rows.append(rows)


class CursorMark(NamedTuple):
    """A position, and the time of the newest document before it."""

    position: Any
    newest_us: int


class IncrementalRead:
    """What is drawn from one source; lives as long as its process."""

    def __init__(
        self,
        source: SourceConfig,
        metrics: tuple[Metric, ...] = METRICS,
        connect: Callable[[], Connector] | None = None,
    ) -> None:
        self._source = source
        self._connect = connect or source.connect
        self._metrics = metrics
        self._feed: Connector | None = None
        self._returned: str | None = None
        self._begin(None)

    def run(self, now: datetime, cursor: str | None) -> Batch:
        """The next rows; the batch says whether there are more."""
        if cursor != self._returned:  # a restart, or rows that were not taken
            log.debug("%s resumes from %.200s", self._source.name, cursor)
            self._begin(cursor)
        with ExitStack() as undo:
            undo.callback(self._begin, cursor)
            undo.callback(self.close)
            batch = self._batch(now)
            undo.pop_all()
        self._returned = batch.cursor or cursor
        return batch

    def close(self) -> None:
        """Hang up; the next run connects again."""
        feed, self._feed = self._feed, None
        if feed is not None:
            log.debug("%s: the connection is closed", self._source.name)
            feed.close()

    def _begin(self, cursor: str | None) -> None:
        mapping, start = self._source.mapping, _parsed(cursor)
        self._returned = cursor
        self._position = start.position
        self._mapper = Mapper(
            mapping, self._source.name, self._source.file.site, self._metrics,
            CounterRates(start.counters),
        )  # fmt: skip
        self._gathering = DocumentGrouping(mapping) if mapping.period else None
        self._counts = any(f.counter for fields in mapping.entries.values() for f in fields)
        self._marks = deque([CursorMark(start.position, 0)])
        self._final = False

    def _batch(self, now: datetime) -> Batch:
        haul = ReadBatch()
        self._fetch(haul, now)
        if self._gathering is not None:
            until = self._marks[-1].newest_us if haul.more else int(now.timestamp() * 1e6)
            haul.add(self._gathering.take(until))
        rows = {"metrics": _joined(haul.rows), "server_facts": _joined(haul.facts)}
        return Batch(
            rows, self._cursor() if haul.moved or rows["metrics"].num_rows else None,
            more=haul.more or haul.again, refused=haul.refusals.count,
            reasons=(*dict.fromkeys(haul.notes), *haul.refusals.sentences()),
        )  # fmt: skip

    def _fetch(self, haul: "ReadBatch", now: datetime) -> None:
        if self._feed is None:
            self._feed = self._connect()
            log.debug("%s: connected", self._source.name)
        pages, give_up = self._feed.pages(self._position, now), time.monotonic() + PATIENCE_S
        try:
            for page in pages:
                self._take(page, haul)
                if haul.documents >= MAX_DOCUMENTS or time.monotonic() > give_up:
                    haul.more = True
                    break
        except Unreachable:
            if not haul.moved:
                raise
            log.debug("%s: lost in the middle of a fetch", self._source.name)
            haul.more = True  # what came counts, and the next run meets the same trouble at once
            self.close()
        finally:
            close = getattr(pages, "close", None)
            if close is not None:
                close()

    def _take(self, page: Page, haul: "ReadBatch") -> None:
        haul.documents += len(page.documents)
        haul.moved |= page.position != self._position or bool(page.documents or page.refused)
        haul.refusals.count += page.refused
        haul.notes += page.notes
        haul.again |= page.again
        newest = self._marks[-1].newest_us
        self._position, self._final = page.position, page.final
        if page.documents:
            mapped = self._mapper.map(page.documents)
            haul.refusals.merge(mapped.rejects)
            haul.facts.append(mapped.facts)
            if mapped.rows.num_rows:
                newest = max(newest, pc.max(mapped.rows["ts"].cast(pa.int64())).as_py())
            if self._gathering is None:
                haul.add(mapped.rows)
            else:
                self._gathering.add(mapped.rows)
        if log.isEnabledFor(logging.DEBUG):
            self._log_page(page, newest)
        if page.final:
            self._marks.clear()
            haul.add(self._gathering.take_all() if self._gathering is not None else None)
        self._marks.append(CursorMark(page.position, newest))

    def _log_page(self, page: Page, newest_us: int) -> None:
        newest = pc.cast(pa.scalar(newest_us), TIMESTAMP) if newest_us else "no row"
        log.debug(
            "%s: page of %d documents, %d refused, newest row so far %s, position %.200s",
            self._source.name, len(page.documents), page.refused, newest, page.position,
        )  # fmt: skip

    def _cursor(self) -> str:
        """The newest position after which everything comes that is still needed."""
        newest, needed = self._marks[-1].newest_us, self._marks[-1].newest_us + 1
        if self._gathering is not None and self._gathering.oldest_us is not None:
            needed = self._gathering.oldest_us
        if self._counts and not self._final:
            needed = min(needed, newest - COUNTED_BACK // timedelta(microseconds=1))
        while len(self._marks) > 1 and self._marks[1].newest_us < needed:
            self._marks.popleft()
        counters = self._mapper.counters.state() if self._counts and self._final else {}
        cursor = SourceCursor(self._marks[0].position, counters=counters)
        return msgspec.json.encode(cursor).decode()


def source_function(name: str, text: bytes, folders: Folders, settings: Settings) -> Function:
    """The function that a source file is; raises SourceWrong."""
    schema = settings.schema()
    source = read_source(name, text, folders, schema)
    draw = IncrementalRead(source, schema.metrics)

    return function_of(draw, source, hash_of(text))


def function_of(draw: IncrementalRead, source: SourceConfig, code_hash: str) -> Function:
    """What the runner calls."""

    def run(now: datetime, cursor: str | None) -> Batch:
        return draw.run(now, cursor)

    return Function(
        source.name, (Every(source.wanted.every),), ("metrics", "server_facts"),
        f"samples of {source.file.kind}", ("now", "cursor"), code_hash, DEADLINE, MEMORY_MB,
        call=run,
    )  # fmt: skip


def _joined(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables, promote_options="default") if tables else pa.table({})


def _parsed(cursor: str | None) -> SourceCursor:
    """The cursor; from the start for one that is absent or of another version."""
    try:
        found = decode_json(cursor or "", SourceCursor)
    except InvalidJson:
        return SourceCursor(None)
    return found if found.version == VERSION else SourceCursor(None)
