"""Mapper: documents of a source to rows of metrics by a mapping, a column at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from functions.normalize.columns import (
    Column,
    Columns,
    Documents,
    as_list,
    columns_of,
    first_of,
)
from functions.normalize.counters import CounterRates
from functions.normalize.date_and_time import time_column
from functions.normalize.devices import STOCK_RULES, DeviceRules
from functions.normalize.entry_items import (
    Items,
    excluded,
    items_of,
    joined_items,
    without_elements,
)
from functions.normalize.fact_rows import FactRow, fact_rows
from functions.normalize.mapped_devices import MappedDevices
from functions.normalize.mapping import Field, Mapping
from functions.normalize.mapping_notes import MappingNotes
from functions.normalize.numbers import Floats, floats, reduced, remedy_for
from functions.normalize.record_shapes import shaped
from functions.normalize.record_texts import names_of, shown, texts_of
from functions.normalize.record_times import RecordTimes
from functions.normalize.row_filter import Mask, matches
from functions.normalize.timestamps import MISSING
from functions.normalize.unclear_names import refuse_unclear, unclear_fields
from functions.normalize.units import UNITS, scale
from storage.model.metrics import METRICS, Metric, check_range
from storage.model.profiles import stated_profile
from storage.model.reject_log import RejectLog
from storage.model.schema import TIMESTAMP
from storage.model.time_limits import WIDEST, TimeRange

__all__ = ["ITEM", "Mapped", "Mapper"]

ITEM = "item"
_FIXED = {"server": ", or write mapping.server.fixed", "time": ""}
_NEEDS_CORES = {name for name, unit in UNITS.items() if unit.dimension == "core share"}

Micros = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Mapped:
    """Rows of `metrics` (with the column `item` where documents are grouped) and `server_facts`.

    `notes` say what of the records is not used, and why.
    """

    rows: pa.Table
    facts: pa.Table
    rejects: RejectLog
    notes: tuple[str, ...] = ()


@dataclass
class _Records:
    """The usable records of a page: their servers and times, and a log of the others."""

    columns: Columns
    servers: list[str]
    times: Micros
    rejects: RejectLog
    items: list[str | None] = field(default_factory=list)
    cores: Floats = field(default_factory=lambda: np.empty(0))

    def __len__(self) -> int:
        return len(self.servers)


class Mapper:
    """Applies one mapping; remembers facts of servers and the last readings of counters."""

    def __init__(
        self,
        mapping: Mapping,
        source: str,
        site: str | None = None,
        metrics: Sequence[Metric] = METRICS,
        counters: CounterRates | None = None,
        rules: DeviceRules = STOCK_RULES,
    ) -> None:
        self.mapping = mapping
        self.counters = counters or CounterRates()
        self._rules, self._devices = rules, MappedDevices(rules)
        assert mapping.time is not None
        self._time, self._times = mapping.time, RecordTimes(mapping.time)
        self._source = source
        self._site = site
        self._metrics = {m.name: m for m in metrics}
        self._known: dict[str, dict[str, Any]] = {}
        self._sent_facts: dict[str, tuple[Any, ...]] = {}
        self._unclear = unclear_fields(mapping)
        entries = [entry for fields in mapping.entries.values() for entry in fields]
        each = (entry.each for entry in entries if not entry.of_list)
        self._filtered = bool(entries) and all(entry.where for entry in entries)
        self._notes = MappingNotes(mapping)
        self._each = tuple(dict.fromkeys(path for path in each if path))

    def map(self, documents: Documents, within: TimeRange = WIDEST) -> Mapped:
        """The rows of a page: of documents, or of a table from a columnar source.

        Documents whose times are not `within` those that can be true are refused.
        """
        rejects = RejectLog()
        documents = shaped(documents, self.mapping, rejects)
        self.counters.follow_clock(within.latest_us)
        records = self._records(documents, within, rejects)
        self._learn_facts(records)
        values = {
            name: self._metric(records, self._metrics[name], fields)
            for name, fields in self.mapping.entries.items()
        }
        refuse_unclear(records.columns, self._unclear, values, records.rejects)
        facts = self._facts(records)
        rows = _table(records, {n: v for n, v in values.items() if v is not None}, self._source)
        empty = len(records.servers) - rows.num_rows
        if empty and self.mapping.gather is None and not self._filtered:
            records.rejects.add(
                "document: has no metric that could be used", "one of " + records.servers[0],
                empty, "name its fields in mapping.metrics",
            )  # fmt: skip
        if self.mapping.gather is None:
            rows = rows.drop_columns([ITEM])
        notes = self._notes.of(columns_of(documents), len(documents), rows.num_rows)
        return Mapped(rows, facts, records.rejects, notes)

    def _records(self, documents: Documents, within: TimeRange, rejects: RejectLog) -> _Records:
        columns, count = columns_of(documents), len(documents)
        wanted = matches(columns, self.mapping.where, count)
        if wanted is not None and not wanted.all():
            places = np.flatnonzero(wanted).tolist()
            columns, count = columns.take(places), len(places)
        servers = names_of(columns, "server", self.mapping.server, rejects, count)
        column, times = time_column(columns, self._time), np.full(count, MISSING)
        if column is not None:
            times = self._times.read(column, servers, within, rejects)
        usable = [
            i
            for i, server in enumerate(servers or ())
            if server is not None and times[i] != MISSING
        ]
        if len(usable) < count:
            self._refuse_records(columns, column, count, rejects)
            columns = columns.take(usable)
            servers, times = [servers[i] for i in usable] if servers else [], times[usable]
        records = _Records(columns, servers or [], times, rejects)
        records.items = joined_items(columns, self._each, len(records))
        return records

    def _refuse_records(
        self, columns: Columns, times: Column | None, count: int, rejects: RejectLog
    ) -> None:
        """Refuse records without a server or a time; invalid values are refused elsewhere."""
        parts = {"server": " or ".join(self.mapping.server.fields), "time": self._time.about}
        stated = texts_of(columns, self.mapping.server, count)
        given = first_of((times,), lambda v: v not in (None, ""))
        for i in range(count):
            lacks = []
            if stated is None or stated[i] is None:
                lacks.append("server")
            if given is None or given[i] is None:
                lacks.append("time")
            for part in lacks:
                rejects.add(
                    f"{part} (field {parts[part]}): missing",
                    "a document with " + shown(", ".join(columns.fields(i))),
                    remedy=f"name the field that has it in mapping.{part}.field" + _FIXED[part],
                )  # fmt: skip

    def _learn_facts(self, records: _Records) -> None:
        self._learn_cores(records)
        for name, text in (("profile", self.mapping.profile), ("site", self.mapping.site)):
            column = names_of(records.columns, name, text, records.rejects, len(records))
            if column is not None:
                for server, value in zip(records.servers, column, strict=True):
                    if value is not None:
                        self._known.setdefault(server, {})[name] = value
        for name, text in (
            ("disk_volume", self.mapping.disk_volume), ("net_links", self.mapping.net_links)
        ):  # fmt: skip
            texts = texts_of(records.columns, text, len(records)) or [None] * len(records)
            for server, value in zip(records.servers, texts, strict=True):
                if value is not None:
                    self._known.setdefault(server, {})[name] = value

    def _facts(self, records: _Records) -> pa.Table:
        """A row for each server whose facts changed."""
        order = range(len(records.servers) - 1, -1, -1)
        first = dict(zip(reversed(records.servers), order, strict=True))
        rows = []
        for server, i in first.items():
            known = self._known.get(server, {})
            devices = self._devices.facts(server)
            facts = (
                stated_profile(known.get("profile")), known.get("site", self._site),
                known.get("cores", self.mapping.cores.number),
                devices.volume or known.get("disk_volume"),
                devices.links or known.get("net_links"),
            )  # fmt: skip
            if self._sent_facts.get(server) != facts:
                self._sent_facts[server] = facts
                rows.append(FactRow(server, int(records.times[i]), *facts))
        return fact_rows(rows)

    def _learn_cores(self, records: _Records) -> None:
        records.cores = np.full(len(records.servers), np.nan)
        rule = self.mapping.cores
        for path in rule.fields:
            column = records.columns.get(path)
            if column is None:
                continue
            counts = floats(column, partial(self._refuse_cores, records, path), percent=False)
            records.cores = np.where(np.isnan(records.cores), counts, records.cores)
        records.cores[~(records.cores >= 1)] = np.nan
        places = np.flatnonzero(~np.isnan(records.cores)).tolist()
        for server, count in {records.servers[i]: int(records.cores[i]) for i in places}.items():
            self._known.setdefault(server, {})["cores"] = count

    @staticmethod
    def _refuse_cores(records: _Records, path: str, i: int, value: Any) -> None:
        records.rejects.add(
            f"cores (field {path}): is not a number", f"{shown(value)} of {records.servers[i]}",
            remedy="name a field with a number in mapping.cores",
        )  # fmt: skip

    def _metric(self, records: _Records, metric: Metric, fields: Sequence[Field]) -> Floats | None:
        """The values of a metric [n]: in each record of the first entry that has one."""
        merged: Floats | None = None
        for index, entry in enumerate(fields):
            values = self._entry(records, metric, entry, f"{metric.name}.{index}")
            if values is not None:
                merged = values if merged is None else np.where(np.isnan(merged), values, merged)
        return merged

    def _entry(
        self, records: _Records, metric: Metric, entry: Field, counter: str
    ) -> Floats | None:
        wanted = matches(records.columns, entry.where, len(records))
        if wanted is not None and not wanted.any():
            return None
        numbers = partial(self._numbers, records, metric, entry, wanted)
        values = numbers(entry.fields)
        if values is None:
            return None
        for path in entry.plus_fields:
            more = numbers((path,))
            values = values if more is None else values + np.nan_to_num(more)
        if entry.of is not None:
            whole = numbers((entry.of,))
            if whole is None:
                return None
            values = np.divide(values, whole, out=np.full(len(values), np.nan), where=whole > 0)
        items = items_of(records.columns, entry.each, len(records))
        if entry.except_ and not entry.of_list:
            values = np.where(excluded(items, entry.except_), np.nan, values)
        if entry.real and not entry.of_list:
            counted = self._counted(records, entry, items, values)
            values = np.where(counted, values, np.nan)
        if entry.counter:
            values = self.counters.rates(counter, records.servers, items, records.times, values)
        values = values * (scale(metric, entry.unit, entry.is_amount) / (entry.per_s or 1))
        if entry.unit in _NEEDS_CORES or (entry.is_amount and metric.unit == "%"):
            values = self._by_cores(records, metric, values)
        if entry.complement:
            values = 100 - values
        values = _in_range(records, metric, entry, values)
        if entry.real == "volumes":
            self._devices.state_fullest(records.servers, items, values)
        return values

    def _counted(
        self, records: _Records, entry: Field, items: Items, values: Floats
    ) -> npt.NDArray[np.bool_]:
        """A mask [n] of the records with a volume or link that counts."""
        servers, times = records.servers, records.times
        if entry.real == "links":
            return self._devices.links(servers, items, times, ~np.isnan(values))
        column = records.columns.get(entry.type) if entry.type else None
        types = [None] * len(servers) if column is None else as_list(column)
        texts = [each if isinstance(each, str) else None for each in types]
        return self._devices.volumes(servers, items, texts, times, values)

    def _numbers(
        self,
        records: _Records,
        metric: Metric,
        entry: Field,
        wanted: Mask | None,
        paths: Sequence[str],
    ) -> Floats | None:
        """The first number of the paths in each wanted record; None where there is no column."""
        merged: Floats | None = None
        for path in paths:
            column = records.columns.get(path)
            if column is None:
                continue

            def refuse(i: int, value: Any, path: str = path) -> None:
                if wanted is None or wanted[i]:
                    records.rejects.add(
                        f"{metric.name} (field {path}): is not a number",
                        f"{shown(value)} of {records.servers[i]}", remedy=remedy_for(value),
                    )  # fmt: skip

            percent, decimal = metric.unit == "%" and not entry.is_amount, self.mapping.decimal
            if entry.take is not None:
                if entry.of_list and (entry.except_ or entry.real):
                    column = without_elements(records.columns, column, entry, self._rules)
                values = reduced(column, entry.take, refuse, percent, decimal)
            else:
                values = floats(column, refuse, percent, decimal)
            merged = values if merged is None else np.where(np.isnan(merged), values, merged)
        if merged is not None and wanted is not None:
            merged = np.where(wanted, merged, np.nan)
        return merged

    def _by_cores(self, records: _Records, metric: Metric, values: Floats) -> Floats:
        cores = records.cores
        for i in np.flatnonzero(~np.isnan(values) & np.isnan(cores)).tolist():
            known = self._known.get(records.servers[i], {})
            cores[i] = known.get("cores", self.mapping.cores.number or np.nan)
        unknown = ~np.isnan(values) & np.isnan(cores)
        if unknown.any():
            records.rejects.add(
                f"{metric.name}: is a sum over cores, and how many there are is not known",
                records.servers[int(np.argmax(unknown))], int(unknown.sum()),
                "name their field in mapping.cores, or their number",
            )  # fmt: skip
        divided: Floats = values / cores
        return divided


def _in_range(records: _Records, metric: Metric, entry: Field, values: Floats) -> Floats:
    """`values` with NaN for those that cannot be true, which are refused."""
    check = check_range(metric, values)
    about = f"{metric.name} (field {' or '.join(entry.fields)}, unit {entry.unit})"

    def example(mask: npt.NDArray[np.bool_]) -> str:
        i = int(np.argmax(mask))
        return f"{metric.shown(values[i])} of {records.servers[i]}"

    if check.impossible.any():
        remedy = f"state the field's unit in mapping.metrics.{metric.name}.unit, or mend it there"
        raised = f", or raise limits.{metric.name} in hoursight.toml if it is true"
        records.rejects.add(
            f"{about}: lies outside {metric.valid_range}", example(check.impossible),
            int(check.impossible.sum()), remedy + (raised if metric.remedy else ""),
        )  # fmt: skip
    if check.clamped.any():
        count = int(check.clamped.sum())
        records.rejects.clamp(f"{about}: {metric.clamping}", example(check.clamped), count)
    return check.possible


def _table(records: _Records, values: dict[str, Floats], source: str) -> pa.Table:
    """The rows with at least one value."""
    count = len(records.servers)
    some = np.zeros(count, bool)
    columns: dict[str, Any] = {
        "server": pa.array(records.servers, pa.string()),
        "ts": pa.array(records.times, pa.int64()).cast(TIMESTAMP),
    }
    for name, column in values.items():
        absent = np.isnan(column)
        some |= ~absent
        columns[name] = pa.array(column.astype(np.float32), pa.float32(), mask=absent)
    columns["source"] = pa.array([source], pa.string()).take(pa.array(np.zeros(count, np.int64)))
    columns[ITEM] = pa.array(records.items, pa.string())
    rows = pa.table(columns)
    return rows if some.all() else rows.filter(pa.array(some))
