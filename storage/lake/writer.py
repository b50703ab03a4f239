"""The writer: the only process that writes the lake; commits each batch exactly once."""

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TextIO

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from storage.config.deleted_servers import DeletedServers
from storage.config.folder_access import folder_mode
from storage.config.folders import Folders
from storage.config.settings import read_settings
from storage.config.settings_file import SettingsFile
from storage.errors import HoursightError
from storage.inbox.commit_batch import CommitBatch, RejectedSegment, read_inbox
from storage.inbox.new_servers import NewServers, without_flood
from storage.inbox.notify import notify
from storage.inbox.segment import provenance_of
from storage.inbox.validation import ValidationResult
from storage.lake import maintenance
from storage.lake.attach import ReadersBusy, merge_lock
from storage.lake.catalog import LeaderLockLost, lake_location
from storage.lake.cell_merge import SegmentOutcome
from storage.lake.commit_log import committed_row, rejected_row
from storage.lake.damage_watch import DamageWatch
from storage.lake.dedup import CommittedBatches
from storage.lake.deletion_record import publish_deletions, report_returned
from storage.lake.erasure import erase_rejected, erase_servers
from storage.lake.extensions import ExtensionMissing
from storage.lake.last_value_cache import LastValueCache
from storage.lake.maintenance import MaintenanceStep
from storage.lake.renaming import rename_invalid
from storage.lake.row_insertion import Inserted, RowInserter
from storage.lake.server_profiles import assign_profiles, pattern_rows
from storage.lake.transaction import WriteConnection
from storage.model.schema import Table, table
from storage.platform.durability import disk_problem
from storage.platform.failpoints import failpoint
from storage.platform.private_files import restrict_new_files
from storage.platform.process import exclusive_lock

__all__ = ["CommitResult", "DataFolderNotWritable", "Writer", "WriterRunning"]

log = logging.getLogger(__name__)

# One transaction takes at most this many files, so that a long backlog still shows progress.
MAX_SEGMENTS = 500
MICROSECOND = timedelta(microseconds=1)
# A commit that replaces rows waits this long for a gap between readers.
COMMIT_PATIENCE_S = 0.5


class WriterRunning(HoursightError):
    """Another writer has this data folder, or the catalog that its settings name."""


class DataFolderNotWritable(HoursightError):
    """The data folder cannot be written; the message names the remedy."""


@dataclass(frozen=True, slots=True)
class CommitResult:
    """Result of one transaction: new rows by table, and segments committed, repeated, rejected."""

    rows: dict[str, int]
    segments: int = 0
    repeated: int = 0
    rejected: tuple[RejectedSegment, ...] = ()


