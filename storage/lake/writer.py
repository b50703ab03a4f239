"""The writer: the only process that writes the lake, and all that it promises about rows."""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TextIO

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.config.folders import Folders
from storage.config.settings import read_settings
from storage.config.settings_file import SettingsFile
from storage.errors import HoursightError
from storage.inbox.commit_batch import CommitBatch, RejectedSegment, distinct, read_inbox
from storage.inbox.notify import notify
from storage.inbox.segment import provenance_of
from storage.inbox.validation import ValidationResult
from storage.lake import maintenance
from storage.lake.catalog import ExtensionMissing, LeaderLockLost, lake_location
from storage.lake.dedup import CommittedBatches, NewestTimes
from storage.lake.erasure import erase_rejected, erase_servers
from storage.lake.last_value_cache import LastValueCache
from storage.lake.maintenance import MaintenanceStep
from storage.lake.renaming import rename_invalid
from storage.lake.server_profiles import assign_profiles, pattern_rows
from storage.lake.transaction import WriteConnection
from storage.model.schema import Table, table
from storage.platform.durability import disk_problem
from storage.platform.error_text import bounded_list
from storage.platform.failpoints import failpoint
from storage.platform.process import exclusive_lock

__all__ = ["CommitResult", "DataFolderNotWritable", "Writer", "WriterRunning"]

log = logging.getLogger(__name__)

# One transaction takes at most this many files, so that a long backlog still shows progress.
MAX_SEGMENTS = 500
INSTANT = timedelta(microseconds=1)


class WriterRunning(HoursightError):
    """Another writer holds this data folder."""


