"""Runs one function: hands it what it names, puts its rows in the inbox, keeps the ledger."""

import resource
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from functions.runtime.function import Batch, Function
from functions.runtime.shelf import Shelf
from functions.runtime.window import Window
from storage import segment
from storage.folders import Folders
from storage.reader import LakeMissing, Reader
from storage.schema import table
from storage.settings import Settings

__all__ = ["Run", "Runner"]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a run was handed of the lake."""

    snapshot: int | None = None
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what came out, or what went wrong."""

    function: str
    batch: Batch
    entry: dict[str, Any]

    @property
    def outcome(self) -> str:
        """`ok`, `nothing` or `failed`."""
        return str(self.entry["outcome"])

    @property
    def error(self) -> str | None:
        """What went wrong, in words."""
        error: str | None = self.entry["error"]
        return error


class Runner:
    """Runs functions against one data folder."""

    def __init__(
        self,
        folders: Folders,
        settings: Settings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.folders = folders
        self._settings = settings
        self._clock = clock
        self._shelf = Shelf(folders)
        self._reader: Reader | None = None
        self._cursors: dict[str, str] = {}
        self._entries: list[dict[str, Any]] = []

    def run(
        self, function: Function, trigger: str, now: datetime | None = None, dry: bool = False
    ) -> Run:
        """Run a function once, as of `now`; its rows become segments unless it is `dry`.

        What the function raises becomes the run's error: one function cannot hurt the rest.
        """
        now = now or self._clock()
        began = time.perf_counter()
        cpu_before = time.process_time()
        batch, error, seen = Batch(), None, _Seen()
        try:
            batch, seen = self._call(function, now)
            if not dry:
                self._write(function, batch, seen.snapshot, now)
        except Exception as raised:  # a function is foreign code and may raise anything
            error = f"{type(raised).__name__}: {raised}"
        entry = {
            "run_id": uuid.uuid4().hex,
            "function": function.name,
            "code_hash": function.code_hash,
            "trigger": trigger,
            "window_key": batch.window_key,
            "ts": now,
            "input_snapshot": seen.snapshot,
            "rows_in": seen.rows,
            "rows_out": batch.row_count,
            "duration_ms": 1000 * (time.perf_counter() - began),
            "cpu_s": time.process_time() - cpu_before,
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "outcome": "failed" if error else ("ok" if batch.row_count else "nothing"),
            "error": error,
        }
        if not dry:
            self._entries.append(entry)
        return Run(function.name, batch, entry)

    def flush(self) -> None:
        """Put the ledger of the runs so far into the inbox."""
        if not self._entries:
            return
        rows = pa.Table.from_pylist(self._entries, table("runs").arrow)
        told = segment.Provenance(table="runs", function="runner", created_at=self._clock())
        segment.write(self.folders, rows, told)
        self._entries.clear()

    def _call(self, function: Function, now: datetime) -> tuple[Batch, "_Seen"]:
        given: dict[str, Any] = {"now": now, "shelf": self._shelf}
        if "settings" in function.needs:
            given["settings"] = getattr(self._settings.sources, function.name)
        if "cursor" in function.needs:
            given["cursor"] = self._cursor(function.name)
        if "window" not in function.needs:
            return self._result(function, given), _Seen()
        with self._open_reader().pinned() as reader:
            given["window"] = Window(reader, now)
            snapshot, before = reader.snapshot(), reader.rows_read
            return self._result(function, given), _Seen(snapshot, reader.rows_read - before)

    def _result(self, function: Function, given: dict[str, Any]) -> Batch:
        return function.batch(function.call(**{name: given[name] for name in function.needs}))

    def _write(self, function: Function, batch: Batch, snapshot: int | None, now: datetime) -> None:
        """One segment a table; the main table's comes last and alone carries the cursor."""
        main = function.writes[0]
        rows = {name: rows for name, rows in batch.rows.items() if rows.num_rows}
        if batch.cursor is not None:
            rows.setdefault(main, table(main).arrow.empty_table())
        for name in sorted(rows, key=lambda name: name == main):
            told = segment.Provenance(
                table=name,
                function=function.name,
                created_at=now,
                code_hash=function.code_hash,
                window_key=batch.window_key,
                cursor=batch.cursor if name == main else None,
                input_snapshot=snapshot,
                model=batch.model,
            )
            segment.write(self.folders, rows[name], told)
        if batch.cursor is not None:
            self._cursors[function.name] = batch.cursor

    def _cursor(self, name: str) -> str | None:
        """Where the function's source goes on: as remembered, in the inbox, or in the ledger."""
        if name not in self._cursors:
            found = segment.newest_cursor(self.folders, name) or self._committed_cursor(name)
            if found is None:
                return None
            self._cursors[name] = found
        return self._cursors[name]

    def _committed_cursor(self, name: str) -> str | None:
        try:
            reader = self._open_reader()
        except LakeMissing:
            return None
        rows = reader.query(
            "SELECT cursor FROM segments WHERE function = $name AND cursor IS NOT NULL "
            "ORDER BY created_at DESC LIMIT 1",
            name=name,
        )
        return rows["cursor"][0].as_py() if rows.num_rows else None

    def _open_reader(self) -> Reader:
        if self._reader is None:
            self._reader = Reader.open(self.folders.data)
        return self._reader
