"""`hoursight doctor`: checks everything that a forecast needs, and says what to do."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from functions.engine.forecaster import ModelUnusable
from functions.engine.serving_model import ServingModel
from scripts.cli.doctor_deliveries import delivery_findings
from scripts.cli.finding import Finding
from scripts.cli.output import format_time
from storage.config.folder_access import close_to_others, foreign_locks, paths_open_to_others
from storage.config.folders import Folders
from storage.config.settings import Settings, SettingsError, read_settings, schema_of
from storage.inbox.notify import last_commit, pending_segments
from storage.lake.catalog import lake_location
from storage.lake.catalog_loss import CatalogLost, check_integrity
from storage.lake.catalog_snapshots import newest_snapshot, snapshot_time
from storage.lake.file_health import damage_records, read_scrub_state
from storage.model.names import is_name
from storage.model.time_limits import age_s
from storage.model.views import as_of_now
from storage.platform.private_files import GROUP_MODE, mode_of
from storage.query.disk_usage import disk_use
from storage.query.reader import LakeMissing, LakeUnreadable, Reader
from web.display.formatting import size
from web.lake_session import sql

__all__ = ["Finding", "examine", "findings"]

LEAST_FREE_GB = 1.0
STALE_S = 60
BACKLOG_S = 30

SEEN = as_of_now("SELECT server, last_seen FROM {fleet_now} AS fleet_now")
EXCESS_REMEDIES = {
    "orphaned files": "no query reads them: make a backup, then remove them",
    "catalog's log": "a query keeps it from being emptied: restart the processes, one by one",
}
FORECAST_STATES = as_of_now("""
SELECT
    count(*) AS servers, count(*) FILTER (forecast_state = 'ok') AS ok,
    count(*) FILTER (forecast_state = 'early') AS early,
    mode(forecast_why) FILTER (forecast_state = 'abstained') AS why
