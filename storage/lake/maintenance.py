"""What the writer does to the lake between commits: files merged, old rows and files let go."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from storage.config.folders import Folders
from storage.lake.attach import SQL, merge_lock
from storage.lake.backup import drop_abandoned
from storage.lake.erasure import rewrite_after_erasure
from storage.lake.transaction import WriteConnection
from storage.model.schema import Table, rollup_complete
from storage.platform.failpoints import failpoint

__all__ = ["maintenance_steps", "merge"]

log = logging.getLogger(__name__)

# Snapshots stay this long, and files that a merge replaced for one full round of maintenance.
SNAPSHOT_GRACE = timedelta(minutes=15)
PATIENCE_S = 2.0
ABANDONED_S = 3600.0
COMMITTED_KEPT_S = 3600.0
MOST_COUNTED = 32_767  # what the count of a roll-up holds
DAY = timedelta(days=1)

MaintenanceStep = Callable[[], None]


def maintenance_steps(connection: WriteConnection, now: datetime) -> Iterator[MaintenanceStep]:
    """One round of maintenance in short pieces; each may fail by itself.

    Replaced files go first, then old snapshots, and only then files are merged and rows let go: in
    this order a file that is replaced outlives one full round, so that no reader that planned with
    it finds it gone.
    """
    yield partial(_sweep, connection.folders)
    yield partial(_clean_up, connection)
    yield partial(_expire, connection, now)
    for each in connection.schema.tables:
        yield from _expired_days(connection, each, now)
        yield partial(rewrite_after_erasure, connection, each)
        if each.name != "deletions":  # its files tell which others are to be written anew
            yield partial(merge, connection, each)


def merge(connection: WriteConnection, target: Table, patience_s: float = PATIENCE_S) -> None:
    """Put a table's small files together; readers see the same rows before and after.

    Raises ReadersBusy, and leaves all as it was, when a reader keeps it waiting.
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


def _sweep(folders: Folders) -> None:
    """Remove what processes that were killed have left half done, and segments long committed."""
    drop_abandoned(folders)
    _drop_older(folders.inbox.glob("*.partial"), ABANDONED_S)
    _drop_older(folders.committed.glob("*.parquet"), COMMITTED_KEPT_S)


def _drop_older(paths: Iterable[Path], age_s: float) -> None:
    for path in paths:
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > age_s:
                log.debug("removing %s, older than %.0f s", path.name, age_s)
                path.unlink()


def _clean_up(connection: WriteConnection) -> None:
    connection.settle()
    gone = connection.run("CALL ducklake_cleanup_old_files('lake', cleanup_all => true)").fetchall()
    log.debug("%d replaced files removed", len(gone))
    failpoint("files cleaned up")


def _expire(connection: WriteConnection, now: datetime) -> None:
    connection.settle()
    expired = connection.run(
        "CALL ducklake_expire_snapshots('lake', older_than => $since)", since=now - SNAPSHOT_GRACE
    ).fetchall()
    log.debug("%d snapshots expired, of before %s", len(expired), now - SNAPSHOT_GRACE)
    failpoint("snapshots expired")


def _expired_days(
    connection: WriteConnection, target: Table, now: datetime
) -> Iterator[MaintenanceStep]:
    """A slice for each whole day that is older than the table is kept."""
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
        log.warning("samples of %s stay longer: they are not rolled up yet", day.date())
        return
    span = {"since": day, "until": day + DAY}
    gone = connection.transaction(
        lambda: connection.value(
            f"DELETE FROM {target.name} WHERE {target.time} >= $since AND {target.time} < $until",
            **span,
        )
    )
    log.info("%s: %d rows of %s are past %s", target.name, gone, day.date(), target.retention_text)


def _rolled_up(connection: WriteConnection, day: datetime, now: datetime) -> bool:
    """Whether each sample of a day stands in its roll-up, or is too old to stand in one."""
    kept = connection.schema.table("metrics_5m").retention
    if kept is not None and day < _day(now - kept):
        return True
    names = [m.name for m in connection.schema.metrics]
    counts = ", ".join(f"least(count({name}), {MOST_COUNTED}) AS {name}_count" for name in names)
    text = (SQL / "unrolled.sql").read_text()
    text = text.replace("{counts}", counts).replace("{stored_counts}", rollup_complete(names))
    return not connection.value(text, since=day, until=day + DAY)


def _day(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
