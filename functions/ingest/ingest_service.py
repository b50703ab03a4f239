"""Ingest service: validates pushed samples and makes them durable before the 2xx response."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from functions.ingest import json_records
from functions.ingest.deleted_senders import drop_readings, drop_rows, named, pseudonymous
from functions.ingest.json_records import RecordsResult
from functions.ingest.line_protocol import PRECISIONS
from functions.ingest.memory_budget import IngestMemory
from functions.ingest.partial_samples import PartialSamples
from functions.ingest.recent_cells import RecentCells
from functions.ingest.rejection import (
    PushRejected,
    UnclaimedReasons,
    counts_of,
    main_reason,
    reason_records,
)
from functions.ingest.remote_write import read_series
from functions.ingest.row_assembly import RowAssembler
from functions.ingest.sender_conflicts import ObserveStream, SenderConflicts, observe_rows
from functions.ingest.series_count import series_bytes
from functions.ingest.server_facts import ServerFacts
from functions.ingest.server_label import ServerLabel
from functions.ingest.telegraf import INPUTS, TelegrafReader, TelegrafResult, read_bytes
from functions.ingest.wal import GroupCommit, WalEntry
from functions.ingest.write_buffer import WriteBuffer
from functions.normalize.devices import DeviceRules
from storage.config.deleted_servers import DeletedServers
from storage.config.folders import Folders
from storage.config.settings import schema_of, settings_in_force
from storage.inbox import new_servers, segment
from storage.inbox.new_servers import NewServers
from storage.ipc.decoding import InvalidJson, decoded_bytes
from storage.ipc.push_protocol import MAX_PUSH_BYTES, Push, rejection_json
from storage.ipc.rpc import serve_rpc
from storage.lake.last_values import read_last_values
from storage.model.reject_log import RejectLog
from storage.model.schema import table
from storage.platform.threads import SupervisedThread

__all__ = ["IngestService", "serve_ingest"]

log = logging.getLogger(__name__)

# How long samples wait for others of the same timestamp. Telegraf sends the batches of one
# interval in a row; Prometheus fills a batch for up to 5 s.
HOLD_S = {"influx": 1.0, "remote_write": 5.0}
NAME_ANOTHER = (
    "give each server a name of its own: for Prometheus name another label, or several, in "
    "remote_write.server_label, or set the host's name at the sender"
)

# How often the reasons of requests without any accepted record become a segment.
REFUSALS_EVERY_S = 5.0

Reply = tuple[int, bytes]  # HTTP status and body
# Rows by table, and what was refused of the same request.
_Batch = tuple[dict[str, pa.Table], RejectLog]


class IngestService:
    """Handles pushes of all kinds; safe to call from several threads."""

    def __init__(
        self,
        folders: Folders,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        hold_s: Mapping[str, float] = HOLD_S,
    ) -> None:
        self._folders, self._clock = folders, clock
        schema = schema_of(folders)
        self._memory = IngestMemory()
        self._metrics, self._limits = schema.metrics, schema.times
        names = [metric.name for metric in self._metrics]
        settings = settings_in_force(folders.data)
        self._rules = DeviceRules(settings.devices)
        self._lines = TelegrafReader(names, self._rules, self._limits)
        self._server_label = ServerLabel(settings.remote_write.server_label)
        self._conflicts = SenderConflicts(NAME_ANOTHER)
        self._new_servers = NewServers(settings.servers.new_per_hour, self._known_servers)
        self._deleted = DeletedServers(folders, settings.deletions)
        self._facts, self._recent = ServerFacts(), RecentCells(tuple(names))
        self._group_commit: GroupCommit[_Batch] = GroupCommit(self._write)
        self._unclaimed = UnclaimedReasons()
        self.buffers = {
            source: WriteBuffer(
                folders, source, RowAssembler(source, names, self._rules), seconds, clock
            )
            for source, seconds in hold_s.items()
        }
        self._kinds: Mapping[str, Callable[[Push], Reply]] = {
            "records": self._take_records, "lines": self._take_lines,
            "remote_write": self._take_series,
        }  # fmt: skip

    def handle(self, request: bytes) -> Reply:
        """Handle one packed `Push`; return the HTTP status and the body of the response."""
        began, kind = time.perf_counter(), "push"
        try:
            push = Push.unpacked(request)
            kind = push.kind
            status, body = self._kinds[kind](push)
            log.debug(
                "%s: %d after %.1f ms, %d bytes, response %.500s",
                kind, status, 1000 * (time.perf_counter() - began), len(push.body), body,
            )  # fmt: skip
            return status, body
        except InvalidJson as error:
            log.debug("%s refused, 400: %s", kind, error)
            return 400, rejection_json(400, f"the push cannot be read: {error}")
        except PushRejected as error:
            log.debug("%s refused, %d: %s; %s", kind, error.status, error.message, error.remedy)
            return error.status, rejection_json(error.status, error.message, error.remedy)
        except segment.SegmentNotWritten as error:
            log.debug("%s not accepted: %s", kind, error)
            return 503, rejection_json(503, error.message, error.remedy or "")

    def recover(self) -> None:
        """Read back requests that an earlier process accepted but did not write to a segment."""
        self.buffers["influx"].recover(
            lambda entry: self._without_deleted(self._read_lines(entry).readings)
        )
        self.buffers["remote_write"].recover(
            lambda entry: self._without_deleted(self._read_series(entry))
        )

    def run_refusals_loop(self, stop: threading.Event) -> None:
        """Write what was refused in requests without any accepted record, until `stop` is set."""
        while not stop.wait(REFUSALS_EVERY_S):
            try:
                self.flush_refusals()
            except OSError as error:  # such as a full disk
                log.error("feed: %s", error)

    def flush_refusals(self) -> None:
        """Write the reasons of requests without any accepted record. Raises SegmentNotWritten."""
        if self._unclaimed:
            self._write([])

    def _take_records(self, push: Push) -> Reply:
        any_sent, result = self._read_records(push)
        result.rows, gone = drop_rows(self._deleted, result.rows)
        result = self._without_flood(result, push.peer)
        reasons = named(result.reasons, gone)
        payload: dict[str, Any] = {
            "accepted": result.rows.num_rows, "refused": result.refused + sum(gone.values()),
            "repeated": 0, "values_refused": result.values_refused,
            "values_clamped": reasons.clamped, "reasons": reason_records(reasons),
            "fields_ignored": result.ignored[:20],
        }  # fmt: skip
        result.reasons = pseudonymous(result.reasons, gone)
        result.facts = {s: fact for s, fact in result.facts.items() if s not in gone}
        if any_sent and not result.rows.num_rows:
            self._unclaimed.add(result.reasons)
            return 422, rejection_json(
                422, "no record could be used", main_reason(reasons), **payload
            )
        if result.rows.num_rows:
            facts = self._facts.changed(result.facts)
            notes = RejectLog.merged([result.reasons])
            sites = {server: fact.site for server, fact in result.facts.items()}
            observe_rows(
                result.rows, sites, self._conflicts.observer(push.sender, self._clock(), notes)
            )
            self._group_commit.put(({"metrics": result.rows} | facts, notes))
            self._facts.remember(result.facts)
            payload["repeated"] = self._recent.add(result.rows)
        return 200, msgspec.json.encode(payload)

    def _read_records(self, push: Push) -> tuple[bool, json_records.RecordsResult]:
        """Return True if there are records, and what is valid of them."""
        unit = _choice(push, "time", "s", json_records.UNITS)
        with self._memory.reading(push, decoded_bytes) as body:
            sent = json_records.read_records(body)
            return bool(sent), json_records.validate_records(
                sent, self._metrics, self._clock(), unit, "feed", self._limits
            )

    def _known_servers(self) -> list[str]:
        """The servers of the last day; an honest fleet sends more often."""
        last = read_last_values(self._folders)
        return [] if last is None else last.rows["server"].to_pylist()

    def _without_flood(self, result: RecordsResult, peer: str) -> RecordsResult:
        servers = result.rows["server"]
        flood = self._new_servers.refused(peer, servers.unique().to_pylist())
        if not flood:
            return result
        wrong = pc.is_in(servers, value_set=pa.array(sorted(flood), pa.string()))
        count = pc.sum(wrong).as_py()
        result.reasons.add(self._flood_reason(), min(flood), count)
        facts = {name: fact for name, fact in result.facts.items() if name not in flood}
        rows = result.rows.filter(pc.invert(wrong))
        refused = result.refused + count
        return msgspec.structs.replace(result, rows=rows, refused=refused, facts=facts)

    def _drop_flood(self, readings: PartialSamples, reasons: RejectLog, peer: str) -> None:
        flood = self._new_servers.refused(peer, readings.servers)
        if flood:
            reasons.add(self._flood_reason(), min(flood), readings.drop(flood))

    def _flood_reason(self) -> str:
        return f"{new_servers.reason(self._new_servers.per_hour)}; {new_servers.REMEDY}"

    def _write(self, batches: list[_Batch]) -> None:
        now, refused = self._clock(), RejectLog()
        log.debug("group commit of %d requests of records", len(batches))
        for _, reasons in batches:
            refused.merge(reasons)
        refused.merge(self._unclaimed.take())
        for name in ("server_facts", "metrics"):
            blocks = [rows[name] for rows, _ in batches if name in rows]
            if name == "metrics" and refused and not blocks:
                blocks = [table(name).arrow.empty_table()]
            if blocks:
                provenance = segment.Provenance(name, "feed", now)
                if name == "metrics":
                    provenance = replace(provenance, **counts_of(refused))
                segment.write(self._folders, pa.concat_tables(blocks), provenance)

    def _take_lines(self, push: Push) -> Reply:
        entry = WalEntry(push, self._clock())
        notes = RejectLog()
        observe = self._conflicts.observer(push.sender, entry.received_at, notes)
        read = self._read_lines(entry, observe)
        if read.lines and not read.used and not read.reasons:
            raise PushRejected(
                422, f"none of {read.lines} lines has one of our metrics",
                f"send Telegraf's {', '.join(INPUTS)}, or fields named as in 'hoursight schema "
                "metrics', with the tag 'host'",
            )  # fmt: skip
        answer = self._buffer("influx", entry, read.readings, read.reasons, notes)
        return _partial_write(answer, f"of {read.lines} lines")

    def _read_lines(self, entry: WalEntry, observe: ObserveStream | None = None) -> TelegrafResult:
        precision = _choice(entry.push, "precision", "ns", PRECISIONS)
        with self._memory.reading(entry.push, read_bytes) as body:
            try:
                text = body.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                raise PushRejected(
                    400, f"the body is not UTF-8 ({error})", "send it as UTF-8"
                ) from error
            return self._lines.read(text, precision, entry.received_at, observe)

    def _take_series(self, push: Push) -> Reply:
        entry = WalEntry(push, self._clock())
        reasons = RejectLog()
        notes = RejectLog()
        observe = self._conflicts.observer(push.sender, entry.received_at, notes)
        readings = self._read_series(entry, reasons, observe)
        answer = self._buffer("remote_write", entry, readings, reasons, notes)
        return _partial_write(answer, "samples")

    def _buffer(
        self,
        source: str,
        entry: WalEntry,
        readings: PartialSamples,
        reasons: RejectLog,
        notes: RejectLog,
    ) -> RejectLog:
        """Buffer what is accepted of a request; return the reasons of the rest for its answer."""
        gone = drop_readings(self._deleted, readings)
        self._drop_flood(readings, reasons, entry.push.peer)
        stored = pseudonymous(reasons, gone) if gone else reasons
        if readings:
            notes.merge(stored)
            self.buffers[source].take(entry, readings, notes)
        else:
            self.buffers[source].note(stored)
        return named(reasons, gone) if gone else reasons

    def _without_deleted(self, readings: PartialSamples) -> PartialSamples:
        drop_readings(self._deleted, readings)
        return readings

    def _read_series(
        self,
        entry: WalEntry,
        reasons: RejectLog | None = None,
        observe: ObserveStream | None = None,
    ) -> PartialSamples:
        with self._memory.reading(entry.push, series_bytes) as body:
            return read_series(
                body, entry.received_at, reasons, self._rules, self._limits, self._server_label,
                observe,
            )  # fmt: skip


@contextmanager
def serve_ingest(folders: Folders, hold_s: Mapping[str, float] = HOLD_S) -> Iterator[None]:
    """Serve pushes at the socket of the data folder while the context lasts."""
    service, stop = IngestService(folders, hold_s=hold_s), threading.Event()
    service.recover()
    threads = [
        SupervisedThread(source, partial(buffer.run_loop, stop), stop).start()
        for source, buffer in service.buffers.items()
    ]
    loop = partial(service.run_refusals_loop, stop)
    threads.append(SupervisedThread("refusals", loop, stop).start())
    try:
        with serve_rpc(folders.push_socket, service.handle, MAX_PUSH_BYTES):
            yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _choice(push: Push, name: str, default: str, known: Mapping[str, Any]) -> str:
    given = push.parameters.get(name, default)
    if given not in known:
        raise PushRejected(
            400, f"{name} is {given!r}", f"choose one of {', '.join(known)}, or leave it out"
        )
    return given


def _partial_write(reasons: RejectLog, what: str) -> Reply:
    if not reasons:
        return 204, b""
    message = f"partial write: {reasons.count} {what} were refused, the others were taken"
    return 400, rejection_json(400, message, main_reason(reasons), reasons=reason_records(reasons))