FROM {fleet_now} AS fleet_now
""")


def examine(data: Path, say: Callable[[str], None]) -> bool:
    """Print all findings; return True if all is well."""
    results = list(findings(data, datetime.now(UTC)))
    for each in results:
        say(f"{'ok ' if each.well else 'BAD'}  {each.about}: {each.text}")
        if each.remedy:
            say(f"     → {each.remedy}")
    return all(each.well for each in results)


def findings(data: Path, now: datetime) -> Iterator[Finding]:
    """Yield the finding of each check of a data folder."""
    folders = Folders.at(data)
    yield _settings(data)
    yield _access(folders)
    yield from _locks(folders)
    yield _disk(folders)
    yield _model(folders)
    try:
        reader = _whole_lake(data)
    except LakeMissing as error:
        yield Finding("lake", str(error), "start 'hoursight demo' or 'hoursight up' on this folder")
        return
    except CatalogLost as error:
        yield Finding("lake", error.message, error.remedy)
        return
    except LakeUnreadable as error:
        yield Finding("lake", str(error), "correct that: samples wait in the inbox meanwhile")
        return
    yield from _deliveries(folders, now)
    with closing(reader):
        yield Finding("lake", f"readable, snapshot {reader.snapshot()}")
        yield from _catalog_snapshot(folders, now)
        yield _files(folders)
        yield _writer(data, now)
        yield _samples(reader, now)
        yield from _clock(reader, now)
        yield _forecasts(reader, now)
        yield from _names(reader)
        yield from _functions(reader, now)
        yield from _disk_use(reader, now)


def _deliveries(folders: Folders, now: datetime) -> Iterator[Finding]:
    """Yield how the channels and the heartbeat of the settings fare."""
    with suppress(SettingsError):
        settings = read_settings(folders.data)
        if folders.outbox.exists() and (settings.channels or settings.heartbeat.is_set):
            yield from delivery_findings(folders, settings, now)


def _whole_lake(data: Path) -> Reader:
    """Open the lake, whose catalog is read to its end. Raises LakeMissing and LakeUnreadable."""
    with ExitStack() as undo:
        reader = Reader.open(data)
        undo.callback(reader.close)
        check_integrity(reader.folders)
        undo.pop_all()
    return reader


def _settings(data: Path) -> Finding:
    try:
        settings = read_settings(data)
    except SettingsError as error:
        return Finding("settings", str(error), "correct it, or remove the file for the defaults")
    on = [name for name in ("host", "simulator") if getattr(settings.sources, name).enabled]
    return Finding("settings", f"sources: {', '.join(on) or 'none'}")


def close_data_folder(data: Path, say: Callable[[str], None]) -> None:
    """Grant other users what the settings share of a data folder, and nothing else."""
    folders = Folders.at(data)
    for path in close_to_others(folders, read_settings(data)):
        say(f"{path} stays open: it belongs to another user; remove it, or 'chown' it to yourself")
    for path, holder in foreign_locks(folders):
        path.unlink(missing_ok=True)
        by = f"process {holder.pid} of user {holder.uid}"
        say(f"{path.name} was locked by {by}: restart hoursight")


def _access(folders: Folders) -> Finding:
    try:
        settings = read_settings(folders.data)
    except SettingsError:
        settings = Settings()
    place = Path(os.path.realpath(folders.data))  # unlike Path.resolve, it takes a link to itself
    remedy = f"run 'hoursight doctor --fix --data {folders.data}'"
    if (first := next(paths_open_to_others(folders, settings), None)) is not None:
        text = f"other users of this machine can reach {first} (mode {mode_of(first):o})"
        return Finding("access", text, remedy)
    if not settings.data.group_readable:
        return Finding("access", f"only this user can reach {place}")
    if place.exists() and mode_of(place) & GROUP_MODE != GROUP_MODE:
        text = f"data.group_readable is true, and its group cannot read {place}"
        return Finding("access", text, remedy)
    return Finding("access", f"this user and its group can read {place}")


def _locks(folders: Folders) -> Iterator[Finding]:
    for path, holder in foreign_locks(folders):
        yield Finding(
            "locks", f"process {holder.pid} of user {holder.uid} holds {path}",
            f"run 'hoursight doctor --fix --data {folders.data}', and restart hoursight",
        )  # fmt: skip


def _disk(folders: Folders) -> Finding:
    place = next(p for p in (folders.data, *folders.data.parents) if p.exists())
    free_gb = shutil.disk_usage(place).free / 1e9
    text = f"{free_gb:.1f} GB free at {place}"
    return Finding("disk", text, None if free_gb >= LEAST_FREE_GB else "make room, or move --data")


def _files(folders: Folders) -> Finding:
    """Damaged files of the lake, and how far the check of all files has come."""
    records, state = damage_records(folders), read_scrub_state(folders)
    if records:
        return Finding(
            "files", f"{len(records)} damaged and put aside, such as {records[0]}",
            "'hoursight verify --recover --backup FILE' takes the rows from a backup; remove "
            f"{folders.damaged} when you do not need the files",
        )  # fmt: skip
    if state is None or state.last_round_ended is None:
        return Finding("files", "none damaged; not all have been checked yet")
    ended = state.last_round_ended.isoformat(timespec="minutes")
    return Finding("files", f"none damaged; all {state.last_round_files} checked until {ended}")


def _model(folders: Folders) -> Finding:
    serving = ServingModel(folders)
    try:
        model = serving.serving()
    except ModelUnusable as error:
        return Finding(
            "model", f"{error}. No forecasts are made.",
            f"put a sound model at {folders.models / 'serving.onnx'}, or remove that file to go "
            "back to the shipped one",
        )  # fmt: skip
    return Finding(
        "model", f"{model.hash} ({serving.path or 'shipped with the package'}), self-test passed"
    )


def _catalog_snapshot(folders: Folders, now: datetime) -> Iterator[Finding]:
    newest = newest_snapshot(folders)
    if newest is not None:
        age_min = age_s(snapshot_time(newest), now) / 60
        yield Finding("catalog", f"its newest snapshot was taken {age_min:.0f} min ago")
    elif not lake_location(folders).catalog.networked:
        yield Finding("catalog", "no snapshot yet: the writer takes one when it starts")


def _writer(data: Path, now: datetime) -> Finding:
    newest, backlog = last_commit(data, now), pending_segments(data)
    if newest is None:
        return Finding("writer", "no commit yet", "start 'hoursight up'")
    age = age_s(newest, now)
    text = f"last commit {age:.0f} s ago, {backlog} segments wait"
    stuck = backlog > 0 and age > BACKLOG_S
    return Finding("writer", text, "is the writer running? start 'hoursight up'" if stuck else None)


def _samples(reader: Reader, now: datetime) -> Finding:
    rows = reader.query(SEEN, now=now).to_pylist()
    newest = max((row["last_seen"] for row in rows if row["last_seen"]), default=None)
    if newest is None:
        return Finding("samples", "none yet", "turn a source on in hoursight.toml, start it")
    age = age_s(newest, now)
    text = f"{len(rows)} servers, newest sample {age:.0f} s old"
    late = age > STALE_S
    return Finding(
        "samples", text, "is the collector running? start 'hoursight up'" if late else None
    )


def _clock(reader: Reader, now: datetime) -> Iterator[Finding]:
    latest = now + schema_of(reader.folders).times.max_ahead
    ahead = reader.query(sql("samples_ahead"), latest=latest).to_pylist()[0]
    if ahead["servers"]:
        yield Finding(
            "clock", f"samples of {ahead['servers']} servers from the future, up to "
            f"{format_time(ahead['last'])}: they are left out until then",
            "this host's clock was ahead when they came: have it set by NTP",
        )  # fmt: skip


def _forecasts(reader: Reader, now: datetime) -> Finding:
    rows = reader.query(FORECAST_STATES, now=now).to_pylist()[0]
    text = f"{rows['ok']} of {rows['servers']} servers, {rows['early']} early"
    if rows["ok"] + rows["early"]:
        return Finding("forecasts", text)
    return Finding(
        "forecasts", text + (f": {rows['why']}" if rows["why"] else ""), "see model and samples"
    )


def _disk_use(reader: Reader, now: datetime) -> Iterator[Finding]:
    uses = disk_use(reader, now)
    kinds = ", ".join(f"{use.kind} {size(use.bytes)}" for use in uses)
    yield Finding("disk use", kinds or "nothing")
    for use in uses:
        if use.excess:
            yield Finding(
                "disk use",
                f"{use.kind}: {use.files} files, {size(use.bytes)} (limit: {use.limit})",
                EXCESS_REMEDIES[use.kind],
            )  # fmt: skip


def _names(reader: Reader) -> Iterator[Finding]:
    """Names from before the rule, which no forecast is made for until the writer renames them."""
    known = reader.query("SELECT DISTINCT server FROM server_facts ORDER BY server")
    invalid = [repr(name) for name in known["server"].to_pylist() if not is_name(name)]
    if invalid:
        yield Finding(
            "names", f"{', '.join(invalid[:5])}: not valid ({len(invalid)} in all)",
            "restart 'hoursight up': it renames them as it starts, and its log says how",
        )  # fmt: skip


def _functions(reader: Reader, now: datetime) -> Iterator[Finding]:
    rows = reader.query(
        "SELECT function, ts, outcome, error FROM runs "
        "WHERE ts > $now - INTERVAL 1 DAY AND ts <= $now "
        "QUALIFY row_number() OVER (PARTITION BY function ORDER BY ts DESC) = 1 ORDER BY function",
        now=now,
    )
    for row in rows.to_pylist():
        failed = row["error"] is not None
        text = f"{row['outcome']}: {row['error']}" if failed else row["outcome"]
        remedy = f"see 'hoursight functions why {row['function']}'" if failed else None
        yield Finding(f"function {row['function']}", text, remedy)
