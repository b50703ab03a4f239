"""Maintenance of the lake between commits: compaction, retention, snapshot expiry, cleanup."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from storage.lake.attach import SQL, merge_lock
from storage.lake.erasure import rewrite_masked
from storage.lake.leftovers import remove_leftovers
from storage.lake.transaction import WriteConnection
from storage.model.schema import Table, rollup_complete
from storage.platform.failpoints import failpoint

__all__ = ["maintenance_steps", "merge"]

log = logging.getLogger(__name__)

# Snapshots are kept this long, and files that a merge replaced for one full round.
SNAPSHOT_GRACE = timedelta(minutes=15)
PATIENCE_S = 2.0
MAX_COUNT = 32_767  # of a roll-up's int16 count
DAY = timedelta(days=1)

MaintenanceStep = Callable[[], None]


def maintenance_steps(connection: WriteConnection, now: datetime) -> Iterator[MaintenanceStep]:
    """One round of maintenance in short steps, each of which may fail by itself.

    Replaced files are removed first, then old snapshots, and only then are files merged and rows
    deleted. In this order a replaced file exists for one more round, so that readers that planned
    with it can still read it.
    """
    yield partial(remove_leftovers, connection.folders)
    yield partial(_remove_replaced_files, connection)
    yield partial(_expire_snapshots, connection, now)
    yield partial(_forget_removed_files, connection)
    for each in connection.schema.tables:
        yield from _expired_days(connection, each, now)
        yield partial(rewrite_masked, connection, each, PATIENCE_S)
        yield partial(merge, connection, each)


def merge(connection: WriteConnection, target: Table, patience_s: float = PATIENCE_S) -> None:
    """Merge a table's small files; readers see the same rows before and after.

    Raises ReadersBusy, with nothing changed, if readers leave no gap within `patience_s`.
    """
    before = datetime.now(UTC)
    merged: list[tuple[Any, ...]] = []

    def work() -> None:
        call = "CALL ducklake_merge_adjacent_files('lake', $name)"
        merged.extend(connection.run(call, name=target.name).fetchall())
        if merged:
            connection.sync(target, before)
            failpoint("files merged")

    def guard() -> AbstractContextManager[None]:
        return merge_lock(connection.folders, patience_s) if merged else nullcontext()

    connection.transaction(work, guard)
    if merged:
        log.debug("%s: small files merged into %d", target.name, len(merged))
        failpoint("merge committed")


def _remove_replaced_files(connection: WriteConnection) -> None:
    connection.settle()
    call = "CALL ducklake_cleanup_old_files('lake', cleanup_all => true)"
    removed = connection.run(call).fetchall()
    log.debug("%d replaced files removed", len(removed))
    failpoint("files cleaned up")


def _forget_removed_files(connection: WriteConnection) -> None:
    """Drop the hashes of files that the catalog does not name any more."""
    dropped = connection.manifest.keep(connection.named_files())
    log.debug("hashes of %d removed files dropped", dropped)


def _expire_snapshots(connection: WriteConnection, now: datetime) -> None:
    connection.settle()
    expired = connection.run(
        "CALL ducklake_expire_snapshots('lake', older_than => $since)", since=now - SNAPSHOT_GRACE
    ).fetchall()
    log.debug("%d snapshots expired, older than %s", len(expired), now - SNAPSHOT_GRACE)
    failpoint("snapshots expired")


def _expired_days(
    connection: WriteConnection, target: Table, now: datetime
) -> Iterator[MaintenanceStep]:
    """One step for each whole day that is older than the table's retention."""
    if target.retention is None:
        return
    limit = _day(now - target.retention)
    oldest = connection.value(
        f"SELECT min({target.time}) FROM {target.name} WHERE {target.time} < $limit", limit=limit
    )
    if oldest is None:
        return
    days = connection.column(
        f"SELECT DISTINCT date_trunc('day', {target.time}) FROM {target.name} "
        f"WHERE {target.time} < $limit",
        limit=limit,
    )
    for day in sorted(days):
        yield partial(_drop_day, connection, target, day, now)


def _drop_day(connection: WriteConnection, target: Table, day: datetime, now: datetime) -> None:
    if target.name == "metrics" and not _rolled_up(connection, day, now):
        log.warning("samples of %s are kept longer: they are not rolled up yet", day.date())
        return
    span = {"since": day, "until": day + DAY}
    before = datetime.now(UTC)

    def work() -> int:
        deleted: int = connection.value(
            f"DELETE FROM {target.name} WHERE {target.time} >= $since AND {target.time} < $until",
            **span,
        )
        connection.sync_masks(target, before)
        return deleted

    deleted = connection.transaction(work)
    log.info(
        "%s: %d rows of %s deleted, retention is %s",
        target.name, deleted, day.date(), target.retention_text,
    )  # fmt: skip


def _rolled_up(connection: WriteConnection, day: datetime, now: datetime) -> bool:
    """Return True if all samples of a day are in the roll-up, or too old for it."""
    retention = connection.schema.table("metrics_5m").retention
    if retention is not None and day < _day(now - retention):
        return True
    names = [m.name for m in connection.schema.metrics]
    counts = ", ".join(f"least(count({name}), {MAX_COUNT}) AS {name}_count" for name in names)
    text = (SQL / "unrolled.sql").read_text()
    text = text.replace("{counts}", counts).replace("{stored_counts}", rollup_complete(names))
    return not connection.value(text, since=day, until=day + DAY)


def _day(ts: datetime) -> datetime:
    return ts.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