class DataFolderNotWritable(HoursightError):
    """The data folder cannot be written; the message names the remedy."""


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What one transaction did: rows that were new by table, and files taken, dropped, rejected."""

    rows: dict[str, int]
    segments: int = 0
    repeated: int = 0
    rejected: tuple[RejectedSegment, ...] = ()


class Writer:
    """Commits what lies in the inbox, each batch exactly once, and looks after the lake's files."""

    _known: set[str]
    _last: datetime | None
    _generation: int

    def __init__(self, connection: WriteConnection, lock: TextIO, settings: SettingsFile) -> None:
        self._connection = connection
        self._folders = connection.folders
        self._lock = lock  # held as long as it is open
        self._settings = settings
        self._followed, self._lake = settings.settings, settings.settings.lake
        self._patterns = settings.settings.profiles.all_patterns
        self._mend_names()
        self._recall()
        self._assign_profiles()

    @classmethod
    def open(cls, data: Path | str) -> "Writer":
        """Take charge of a data folder and bring its lake up to the settings.

        Raises WriterRunning when another process has it, DataFolderNotWritable, and SettingsError.
        """
        folders, settings = Folders.at(data), SettingsFile(data, read_settings(data))
        try:
            lock = exclusive_lock(folders.create().data / "writer.lock")
        except OSError as error:
            trouble = disk_problem(folders.data, error) or error
            raise DataFolderNotWritable(f"no writer for {folders.data}: {trouble}") from error
        if lock is None:
            raise WriterRunning(
                f"another writer holds {folders.data}: stop it, or use another --data folder"
            )
        with ExitStack() as on_error:
            on_error.callback(lock.close)
            writer = cls._holding(folders, lock, settings)
            on_error.pop_all()
        return writer

    @classmethod
    def _holding(cls, folders: Folders, lock: TextIO, settings: SettingsFile) -> "Writer":
        try:
            return cls(WriteConnection(folders, settings.settings.schema()), lock, settings)
        except LeaderLockLost as error:
            raise WriterRunning(str(error)) from error
        except (duckdb.Error, ExtensionMissing) as error:
            known = _known_trouble(folders, error)
            if known is None:
                raise
            raise DataFolderNotWritable(f"no writer for {folders.data}: {known}") from error

    def close(self) -> None:
        """Let go of the lake and of the folder."""
        self._connection.close()
        self._lock.close()

    @property
    def lake_moved(self) -> bool:
        """Whether the settings name another lake by now, which a restart takes up."""
        return self._settings.settings.lake != self._lake

    def trouble(self, error: Exception) -> str:
        """What is wrong, with the remedy where it is known."""
        return self._connection.trouble(error)

    def commit_waiting(self, now: datetime) -> CommitResult:
        """Commit the segments that lie in the inbox in one transaction, then remove them."""
        self._connection.settle()
        if self._generation != self._connection.generation:
            self._recall()
        self._follow_settings()
        paths = sorted(self._folders.inbox.glob("*.parquet"))[:MAX_SEGMENTS]
        if not paths:
            return CommitResult({})
        began = time.perf_counter()
        admitted, rejected = read_inbox(paths, now, self._connection.schema)
        judged = time.perf_counter()
        failpoint("segments judged")
        intake = CommitBatch(self._unseen(admitted), rejected, self._connection.schema)
        moment = self._moment(now)
        changed = self._connection.transaction(lambda: self._insert_all(intake, moment))
        log.debug(
            "commit of %d segments: %d new, %d rejected, validated in %.1f ms, committed in %.1f "
            "ms as of %s: %s",
            len(paths), len(intake.fresh), len(rejected), 1000 * (judged - began),
            1000 * (time.perf_counter() - judged), moment, changed,
        )  # fmt: skip
        failpoint("committed")
        self._last = moment
        self._remember(intake)
        self._put_aside(rejected)
        failpoint("rejected put aside")
        self._forget([s for d in intake.of("deletions") for s in _servers(d)])
        for segment in admitted:
            self._let_go(segment.path)
            failpoint("segment removed")
        self._tell_latest(intake)
        notify(self._folders, changed)
        log.debug("announced %s", ", ".join(changed))
        failpoint("announced")
        fresh = len(intake.fresh)
        return CommitResult(changed, fresh, len(admitted) - fresh, tuple(rejected))

    def merge(self, table_name: str, patience_s: float = maintenance.PATIENCE_S) -> None:
        """Put a table's small files together; raises ReadersBusy when a reader keeps it waiting."""
        maintenance.merge(self._connection, self._connection.schema.table(table_name), patience_s)

    def upkeep(self, now: datetime) -> Iterator[MaintenanceStep]:
        """One round of maintenance in short pieces, to be called in turn; commits may come between.

        A piece that fails, with ReadersBusy or as a full disk makes it, leaves all as it was.
        """
        for piece in maintenance.maintenance_steps(self._connection, now):
            yield partial(self._look_after, piece)

    def tidy(self, now: datetime) -> None:
        """A whole round of maintenance at once."""
        for piece in self.upkeep(now):
            piece()

    def _look_after(self, piece: MaintenanceStep) -> None:
        began = time.perf_counter()
        piece()
        log.debug(
            "maintenance: %s in %.1f ms", _name_of(piece), 1000 * (time.perf_counter() - began)
        )
        if self._latest is not None:
            self._latest.write()  # the same rows, of another snapshot

    def _mend_names(self) -> None:
        """Rename what an earlier release took under an invalid name; commits do not wait for it."""
        try:
            rename_invalid(self._connection)
        except (duckdb.Error, OSError) as error:
            log.error("invalid names stay until the next start: %s", self.trouble(error))

    def _assign_profiles(self) -> None:
        """Apply the patterns of the settings to all servers; commits do not wait for it."""
        try:
            assign_profiles(self._connection, self._known, self._patterns)
        except (duckdb.Error, OSError) as error:
            log.error("profiles by host name stay as they are: %s", self.trouble(error))

    def _recall(self) -> None:
        """Take from the lake what is remembered of it; what it has lost goes back to the inbox."""
        connection = self._connection
        self._known = connection.column("SELECT DISTINCT server FROM server_facts")
        self._last = connection.value("SELECT max(ts) FROM segments")
        self._batches = CommittedBatches(connection)
        self._newest: dict[str, NewestTimes] = {}  # by table, once it is asked for
        self._latest: LastValueCache | None = None  # once there are samples
        kept = {provenance_of(p).batch_id: p for p in self._folders.committed.glob("*.parquet")}
        for batch_id in set(kept) - self._batches.in_lake(list(kept)):
            log.warning("the catalog has lost %s: it is committed again", kept[batch_id].name)
            kept[batch_id].replace(self._folders.inbox / kept[batch_id].name)
        self._generation = connection.generation
        log.debug(
            "lake read at start or after a failure: %d servers, last commit %s, generation %d",
            len(self._known), self._last, self._generation,
        )  # fmt: skip

    def _let_go(self, path: Path) -> None:
        if not self._connection.networked:
            path.unlink(missing_ok=True)
        elif path.exists():
            os.utime(path)  # the while that it is kept begins now
            path.replace(self._folders.committed / path.name)

    def _follow_settings(self) -> None:
        """Take up metrics and retention that were set while it runs."""
        self._settings.reload()
        if self._settings.settings is self._followed:
            return
        settings = self._settings.settings
        schema = settings.schema()
        if schema != self._connection.schema:
            self._connection.evolve(schema)
            self._latest = None
            log.info("the settings changed: %d metrics", len(schema.metrics))
        if settings.profiles.all_patterns != self._patterns:
            self._patterns = settings.profiles.all_patterns
            self._assign_profiles()
        self._followed = settings

    def _moment(self, now: datetime) -> datetime:
        """When a commit is said to be: later than the last also when the clock was set back.

        Who goes on from the last commit that was read, such as the roll-up, would miss it else.
        """
        return now if self._last is None else max(now, self._last + INSTANT)

    def _remember(self, intake: CommitBatch) -> None:
        self._batches.add(each.provenance.batch_id for each in intake.fresh)
        self._known |= intake.spans(table("metrics")).keys()
        for segment in intake.of("server_facts"):
            self._known |= _servers(segment)
        for name, newest in self._newest.items():
            newest.add(intake.spans(self._connection.schema.table(name)))

    def _tell_latest(self, intake: CommitBatch) -> None:
        """Keep the last samples at hand; readers on other hosts would not find them there."""
        if self._connection.networked:
            return
        if self._latest is not None:
            self._latest.add(intake.rows(self._connection.schema.table("metrics")))
            self._latest.forget(s for d in intake.of("deletions") for s in _servers(d))
        elif intake.spans(self._connection.schema.table("metrics")):
            self._latest = LastValueCache(self._connection, self._newest["metrics"])
        if self._latest is not None:
            self._latest.write()

    def _forget(self, servers: Sequence[str]) -> None:
        if servers:
            erase_rejected(self._folders, servers)
            self._known -= set(servers)
            for newest in self._newest.values():
                newest.forget(servers)

    def _unseen(self, admitted: Sequence[ValidationResult]) -> list[ValidationResult]:
        """Those whose batch the ledger does not have, each batch once."""
        seen = self._batches.known(a.provenance for a in admitted)
        fresh = []
        for each in admitted:
            if each.provenance.batch_id in seen:
                log.debug(
                    "batch %s dropped, it was committed before: %s",
                    each.provenance.batch_id, each.path.name,
                )  # fmt: skip
                continue
            seen.add(each.provenance.batch_id)
            fresh.append(each)
        return fresh

    def _insert_all(self, intake: CommitBatch, now: datetime) -> dict[str, int]:
        began = datetime.now(UTC)
        new_rows: dict[str, int] = {}
        committed: dict[str, int] = {}
        for target in self._connection.schema.tables:
            mine = intake.of(target.name)
            if mine:
                asked = target.name == "deletions"
                counts = (
                    [m.rows.num_rows for m in mine]
                    if asked
                    else self._insert(target, intake, began)
                )
                new_rows[target.name] = sum(counts)
                committed |= {a.provenance.batch_id: n for a, n in zip(mine, counts, strict=True)}
                failpoint("rows inserted")
        self._register_servers(intake, began, new_rows)
        failpoint("servers registered")
        self._write_ledger(intake, committed, now, began)
        failpoint("ledger written")
        # Last, so that nothing of this commit is left of a server that goes.
        for segment in intake.of("deletions"):
            erase_servers(self._connection, segment.rows, began)
        changed = {name: count for name, count in new_rows.items() if count}
        return changed | {"segments": len(intake.fresh)}

    def _insert(self, target: Table, intake: CommitBatch, began: datetime) -> list[int]:
        """Insert what is new; returns the new rows of each segment."""
        incoming = intake.rows(target)
        if target.key and not self._all_later(target, intake):
            incoming = self._without_repeats(target, incoming)
        rows = incoming.drop_columns("_batch")
        if rows.num_rows:
            self._connection.append(target, rows, began)
        tally = pc.value_counts(incoming["_batch"]).to_pylist()
        counts = {each["values"]: each["counts"] for each in tally}
        repeated = sum(each.rows.num_rows for each in intake.of(target.name)) - rows.num_rows
        if repeated:
            log.debug("%s: %d rows dropped, their keys are in the lake", target.name, repeated)
        return [counts.get(i, 0) for i in range(len(intake.of(target.name)))]

    def _all_later(self, target: Table, intake: CommitBatch) -> bool:
        """Whether no row can be there already, as is the everyday case: told without the lake."""
        if target.key[0] != "server" or target.time not in target.key:
            return False
        if target.name not in self._newest:
            self._newest[target.name] = NewestTimes(self._connection, target)
        later = self._newest[target.name].all_later(intake.spans(target))
        return later and distinct(intake.rows(target), target.key)

    def _without_repeats(self, target: Table, incoming: pa.Table) -> pa.Table:
        """One row for each key; of keys the lake has, the table's rule says which row stays."""
        key = ", ".join(target.key)
        order = "_batch" if target.on_conflict == "first" else "_batch DESC"
        columns = [*target.key, "_batch"]
        if target.provisional:
            name, value = target.provisional
            order, columns = f"{name} = '{value}', {order}", [*columns, name]
        # Keys alone say which rows stay: a forecast's lists are a hundred times as long.
        places = pa.array(np.arange(incoming.num_rows, dtype=np.int64))
        keys = incoming.select(columns).append_column("_place", places)
        self._connection.stage(
            "fresh", keys,
            "FROM incoming "
            f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1",
        )  # fmt: skip
        known = (
            (
                f"FROM {target.name} WHERE {target.time} >= (SELECT min({target.time}) FROM fresh) "
                f"AND {target.time} <= (SELECT max({target.time}) FROM fresh)"
            )
            if target.time in target.key
            else f"FROM {target.name}"
        )
        keep = f"SELECT _place FROM fresh ANTI JOIN (SELECT {key} {known}) USING ({key})"
        if target.on_conflict == "last":
            self._delete_keys(target, known)
            keep = "SELECT _place FROM fresh"
        elif target.provisional:
            self._delete_keys(target, known)
        return incoming.take(
            self._connection.run(f"{keep} ORDER BY {key}").to_arrow_table()["_place"]
        )

    def _delete_keys(self, target: Table, known: str) -> None:
        """Delete the rows that those in `fresh` replace."""
        equal = [f"{target.name}.{c} = fresh.{c}" for c in target.key]
        if target.provisional:
            name, value = target.provisional
            equal += [f"{target.name}.{name} = '{value}'", f"fresh.{name} != '{value}'"]
        replaced = " AND ".join(equal)
        # A DELETE writes a file of its own, so it is made only when there is something to delete.
        if self._connection.value(
            f"SELECT 1 FROM (SELECT * {known}) AS {target.name}, fresh WHERE {replaced} LIMIT 1"
        ):
            self._connection.run(f"DELETE FROM {target.name} USING fresh WHERE {replaced}")

    def _register_servers(
        self, intake: CommitBatch, began: datetime, new_rows: dict[str, int]
    ) -> None:
        """Facts of new servers: when a server that states nothing was first seen, and profiles by
        host name."""
        stated = {server for a in intake.of("server_facts") for server in _servers(a)}
        spans = intake.spans(table("metrics"))
        new = (spans.keys() | stated) - self._known
        if not new:
            return
        facts = table("server_facts")
        first_seen = [{"server": s, "ts": spans[s][0]} for s in sorted(new - stated)]
        rows = pa.concat_tables([
            pattern_rows(new, self._patterns), pa.Table.from_pylist(first_seen, facts.arrow)
        ])  # fmt: skip
        if not rows.num_rows:
            return
        self._connection.append(facts, rows.sort_by([("server", "ascending")]), began)
        self._newest.pop("server_facts", None)
        new_rows["server_facts"] = new_rows.get("server_facts", 0) + rows.num_rows

    def _write_ledger(
        self,
        intake: CommitBatch,
        committed: dict[str, int],
        now: datetime,
        began: datetime,
    ) -> None:
        known = self._batches.in_lake([each.path.name for each in intake.rejected])
        entries = [_entry(a, committed[a.provenance.batch_id], now) for a in intake.fresh]
        entries += [_rejection(r, now) for r in intake.rejected if r.path.name not in known]
        if entries:
            ledger = table("segments")
            self._connection.append(ledger, pa.Table.from_pylist(entries, ledger.arrow), began)

    def _put_aside(self, rejected: Sequence[RejectedSegment]) -> None:
        for each in rejected:
            log.debug("segment rejected: %s: %s", each.path.name, each.reason)
            aside = self._folders.rejected / each.path.name
            aside.with_suffix(".reason.txt").write_text(each.reason + "\n")
            each.path.rename(aside)


