"""Telegraf: the lines of its stock inputs, and lines whose fields are our own metrics."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from functions.ingest import line_protocol
from functions.ingest.line_protocol import MalformedLine, TimeRefused
from functions.ingest.partial_samples import Column, Part, PartialSamples
from functions.ingest.rejection import time_reason
from functions.ingest.sender_conflicts import Labels, ObserveStream, bounded_labels
from functions.normalize.counted_devices import volume_item
from functions.normalize.cpu_modes import CPU_MODES, GUEST_MODES
from functions.normalize.devices import STOCK_RULES, DeviceRules
from storage.model.names import EXPECTED, REMEDY, server_name
from storage.model.reject_log import RejectLog
from storage.model.time_limits import STOCK_LIMITS, TimeLimits, TimeRange

__all__ = ["INPUTS", "TelegrafReader", "read_bytes"]

MAX_SERIES, MAX_SERIES_CHARS = 20_000, 1000  # whose plans are cached
# A template takes longer to make than several lines without one: they are for what comes often.
MAX_TEMPLATES = 1000  # of a body; Telegraf has some for each input
MAX_TEMPLATE_CHARS = 4000
# Bytes of memory, measured: of a line of a new series, and of a field of a new name.
LINE_BYTES, FIELD_BYTES = 700, 200
NAME_UNIT = "name its unit with ?precision={unit}"
HOST_TAGS = ("host", "hostname", "server", "server_name")
# Of one server there are several series of an input that differ in these.
DEVICE_TAGS = frozenset({
    "cpu", "device", "exe", "fstype", "interface", "label", "mode", "name", "path", "pattern",
    "pid", "process_name", "user",
})  # fmt: skip

Tags = Mapping[str, str]
Fields = Mapping[str, Part]
_Shape = tuple[tuple[str, str], ...]  # the name and the form of the value of each field

# Telegraf takes the time of guests out of the mode in which Linux counts it as well.
CPU: Fields = {
    f"usage_{mode}": (metric, mode)
    for mode, metric in {
        **CPU_MODES, **{guest: CPU_MODES[host] for guest, host in GUEST_MODES.items()}
    }.items()
    if metric is not None
} | {"usage_steal": ("cpu_steal_pct", "")}  # fmt: skip
MEM: Fields = {
    "available_percent": ("mem_available_pct", ""),
    "used_percent": ("mem_used_rough_pct", ""),
}
SWAP: Fields = {"used_percent": ("swap_used_pct", "")}
SYSTEM: Fields = {
    "load1": ("load_average", ""), "uptime": ("uptime_s", ""), "n_cpus": ("cores", ""),
}  # fmt: skip
NETSTAT: Fields = {"tcp_close_wait": ("back_close_wait", "")}  # it does not say which end waits


def _cpu(tags: Tags, _: DeviceRules) -> Fields:
    return CPU if tags.get("cpu", "cpu-total") == "cpu-total" else {}


def _disk(tags: Tags, rules: DeviceRules) -> Fields:
    device, mount = tags.get("device", ""), tags.get("path", "")
    read_only = tags.get("mode", "rw").split(",")[0] == "ro"
    layer = rules.volume(tags.get("fstype", ""), mount, device, read_only)
    if layer is None:
        return {}
    return {"used_percent": ("volume_used_pct", volume_item(layer, device, mount))}


def _net(tags: Tags, rules: DeviceRules) -> Fields:
    link = tags.get("interface", "")
    if not link or rules.link(link) is None:
        return {}
    return {"bytes_recv": ("net_in_bytes", link), "bytes_sent": ("net_out_bytes", link)}


def _procstat(tags: Tags, _: DeviceRules) -> Fields:
    names = (tags.get(name, "").lower() for name in ("process_name", "exe", "pattern"))
    if not any(name.removesuffix(".exe") == "java" for name in names):
        return {}
    return {"cpu_usage": ("java_core_pct", "")}


INPUTS: Mapping[str, Callable[[Tags, DeviceRules], Fields]] = {
    "cpu": _cpu, "mem": lambda *_: MEM, "swap": lambda *_: SWAP, "disk": _disk, "net": _net,
    "system": lambda *_: SYSTEM, "netstat": lambda *_: NETSTAT, "procstat": _procstat,
}  # fmt: skip


class _Template(NamedTuple):
    """How the fields of a series were last written: one match parses the values of all."""

    pattern: re.Pattern[str]
    names: tuple[str, ...]


@dataclass(slots=True)
class _SeriesPlan:
    """The parts to which the fields of a series go; processes are kept apart by pid."""

    server: str | None
    fields: Fields
    by_pid: bool
    why_none: str = "no server: send it in the tag 'host'"
    labels: Labels = frozenset()  # tags that are neither the server's nor a device's
    template: _Template | None = None


class TelegrafResult(NamedTuple):
    """The samples of a body, what was refused, and the number of lines and of used ones."""

    readings: PartialSamples
    reasons: RejectLog
    lines: int
    used: int


class _SeriesColumns(dict[str, Column | None]):
    """The columns of a series by field; None where a field is not used."""

    def __init__(
        self,
        readings: PartialSamples,
        plan: _SeriesPlan,
        templates: "_Templates",
        pid: str = "",
    ) -> None:
        super().__init__()
        self._readings, self.plan, self._pid = readings, plan, pid
        self.templates = templates
        self.first: tuple[str, int, float] | None = None  # field, time and value
        self._ordered: tuple[_Template, list[Column]] | None = None

    def of(self, template: _Template) -> list[Column]:
        """The columns of a template's names."""
        if self._ordered is None or self._ordered[0] is not template:
            columns = [self[name] for name in template.names]
            self._ordered = template, [column for column in columns if column is not None]
        return self._ordered[1]

    def note(self, ts: int) -> None:
        """Note a sample of `ts` that was added last, for `report`; of no process."""
        for name, column in self.items():
            if column is not None and column[0][-1:] == [ts]:
                self.first = name, ts, column[1][-1]
                return

    def report(self, observe: ObserveStream) -> None:
        """Pass the noted sample on: the others of a series are of the same sender."""
        if self.first is not None and self.plan.server is not None:
            name, ts, value = self.first
            kind, item = self.plan.fields[name]
            observe(self.plan.server, kind, item, self.plan.labels, (ts,), (value,))

    def of_process(self, pid: str) -> "_SeriesColumns":
        """The columns of one process of the series."""
        return _SeriesColumns(self._readings, self.plan, self.templates, pid)

    def __missing__(self, field: str) -> Column | None:
        part = self.plan.fields.get(field)
        column = None
        if part is not None and self.plan.server is not None:
            part = (part[0], part[1] + self._pid)
            column = self._readings.column(self.plan.server, part)
        self[field] = column
        return column


