"""JSON records: flat objects, with our own field names or those of the stock mapping."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from functions.ingest.rejection import PushRejected, time_reason
from functions.ingest.row_assembly import as_floats
from functions.ingest.server_facts import ServerFact
from functions.normalize.columns import Column, DocumentColumns, first_of
from functions.normalize.mapping import Time, read_mapping
from functions.normalize.numbers import Floats, floats
from functions.normalize.timestamps import MISSING, InvalidTimestamp, TimeOutside, micros
from functions.normalize.unclear_names import UNCLEAR_NAMES
from storage.ipc.decoding import InvalidJson, decode_json
from storage.model.metrics import Metric, check_range
from storage.model.names import EXPECTED, REMEDY, server_name, trimmed
from storage.model.reject_log import RejectLog
from storage.model.schema import TIMESTAMP
from storage.model.time_limits import STOCK_LIMITS, TimeLimits, TimeRange

__all__ = ["MAX_RECORDS", "UNITS", "RecordsResult", "read_records", "validate_records"]

MAX_RECORDS = 10_000
MAX_CORES = 65_536
# Units of epoch times as a push names them, and as a mapping does.
UNITS = {"s": "epoch_s", "ms": "epoch_ms", "us": "epoch_us", "ns": "epoch_ns"}
ISO = Time(field="timestamp")
_FLAT = read_mapping({})
_FACTS = {*_FLAT.profile.fields, *_FLAT.site.fields, *_FLAT.cores.fields}
_KNOWN = {*_FLAT.paths, "@timestamp"}

Micros = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class RecordsResult(msgspec.Struct):
    """Validated records: rows of `metrics`, facts of servers, and what was refused.

    `refused` counts records, `values_refused` values of records that were kept.
    """

    rows: pa.Table
    reasons: RejectLog
    refused: int = 0
    values_refused: int = 0
    ignored: tuple[str, ...] = ()
    facts: Mapping[str, ServerFact] = {}


def read_records(body: bytes) -> list[Any]:
    """Decode a JSON body: a list, or an object with `records`. Raises PushRejected (422, 413)."""
    try:
        sent = decode_json(body, nan=True)
    except InvalidJson as error:
        raise PushRejected(
            422, f"the body is not JSON ({error})", "send a list of records as JSON"
        ) from error
    records = sent.get("records") if isinstance(sent, dict) else sent
    if not isinstance(records, list):
        raise PushRejected(
            422, "the body has no records", 'send a list of records, or {"records": [...]}'
        )
    if len(records) > MAX_RECORDS:
        raise PushRejected(
            413, f"{len(records)} records are more than {MAX_RECORDS}", "send them in parts"
        )
    return records


def validate_records(
    records: Sequence[Any],
    metrics: Sequence[Metric],
    now: datetime,
    unit: str,
    source: str,
    limits: TimeLimits = STOCK_LIMITS,
) -> RecordsResult:
    """Validate decoded records; `unit` is the unit of epoch times, a key of UNITS.

    Times outside the `limits` at `now` are refused.
    """
    validation = _RecordValidation(records)
    servers, times = validation.servers(), validation.times(limits.at(now), UNITS[unit])
    values = {m.name: validation.metric(m) for m in metrics}
    validation.refuse_unclear(values)
    validation.drop(_all_absent(values.values()), "no metric is in the record that could be kept")
    good = np.flatnonzero(validation.good)
    rows = {
        "server": pa.array([servers[i] for i in good.tolist()], pa.string()),
        "ts": pa.array(times[good], TIMESTAMP),
        **{name: as_floats(column[good]) for name, column in values.items()},
        "source": pa.array([source] * len(good), pa.string()),
    }
    return RecordsResult(
        pa.table(rows), validation.reasons, len(records) - len(good), validation.values_refused,
        validation.unknown_fields(metrics), validation.facts(servers, times),
    )  # fmt: skip


class _RecordValidation:
    """The records that are objects, a mask of those still valid, and a log of the others."""

    def __init__(self, records: Sequence[Any]) -> None:
        self.reasons = RejectLog()
        self.values_refused = 0
        self.records = [record for record in records if isinstance(record, dict)]
        if len(self.records) < len(records):
            example = next(record for record in records if not isinstance(record, dict))
            lost = len(records) - len(self.records)
            self.reasons.add("a record is not a JSON object", example, lost)
        self.good: Mask = np.ones(len(self.records), bool)
        self._columns = DocumentColumns(self.records)
        self._names = set().union(*self.records)

    def drop(self, mask: Mask, reason: str) -> None:
        """Refuse the records in `mask` that are still valid."""
        lost = np.flatnonzero(mask & self.good)
        if lost.size:
            self.reasons.add(reason, self.records[lost[0]], int(lost.size))
            self.good[lost] = False

    def servers(self) -> Column:
        """The server of each record; records without a valid name are refused."""
        values = self._first(_FLAT.server.fields)
        self.drop(
            np.array([v is None for v in values], bool),
            "no server: name the host as 'server', 'hostname' or 'host'",
        )
        names = [server_name(v) for v in values]
        invalid = [n is None and v is not None for n, v in zip(names, values, strict=True)]
        self.drop(np.array(invalid, bool), f"server: not a valid name ({EXPECTED}): {REMEDY}")
        return names

    def times(self, within: TimeRange, epoch: str) -> Micros:
        """Microseconds since 1970; records without a time `within` the limits are refused."""
        assert _FLAT.time is not None
        values = self._first((*_FLAT.time.fields, "@timestamp"))
        self.drop(
            np.array([v is None for v in values], bool),
            "no time: send 'timestamp' as ISO 8601 with a zone, or as epoch seconds",
        )
        return self._timestamps(values, epoch, within)

    def metric(self, metric: Metric) -> Floats:
        """The values of a metric [n], NaN where a record has none or a refused one."""
        known = _FLAT.entries.get(metric.name, ())
        names = [name for entry in known for name in entry.fields] or [metric.name]

        def refuse(place: int, _: Any) -> None:
            self._refuse_value(f"{metric.name}: not a number", place)

        values = floats(self._first(names), refuse, percent=metric.unit == "%")
        check = check_range(metric, values)
        why = f"{metric.name}: outside {metric.valid_range} {metric.unit}".rstrip()
        why += f": {metric.remedy}" if metric.remedy else ""
        for place in np.flatnonzero(check.impossible).tolist():
            self._refuse_value(why, place)
        clamped = np.flatnonzero(check.clamped & self.good)
        if clamped.size:
            example = self.records[clamped[0]]
            self.reasons.clamp(f"{metric.name}: {metric.clamping}", example, int(clamped.size))
        return check.possible

    def refuse_unclear(self, values: Mapping[str, Floats]) -> None:
        """Refuse values of names without a unit, in records that have no other for the metric."""
        for name in sorted(self._names & UNCLEAR_NAMES.keys()):
            unclear = UNCLEAR_NAMES[name]
            sent = [_is_there(v) for v in self._first((name,))]
            absent = np.isnan(values[unclear.metric])
            lost = np.flatnonzero(np.array(sent, bool) & absent & self.good)
            if lost.size:
                self.values_refused += int(lost.size)
                reason = f"{unclear.reason(name)}: send it as {unclear.metric}"
                self.reasons.add(reason, self.records[lost[0]], int(lost.size))

    def facts(self, servers: Column, times: Micros) -> dict[str, ServerFact]:
        """Profile, site and cores that valid records state, by server; the last record wins."""
        if self._names.isdisjoint(_FACTS):
            return {}
        columns = {
            "profile": self._names_in("profile", _FLAT.profile.fields),
            "site": self._names_in("site", _FLAT.site.fields),
            "cores": self._first(_FLAT.cores.fields),
        }  # fmt: skip
        facts = {}
        for place in np.flatnonzero(self.good).tolist():
            stated = (columns["profile"][place], columns["site"][place])
            fact = ServerFact(int(times[place]), *stated, _count(columns["cores"][place]))
            if any(fact.stated):
                facts[servers[place]] = fact
        return facts

    def unknown_fields(self, metrics: Sequence[Metric]) -> tuple[str, ...]:
        """The names of fields that are not read, sorted."""
        return tuple(sorted(self._names - _KNOWN - {m.name for m in metrics}))

    def _timestamps(self, values: Column, epoch: str, within: TimeRange) -> Micros:
        """Microseconds since 1970: of ISO 8601 for text, of epoch times for numbers."""
        is_text = [isinstance(v, str) for v in values]
        if all(is_text):
            return micros(values, ISO, self._refuse_time, within)
        numbers = micros(
            [None if text else v for v, text in zip(values, is_text, strict=True)],
            Time(field="timestamp", format=epoch), self._refuse_time, within,
        )  # fmt: skip
        if not any(is_text):
            return numbers
        written = [v if text else None for v, text in zip(values, is_text, strict=True)]
        return np.where(
            numbers == MISSING, micros(written, ISO, self._refuse_time, within), numbers
        )

    def _refuse_time(self, place: int, value: Any, error: InvalidTimestamp) -> None:
        if not self.good[place]:
            return
        record = self.records[place]
        if isinstance(error, TimeOutside):
            reason = time_reason(error.problem, _NAME_UNIT)
            self.reasons.add(reason, f"{error.shown(value)} in {record}")
        else:
            self.reasons.add(f"the time {error.message}: {_TIME_REMEDY}", record)
        self.good[place] = False

    def _names_in(self, what: str, fields: Iterable[str]) -> Column:
        """The names of sites or profiles; an invalid one is refused, and its record is kept."""
        values = self._first(fields)
        names = [trimmed(v) for v in values]
        for place, (name, value) in enumerate(zip(names, values, strict=True)):
            if name is None and isinstance(value, str) and value.strip() and self.good[place]:
                self._refuse_value(f"{what}: not a valid name ({EXPECTED}): {REMEDY}", place)
        return names

    def _refuse_value(self, reason: str, place: int) -> None:
        self.values_refused += 1
        self.reasons.add(reason, self.records[place])

    def _first(self, names: Iterable[str]) -> Column:
        column = first_of(map(self._columns.get, names), _is_there)
        return [None] * len(self.records) if column is None else column


_NAME_UNIT = "name its unit with ?time={unit} (one of s, ms, us or ns)"
_TIME_REMEDY = (
    "send ISO 8601 with a zone such as 2026-05-06T12:00:00Z, or epoch seconds; name other units "
    "with ?time=ms, us or ns"
)


def _is_there(value: Any) -> bool:
    return value is not None and value != ""


def _all_absent(columns: Iterable[Floats]) -> Mask:
    absent: Mask = np.logical_and.reduce([np.isnan(values) for values in columns])
    return absent


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 < value <= MAX_CORES else None
