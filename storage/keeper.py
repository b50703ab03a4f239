"""The keeper: the only process that writes the lake, and all that it promises about rows."""

import fcntl
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from storage.admission import Admitted, admit
from storage.announce import announce
from storage.folders import Folders
from storage.lake import attach_writer, merge_guard
from storage.profiles import profile_of
from storage.schema import TABLES, Table, table
from storage.segment import SegmentRefused, sync_folder

__all__ = ["Commit", "Keeper", "KeeperRunning"]

# One transaction takes at most this many files, so that a long backlog still shows progress.
MAX_SEGMENTS = 500

# Snapshots stay this long, and files that a merge replaced for one full round of maintenance.
SNAPSHOT_GRACE = timedelta(minutes=15)


T = TypeVar("T")


class KeeperRunning(Exception):
    """Another keeper holds this data folder."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file of which nothing was taken."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Commit:
    """What one transaction did: rows that were new by table, and files taken, dropped, rejected."""

    rows: dict[str, int]
    segments: int = 0
    repeated: int = 0
    rejected: tuple[Rejected, ...] = ()


class Keeper:
    """Commits what lies in the inbox, each batch exactly once, and looks after the lake's files."""

    def __init__(
        self, folders: Folders, connection: duckdb.DuckDBPyConnection, lock: TextIO
    ) -> None:
        self._folders = folders
        self._connection = connection
        self._lock = lock  # held as long as it is open
        self._known = self._column("SELECT DISTINCT server FROM server_facts")

    @classmethod
    def open(cls, data: Path | str) -> "Keeper":
        """Take charge of a data folder; KeeperRunning when another process has."""
        folders = Folders.at(data).create()
        lock = (folders.data / "keeper.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise KeeperRunning(
                f"another keeper holds {folders.data}: stop it, or use another --data folder"
            ) from error
        return cls(folders, attach_writer(folders), lock)

    def close(self) -> None:
        """Let go of the lake and of the folder."""
        self._connection.close()
        self._lock.close()

    def commit_waiting(self, now: datetime) -> Commit:
        """Commit the segments that lie in the inbox in one transaction, then remove them."""
        paths = sorted(self._folders.inbox.glob("*.parquet"))[:MAX_SEGMENTS]
        if not paths:
            return Commit({})
        admitted, rejected = _judge(paths, now)
        fresh = self._unseen(admitted)
        changed = self._transaction(lambda: self._insert_all(fresh, rejected, now))
        for segment in _of(fresh, "metrics") + _of(fresh, "server_facts"):
            self._known |= _servers(segment)
        self._put_aside(rejected)
        for segment in admitted:
            segment.path.unlink(missing_ok=True)
        announce(self._folders, changed)
        return Commit(changed, len(fresh), len(admitted) - len(fresh), tuple(rejected))

    def merge(self, table_name: str, patience_s: float = 2.0) -> None:
        """Put a table's small files together; readers see the same rows before and after.

        Raises ReadersBusy, and leaves all as it was, when readers leave it no gap.
        """
        before = datetime.now(UTC)

        def merge() -> None:
            self._connection.execute("CALL ducklake_merge_adjacent_files('lake', ?)", [table_name])
            _sync_new_files(self._folders.lake / "main" / table_name, before)

        self._transaction(merge, lambda: merge_guard(self._folders, patience_s))

    def tidy(self, now: datetime) -> None:
        """Remove replaced files, then let old snapshots go, then merge.

        In this order a file that a merge replaces outlives one full round, so that no reader that
        planned with it finds it gone.
        """
        self._connection.execute("CALL ducklake_cleanup_old_files('lake', cleanup_all => true)")
        self._connection.execute(
            "CALL ducklake_expire_snapshots('lake', older_than => ?)", [now - SNAPSHOT_GRACE]
        )
        for each in TABLES:
            self.merge(each.name)

    def _unseen(self, admitted: Sequence[Admitted]) -> list[Admitted]:
        """Those whose batch the ledger does not have, each batch once."""
        ids = [a.provenance.batch_id for a in admitted]
        seen = self._column("SELECT batch_id FROM segments WHERE batch_id IN $ids", ids=ids)
        fresh = []
        for each in admitted:
            if each.provenance.batch_id not in seen:
                seen.add(each.provenance.batch_id)
                fresh.append(each)
        return fresh

    def _transaction(
        self,
        work: Callable[[], T],
        guard: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> T:
        self._connection.execute("BEGIN")
        try:
            result = work()
            with guard():
                self._connection.execute("COMMIT")
        except BaseException:
            # A COMMIT that failed has already ended the transaction.
            with suppress(duckdb.TransactionException):
                self._connection.execute("ROLLBACK")
            raise
        return result

    def _insert_all(
        self, fresh: Sequence[Admitted], rejected: Sequence[Rejected], now: datetime
    ) -> dict[str, int]:
        began = datetime.now(UTC)
        new_rows: dict[str, int] = {}
        committed: dict[str, int] = {}
        for target in TABLES:
            mine = [a for a in fresh if a.provenance.table == target.name]
            if mine:
                counts = self._insert(target, mine, began)
                new_rows[target.name] = sum(counts)
                committed |= {a.provenance.batch_id: n for a, n in zip(mine, counts, strict=True)}
        self._register_servers(fresh, began, new_rows)
        self._write_ledger(fresh, rejected, committed, now, began)
        return {name: count for name, count in new_rows.items() if count} | {"segments": len(fresh)}

    def _insert(self, target: Table, segments: Sequence[Admitted], began: datetime) -> list[int]:
        """Insert what is new; returns the new rows of each segment."""
        incoming = pa.concat_tables(
            a.rows.append_column("_batch", pa.array([i] * a.rows.num_rows, pa.int32()))
            for i, a in enumerate(segments)
        )
        if target.key:
            incoming = self._without_repeats(target, incoming)
        rows = incoming.drop_columns("_batch")
        if rows.num_rows:
            self._append(target, rows, began)
        tally = pc.value_counts(incoming["_batch"]).to_pylist()
        counts = {each["values"]: each["counts"] for each in tally}
        return [counts.get(i, 0) for i in range(len(segments))]

    def _without_repeats(self, target: Table, incoming: pa.Table) -> pa.Table:
        """One row for each key; of keys the lake has, the table's rule says which row stays."""
        key = ", ".join(target.key)
        order = "_batch" if target.on_conflict == "first" else "_batch DESC"
        self._connection.register("incoming", incoming)
        self._connection.execute(
            "CREATE OR REPLACE TEMP TABLE fresh AS FROM incoming "
            f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1"
        )
        self._connection.unregister("incoming")
        known = (
            (
                f"FROM {target.name} WHERE {target.time} >= (SELECT min({target.time}) FROM fresh) "
                f"AND {target.time} <= (SELECT max({target.time}) FROM fresh)"
            )
            if target.time in target.key
            else f"FROM {target.name}"
        )
        keep = f"SELECT fresh.* FROM fresh ANTI JOIN (SELECT {key} {known}) USING ({key})"
        if target.on_conflict == "last":
            self._delete_keys(target, known)
            keep = "FROM fresh"
        return self._connection.execute(f"{keep} ORDER BY {key}").to_arrow_table()

    def _delete_keys(self, target: Table, known: str) -> None:
        key = ", ".join(target.key)
        held = f"SELECT {key} {known}"
        again = f"SELECT 1 FROM fresh SEMI JOIN ({held}) USING ({key}) LIMIT 1"
        # A DELETE writes a file of its own, so it is made only when there is something to delete.
        if self._connection.execute(again).fetchone():
            equal = " AND ".join(f"{target.name}.{c} = fresh.{c}" for c in target.key)
            self._connection.execute(f"DELETE FROM {target.name} USING fresh WHERE {equal}")

    def _append(self, target: Table, rows: pa.Table, began: datetime) -> None:
        self._connection.register("incoming", rows)
        self._connection.execute(f"INSERT INTO {target.name} BY NAME FROM incoming")
        self._connection.unregister("incoming")
        # DuckLake does not sync its Parquet before COMMIT (version 1.5.5).
        folder = self._folders.lake / "main" / target.name
        for place in _places(folder, target, rows):
            _sync_new_files(place, began)

    def _register_servers(
        self, fresh: Sequence[Admitted], began: datetime, new_rows: dict[str, int]
    ) -> None:
        """A server that nobody has told us about is known by its name's pattern."""
        told = {server for a in _of(fresh, "server_facts") for server in _servers(a)}
        first: dict[str, datetime] = {}
        for segment in _of(fresh, "metrics"):
            seen = segment.rows.group_by("server").aggregate([("ts", "min")])
            for server, ts in zip(*(c.to_pylist() for c in seen.columns), strict=True):
                first[server] = min(ts, first.get(server, ts))
        unknown = sorted(set(first) - told - self._known)
        if not unknown:
            return
        facts = table("server_facts")
        rows = pa.Table.from_pylist(
            [{"server": s, "ts": first[s], "profile": profile_of(s)} for s in unknown], facts.arrow
        )
        self._append(facts, rows, began)
        new_rows["server_facts"] = new_rows.get("server_facts", 0) + len(unknown)

    def _write_ledger(
        self,
        fresh: Sequence[Admitted],
        rejected: Sequence[Rejected],
        committed: dict[str, int],
        now: datetime,
        began: datetime,
    ) -> None:
        known = self._column(
            "SELECT batch_id FROM segments WHERE batch_id IN $ids",
            ids=[each.path.name for each in rejected],
        )
        entries = [_entry(a, committed[a.provenance.batch_id], now) for a in fresh]
        entries += [_rejection(r, now) for r in rejected if r.path.name not in known]
        if entries:
            ledger = table("segments")
            self._append(ledger, pa.Table.from_pylist(entries, ledger.arrow), began)

    def _put_aside(self, rejected: Sequence[Rejected]) -> None:
        for each in rejected:
            aside = self._folders.rejected / each.path.name
            aside.with_suffix(".reason.txt").write_text(each.reason + "\n")
            each.path.rename(aside)

    def _column(self, sql: str, **parameters: object) -> set[str]:
        rows = self._connection.execute(sql, parameters or None).fetchall()
        return {row[0] for row in rows}


def _judge(paths: Iterable[Path], now: datetime) -> tuple[list[Admitted], list[Rejected]]:
    admitted: list[Admitted] = []
    rejected: list[Rejected] = []
    for path in paths:
        try:
            admitted.append(admit(path, now))
        except SegmentRefused as error:
            rejected.append(Rejected(path, str(error)))
    return admitted, rejected


def _of(segments: Iterable[Admitted], table_name: str) -> list[Admitted]:
    return [a for a in segments if a.provenance.table == table_name]


def _servers(segment: Admitted) -> set[str]:
    return set(pc.unique(segment.rows["server"]).to_pylist())


def _entry(admitted: Admitted, committed: int, now: datetime) -> dict[str, object]:
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
        "rows_refused": admitted.refused,
        "refusals": list(admitted.reasons),
        "outcome": "committed",
    }


def _rejection(rejected: Rejected, now: datetime) -> dict[str, object]:
    return {
        "batch_id": rejected.path.name,
        "ts": now,
        "rows_committed": 0,
        "refusals": [rejected.reason],
        "outcome": "rejected",
    }


def _places(folder: Path, target: Table, rows: pa.Table) -> set[Path]:
    """The folders into which DuckLake puts these rows."""
    if not target.by_day:
        return {folder}
    days = pc.unique(pc.strftime(rows[target.time], "year=%Y/month=%-m/day=%-d")).to_pylist()
    return {folder / day for day in days}


def _sync_new_files(folder: Path, since: datetime) -> None:
    # A file system's clock may lag a little behind the system's.
    newest = since.timestamp() - 1
    for path in folder.rglob("*.parquet"):
        if path.stat().st_mtime >= newest:
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
            sync_folder(path.parent)