def _name_of(piece: MaintenanceStep) -> str:
    """What a piece of maintenance does: its function, and the table and day of it."""
    function = getattr(piece, "func", piece)
    parts = [a for a in getattr(piece, "args", ()) if isinstance(a, Table | datetime)]
    named = [a.name if isinstance(a, Table) else str(a) for a in parts]
    return " ".join([getattr(function, "__name__", str(function)).strip("_"), *named])


def _known_trouble(folders: Folders, error: Exception) -> str | None:
    if isinstance(error, ExtensionMissing):
        return str(error)
    known = disk_problem(folders.data) or lake_location(folders).catalog.trouble(error)
    return str(known) if known else None


def _servers(segment: ValidationResult) -> set[str]:
    return set(pc.unique(segment.rows["server"]).to_pylist())


def _entry(admitted: ValidationResult, committed: int, now: datetime) -> dict[str, object]:
    told = admitted.provenance
    span = pc.min_max(admitted.rows[table(told.table).time]).as_py()
    return {
        "batch_id": told.batch_id,
        "table_name": told.table,
        "function": told.function,
        "code_hash": told.code_hash,
        "window_key": told.window_key,
        "cursor": told.cursor,
        "input_snapshot": told.input_snapshot,
        "model": told.model,
        "created_at": told.created_at,
        "ts": now,
        "first_ts": span["min"],
        "last_ts": span["max"],
        "rows_in": admitted.rows_in,
        "rows_committed": committed,
        "rows_refused": told.refused + admitted.refused,
        "refusals": [*bounded_list(told.reasons), *bounded_list(admitted.reasons)],
        "outcome": "committed",
    }


def _rejection(rejected: RejectedSegment, now: datetime) -> dict[str, object]:
    return {
        "batch_id": rejected.path.name,
        "ts": now,
        "rows_committed": 0,
        "refusals": [rejected.reason],
        "outcome": "rejected",
    }