def read_bytes(body: bytes) -> int:
    """About the most memory that reading a body takes, in bytes, known before it is parsed."""
    text = len(body) * (1 if body.isascii() else 4)
    return text + LINE_BYTES * (1 + body.count(b"\n")) + FIELD_BYTES * body.count(b",")


class TelegrafReader:
    """Parses bodies of line protocol; caches how series are mapped."""

    def __init__(
        self,
        metrics: Collection[str],
        rules: DeviceRules = STOCK_RULES,
        limits: TimeLimits = STOCK_LIMITS,
    ) -> None:
        self._rules, self._limits = rules, limits
        self._own: Fields = {name: (name, "") for name in metrics}
        self._plans: dict[str, _SeriesPlan] = {}

    def read(
        self, text: str, precision: str, now: datetime, observe: ObserveStream | None = None
    ) -> TelegrafResult:
        """All readings of a body, and why some lines were refused. `precision` is in PRECISIONS.

        `observe` is called with each series that is used.
        """
        readings, reasons = PartialSamples(), RejectLog()
        now_us = int(now.timestamp() * 1e6)
        timestamp_of = _clock(line_protocol.PRECISIONS[precision], now_us, self._limits.at(now))
        known: dict[str, _SeriesColumns] = {}
        templates = _Templates()
        count = used = 0
        for line in line_protocol.parts(text):
            count += 1
            try:
                head, body, time = line_protocol.split(line)
                columns = known.get(head)
                if columns is None:
                    columns = _SeriesColumns(readings, self._plan(head), templates)
                    known[head] = columns
                ts = timestamp_of(time)
                if _take(columns, body, ts):
                    used += 1
                    if columns.first is None:
                        columns.note(ts)
            except TimeRefused as error:
                reasons.add(str(error), f"{error.readings}: {line}")
            except MalformedLine as error:
                reasons.add(str(error), line)
        if observe is not None:
            for columns in known.values():
                columns.report(observe)
        readings.refuse_surplus(reasons)
        readings.drop_empty()
        return TelegrafResult(readings, reasons, count, used)

    def _plan(self, head: str) -> _SeriesPlan:
        plan = self._plans.get(head)
        if plan is None:
            plan = self._made(*line_protocol.series(head))
            if len(self._plans) >= MAX_SERIES:
                self._plans.clear()
            if len(head) <= MAX_SERIES_CHARS:
                self._plans[head] = plan
        return plan

    def _made(self, measurement: str, tags: Tags) -> _SeriesPlan:
        tag = next((name for name in HOST_TAGS if name in tags), None)
        known = INPUTS.get(measurement)
        fields = self._own if known is None else {**self._own, **known(tags, self._rules)}
        by_pid = measurement == "procstat" and "cpu_usage" in fields
        if tag is None:
            return _SeriesPlan(None, fields, by_pid)
        server = server_name(tags[tag])
        others = {
            (k, v) for k, v in tags.items() if k != tag and (not known or k not in DEVICE_TAGS)
        }
        why_none = f"tag {tag}: not a valid name ({EXPECTED}): {REMEDY}"
        return _SeriesPlan(server, fields, by_pid, why_none, bounded_labels(others))