class Writer:
    """Commits the segments of the inbox and maintains the lake's files."""

    _known_servers: set[str]
    _last_commit: datetime | None
    _generation: int

    def __init__(self, connection: WriteConnection, lock: TextIO, settings: SettingsFile) -> None:
        self._connection = connection
        self._folders = connection.folders
        self._lock = lock  # an open file: closing it releases the lock
        self._settings = settings
        self._applied, self._lake = settings.settings, settings.settings.lake
        self._patterns = settings.settings.profiles.all_patterns
        self.damage = DamageWatch(connection)
        self.damage.check_presence()
        self._rename_invalid_names()
        self.damage.beside_damage(self._load_state)
        self._assign_profiles()

    @classmethod
    def open(cls, data: Path | str) -> "Writer":
        """Lock a data folder for writing and bring its lake up to the settings.

        The umask of the process is set: nobody reads what it creates, but a group by the settings.
        Raises WriterRunning when another process writes it, DataFolderNotWritable, CatalogLost and
        SettingsError.
        """
        folders, settings = Folders.at(data), SettingsFile(data, read_settings(data))
        restrict_new_files(folder_mode(settings.settings))
        try:
            lock = exclusive_lock(folders.create().data / "writer.lock")
        except OSError as error:
            problem = disk_problem(folders.data, error) or error
            raise DataFolderNotWritable(f"{folders.data} cannot be written: {problem}") from error
        if lock is None:
            raise WriterRunning(
                f"another writer uses {folders.data}: stop it, or use another --data folder"
            )
        with ExitStack() as on_error:
            on_error.callback(lock.close)
            writer = cls._open_locked(folders, lock, settings)
            on_error.pop_all()
        return writer

    @classmethod
    def _open_locked(cls, folders: Folders, lock: TextIO, settings: SettingsFile) -> "Writer":
        try:
            return cls(WriteConnection(folders, settings.settings.schema()), lock, settings)
        except LeaderLockLost as error:
            raise WriterRunning(str(error)) from error
        except (duckdb.Error, ExtensionMissing) as error:
            problem = _diagnose(folders, error)
            if problem is None:
                raise
            raise DataFolderNotWritable(f"{folders.data} cannot be written: {problem}") from error

    def close(self) -> None:
        """Close the lake and release the lock of the folder."""
        self._connection.close()
        self._lock.close()

    @property
    def lake_moved(self) -> bool:
        """True once the settings name another lake, which takes a restart."""
        return self._settings.settings.lake != self._lake

    def diagnose(self, error: Exception) -> str:
        """The cause of `error` and its remedy where they are known, else its own text."""
        return self._connection.diagnose(error)

    def commit_waiting(self, now: datetime) -> CommitResult:
        """Commit up to 500 segments of the inbox in one transaction, then remove their files.

        Raises CatalogLost, with all segments kept, if the catalog was removed or replaced.
        """
        self._connection.check_catalog()
        return self.damage.beside_damage(partial(self._commit_waiting, now))

    def _commit_waiting(self, now: datetime) -> CommitResult:
        self._connection.settle()
        if self._generation != self._connection.generation:
            self._load_state()
        self._apply_settings()
        paths = sorted(self._folders.inbox.glob("*.parquet"))[:MAX_SEGMENTS]
        if not paths:
            return CommitResult({})
        began = time.perf_counter()
        refuses = self._deleted_servers().refuses
        valid, rejected = read_inbox(paths, now, self._connection.schema, refuses)
        validated = time.perf_counter()
        failpoint("segments validated")
        new = without_flood(self._without_repeats(valid), self._new_servers)
        batch = CommitBatch(new, rejected, self._connection.schema)
        ts = self._commit_time(now)
        inserted, changed = self._connection.transaction(
            lambda: self._insert_all(batch, ts), self._replacing_guard
        )
        log.debug(
            "commit of %d segments: %d new, %d rejected, validated in %.1f ms, committed in %.1f "
            "ms as of %s: %s",
            len(paths), len(batch.segments), len(rejected), 1000 * (validated - began),
            1000 * (time.perf_counter() - validated), ts, changed,
        )  # fmt: skip
        failpoint("committed")
        self._last_commit = ts
        self._after_commit(batch, valid, inserted)
        notify(self._folders, changed)
        log.debug("announced %s", ", ".join(changed))
        failpoint("announced")
        count = len(batch.segments)
        return CommitResult(changed, count, len(valid) - count, tuple(rejected))

    @contextmanager
    def _replacing_guard(self) -> Iterator[None]:
        """Around a COMMIT that replaces rows: readers that plan a query then would miss them.

        Where readers leave no gap the rows do not wait: such a query is right the next time.
        """
        with ExitStack() as stack:
            if self._inserter.replaces:
                try:
                    stack.enter_context(merge_lock(self._folders, COMMIT_PATIENCE_S))
                except ReadersBusy:
                    log.debug("committed without a gap between readers")
            yield

    def _after_commit(
        self,
        batch: CommitBatch,
        valid: Sequence[ValidationResult],
        inserted: Mapping[str, Inserted],
    ) -> None:
        """Update what is cached of the lake and empty the inbox of what was read."""
        self._add_committed(batch)
        self._move_rejected(batch.rejected)
        failpoint("rejected files moved")
        self._forget_servers(_servers_in(batch.for_table("deletions")))
        for segment in valid:
            self._remove_committed(segment.path)
            failpoint("segment removed")
        self._update_last_values(batch, inserted)

    def merge(self, table_name: str, patience_s: float = maintenance.PATIENCE_S) -> None:
        """Merge a table's small files; raises ReadersBusy when readers leave no gap."""
        maintenance.merge(self._connection, self._connection.schema.table(table_name), patience_s)

    def maintenance_steps(self, now: datetime) -> Iterator[MaintenanceStep]:
        """One round of maintenance in short steps, to be called in turn; commits may come between.

        A step that fails, with ReadersBusy or because the disk is full, changes nothing.
        """
        yield self._check_files
        for step in maintenance.maintenance_steps(self._connection, now):
            yield partial(self._run_step, step)

    def _check_files(self) -> None:
        self.damage.check_presence()

    def run_maintenance(self, now: datetime) -> None:
        """Run a whole round of maintenance."""
        for step in self.maintenance_steps(now):
            step()

    def _run_step(self, step: MaintenanceStep) -> None:
        began = time.perf_counter()
        self.damage.beside_damage(step)
        log.debug(
            "maintenance: %s in %.1f ms", _step_name(step), 1000 * (time.perf_counter() - began)
        )
        if self._last_values is not None and self._generation == self._connection.generation:
            self._last_values.write()  # the same rows, of a newer snapshot

    def _rename_invalid_names(self) -> None:
        """Rename what an earlier release took under an invalid name; commits do not wait for it."""
        try:
            rename_invalid(self._connection)
        except (duckdb.Error, OSError) as error:
            log.error("invalid names stay until the next start: %s", self.diagnose(error))

    def _assign_profiles(self) -> None:
        """Apply the patterns of the settings to all servers; commits do not wait for it."""
        try:
            assign_profiles(self._connection, self._known_servers, self._patterns)
        except (duckdb.Error, OSError) as error:
            log.error("profiles by host name stay as they are: %s", self.diagnose(error))

    def _load_state(self) -> None:
        """Read what is cached of the lake; segments that the catalog lost return to the inbox."""
        connection = self._connection
        self._known_servers = connection.column("SELECT DISTINCT server FROM server_facts")
        self._new_servers = NewServers(
            self._settings.settings.servers.new_per_hour, lambda: self._known_servers
        )
        self._batches = CommittedBatches(connection)
        self._last_commit = self._batches.last_commit
        self._inserter = RowInserter(connection)
        self._last_values: LastValueCache | None = None  # once there are samples
        self._return_lost_segments()
        publish_deletions(connection)
        self._generation = connection.generation
        log.debug(
            "lake read at start or after a failure: %d servers, last commit %s, generation %d",
            len(self._known_servers), self._last_commit, self._generation,
        )  # fmt: skip

    def _return_lost_segments(self) -> None:
        committed = {
            provenance_of(p).batch_id: p for p in self._folders.committed.glob("*.parquet")
        }
        for batch_id in set(committed) - self._batches.in_lake(list(committed)):
            path = committed[batch_id]
            log.warning("the catalog has lost %s: it is committed again", path.name)
            path.replace(self._folders.inbox / path.name)

    def _remove_committed(self, path: Path) -> None:
        """Remove a segment; of a networked catalog, which may lose commits, it is kept an hour."""
        if not self._connection.networked:
            path.unlink(missing_ok=True)
        elif path.exists():
            os.utime(path)  # the hour begins now
            path.replace(self._folders.committed / path.name)

    def _apply_settings(self) -> None:
        """Apply metrics and retention that were changed in the settings file."""
        self._settings.reload()
        if self._settings.settings is self._applied:
            return
        settings = self._settings.settings
        self._new_servers.per_hour = settings.servers.new_per_hour
        restrict_new_files(folder_mode(settings))
        schema = settings.schema()
        if schema != self._connection.schema:
            self._connection.evolve(schema)
            self._last_values = None
            log.info("the settings changed: %d metrics", len(schema.metrics))
        if settings.profiles.all_patterns != self._patterns:
            self._patterns = settings.profiles.all_patterns
            self._assign_profiles()
        self._applied = settings

    def _commit_time(self, now: datetime) -> datetime:
        """`now`, or just after the last commit when the clock was set back.

        The roll-up reads the commits after the last one that it has seen; it would miss one with an
        earlier time.
        """
        return now if self._last_commit is None else max(now, self._last_commit + MICROSECOND)

    def _add_committed(self, batch: CommitBatch) -> None:
        self._batches.add(segment.provenance.batch_id for segment in batch.segments)
        servers = set(batch.spans(table("metrics")))
        servers |= _servers_in(batch.for_table("server_facts"))
        report_returned(self._deleted_servers(), servers - self._known_servers)
        self._known_servers |= servers
        self._inserter.add_committed(batch)

    def _update_last_values(self, batch: CommitBatch, inserted: Mapping[str, Inserted]) -> None:
        """Write the last-value cache; readers on other hosts would not see its file."""
        if self._connection.networked:
            return
        metrics = self._connection.schema.table("metrics")
        if self._last_values is not None:
            if "metrics" in inserted:
                self._last_values.add(inserted["metrics"].rows)
            self._last_values.forget(_servers_in(batch.for_table("deletions")))
        elif batch.spans(metrics):
            self._last_values = LastValueCache(self._connection, self._inserter.newest(metrics))
        if self._last_values is not None:
            self._last_values.write()

    def _forget_servers(self, servers: set[str]) -> None:
        if servers:
            erase_rejected(self._folders, sorted(servers))
            publish_deletions(self._connection)
            self._known_servers -= servers
            self._inserter.forget_servers(servers)

    def _deleted_servers(self) -> DeletedServers:
        return DeletedServers(self._folders, self._settings.settings.deletions)

    def _without_repeats(self, segments: Sequence[ValidationResult]) -> list[ValidationResult]:
        """The segments whose batch was not committed before, each batch once."""
        seen = self._batches.known(segment.provenance for segment in segments)
        new = []
        for segment in segments:
            batch_id = segment.provenance.batch_id
            if batch_id in seen:
                log.debug(
                    "batch %s dropped, it was committed before: %s", batch_id, segment.path.name
                )
                continue
            seen.add(batch_id)
            new.append(segment)
        return new

    def _insert_all(
        self, batch: CommitBatch, ts: datetime
    ) -> tuple[dict[str, Inserted], dict[str, int]]:
        """Insert the batch, committed as of `ts`; returns what was written, and new rows by table.

        An erasure inserts the rows of `deletions` itself, at the end.
        """
        began = datetime.now(UTC)
        self._inserter.replaces = False
        inserted: dict[str, Inserted] = {}
        for target in self._connection.schema.tables:
            if batch.for_table(target.name) and target.name != "deletions":
                inserted[target.name] = self._inserter.insert(target, batch, began)
                failpoint("rows inserted")
        new_rows = {name: each.new for name, each in inserted.items()}
        self._register_servers(batch, began, new_rows)
        failpoint("servers registered")
        self._write_commit_log(batch, inserted, ts, began)
        failpoint("commit log written")
        # Last, so that an erasure also covers what this commit has brought of the server.
        for segment in batch.for_table("deletions"):
            erase_servers(self._connection, segment.rows, began)
            new_rows["deletions"] = new_rows.get("deletions", 0) + segment.rows.num_rows
        changed = {name: count for name, count in new_rows.items() if count}
        return inserted, changed | {"segments": len(batch.segments)}

    def _register_servers(
        self, batch: CommitBatch, began: datetime, new_rows: dict[str, int]
    ) -> None:
        """Add facts of new servers: their profile by host name, and when a server that no source
        has described was first seen.
        """
        described = _servers_in(batch.for_table("server_facts"))
        spans = batch.spans(table("metrics"))
        new = (spans.keys() | described) - self._known_servers
        if not new:
            return
        facts = table("server_facts")
        first_seen = [{"server": s, "ts": spans[s][0]} for s in sorted(new - described)]
        rows = pa.concat_tables([
            pattern_rows(new, self._patterns), pa.Table.from_pylist(first_seen, facts.arrow)
        ])  # fmt: skip
        if not rows.num_rows:
            return
        self._connection.append(facts, rows.sort_by([("server", "ascending")]), began)
        self._inserter.forget_table("server_facts")
        new_rows["server_facts"] = new_rows.get("server_facts", 0) + rows.num_rows

    def _write_commit_log(
        self, batch: CommitBatch, inserted: Mapping[str, Inserted], ts: datetime, began: datetime
    ) -> None:
        logged = self._batches.in_lake([each.path.name for each in batch.rejected])
        rows = [
            committed_row(segment, outcome, ts)
            for name, each in inserted.items()
            for segment, outcome in zip(batch.for_table(name), each.outcomes, strict=True)
        ]
        rows += [
            committed_row(s, SegmentOutcome(s.rows.num_rows), ts)
            for s in batch.for_table("deletions")
        ]
        rows += [rejected_row(r, ts) for r in batch.rejected if r.path.name not in logged]
        if rows:
            segments = table("segments")
            self._connection.append(segments, pa.Table.from_pylist(rows, segments.arrow), began)

    def _move_rejected(self, rejected: Sequence[RejectedSegment]) -> None:
        """Move rejected files out of the inbox, each with its reason in a text file beside it."""
        for each in rejected:
            log.debug("segment rejected: %s: %s", each.path.name, each.reason)
            target = self._folders.rejected / each.path.name
            target.with_suffix(".reason.txt").write_text(each.reason + "\n")
            each.path.rename(target)


def _step_name(step: MaintenanceStep) -> str:
    """The function of a maintenance step, with the table and day that it is for."""
    function = getattr(step, "func", step)
    parts = [a for a in getattr(step, "args", ()) if isinstance(a, Table | datetime)]
    named = [a.name if isinstance(a, Table) else str(a) for a in parts]
    return " ".join([getattr(function, "__name__", str(function)).strip("_"), *named])


def _diagnose(folders: Folders, error: Exception) -> str | None:
    """The known cause of an error at the opening of the lake, with its remedy."""
    if isinstance(error, ExtensionMissing):
        return str(error)
    known = disk_problem(folders.data) or lake_location(folders).catalog.diagnose(error)
    return str(known) if known else None


def _servers_in(segments: Sequence[ValidationResult]) -> set[str]:
    return {s for segment in segments for s in pc.unique(segment.rows["server"]).to_pylist()}