def _take(columns: _SeriesColumns, body: str, ts: int) -> bool:
    """Add the values of one line to their columns; return True if any was used."""
    template = columns.plan.template
    if template is not None and (same := template.pattern.fullmatch(body)):
        with suppress(ValueError):
            numbers = list(map(float, same.groups()))
            for (timestamps, values), value in zip(columns.of(template), numbers, strict=True):
                timestamps.append(ts)
                values.append(value)
            return True
    return _take_slowly(columns, body, ts)


def _take_slowly(columns: _SeriesColumns, body: str, ts: int) -> bool:
    pairs = line_protocol.fields(body)
    plan = columns.plan
    if plan.by_pid:
        columns = columns.of_process(dict(pairs).get("pid", ""))
    used, texts = [], []
    for name, text in pairs:
        column = columns[name]
        if column is None:
            continue
        value = line_protocol.number(text)
        if value is None:
            texts.append(name)
        else:
            used.append((column, value))
    for (timestamps, values), value in used:
        timestamps.append(ts)
        values.append(value)
    if texts:
        raise MalformedLine(
            f"{', '.join(texts)}: quoted text or a boolean (expected a number without quotes, such "
            f"as {texts[0]}=1.5); the other fields of the line were taken"
        )
    if not used and plan.server is None and plan.fields.keys() & dict(pairs):
        raise MalformedLine(plan.why_none)
    if used and not plan.by_pid and '"' not in body and "\\" not in body:
        plan.template = columns.templates.of(body, pairs, plan.fields)
    return bool(used)


class _Templates:
    """Templates of the lines of one body, of bounded number and size."""

    def __init__(self) -> None:
        self._known: dict[_Shape, _Template] = {}

    def of(self, body: str, pairs: Iterable[tuple[str, str]], fields: Fields) -> _Template | None:
        """The template of lines like `body`, whose fields are `pairs`; None where it has none."""
        if len(body) > MAX_TEMPLATE_CHARS:
            return None
        shape = tuple((name, _form(text, name in fields)) for name, text in pairs)
        if shape not in self._known and len(self._known) < MAX_TEMPLATES:
            self._known[shape] = _template(shape)
        return self._known.get(shape)


def _form(text: str, mapped: bool) -> str:
    """The pattern of a value: a group where it is mapped."""
    if not mapped:
        return r'[^,"\\]+'
    return r"([+-]?[0-9]+)[iu]" if text[-1] in "iu" else r"([0-9.eE+-]+)"


@lru_cache(1000)
def _template(shape: _Shape) -> _Template:
    pattern = ",".join(f"{re.escape(name)}={form}" for name, form in shape)
    return _Template(re.compile(pattern), tuple(name for name, form in shape if "(" in form))


def _clock(precision_ns: int, now_us: int, within: TimeRange) -> Callable[[str | None], int]:
    """Return a function from the time of a line to microseconds since 1970."""

    def timestamp_of(time: str | None) -> int:
        if time is None:
            return now_us
        number = line_protocol.time_of(time)
        ts = number * precision_ns // 1000
        if within.earliest_us <= ts <= within.latest_us:
            return ts
        problem = within.problem(ts, number)
        assert problem is not None
        raise TimeRefused(time_reason(problem, NAME_UNIT), f"{number} is {within.readings(number)}")

    return timestamp_of
