"""Row assembly: partial samples of one timestamp become one row, and counters become rates.

A counter needs its last value, and a late reading those of its time. The last readings of each
server are in memory: after a restart the first rates are missing, and none is ever wrong.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from functions.ingest.partial_samples import Column, Part, PartialSamples
from functions.ingest.recent_readings import RecentReadings
from functions.ingest.time_slices import time_slices
from functions.normalize.counted_devices import DeviceMemory, link_kinds, mount_of, volume_shares
from functions.normalize.counters import growth, rate
from functions.normalize.cpu_modes import cpu_shares, of_whole_cores
from functions.normalize.device_facts import DeviceFacts
from functions.normalize.devices import STOCK_RULES, DeviceRules
from storage.model.reject_log import RejectLog
from storage.model.schema import TIMESTAMP, table

__all__ = ["RowAssembler", "as_floats"]

REMEMBERED_US = 3_600_000_000
MAX_SERVERS = 50_000
MAX_KEPT_VALUES = 4_000_000  # of the recent readings of all servers: 32 MB
MAX_CORES = 65_536
BOOT_TOLERANCE_S = 5.0
DAY_S = 86_400.0
BOOT_IMPOSSIBLE = "uptime_days: the boot lies after its sample, or at the start of 1970"
BOOT_REMEDY = "set the clock of the server, and of what scrapes it"
LARGEST = frozenset({"disk_usage_pct", "mem_used_pct", "swap_used_pct"})

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]


@dataclass(slots=True)
class ServerMemory:
    """The last readings of a server, and what rarely changes."""

    recent: RecentReadings
    booted_at_s: float | None = None
    cores: int | None = None
    devices: DeviceMemory = field(default_factory=DeviceMemory)
    seen: int = 0


class RowAssembler:
    """Makes rows of partial samples; used by one thread at a time."""

    def __init__(
        self,
        source: str,
        metrics: Sequence[str],
        rules: DeviceRules = STOCK_RULES,
        stated: dict[str, DeviceFacts] | None = None,
    ) -> None:
        """`stated` are the device facts of servers that go on from an earlier assembler."""
        self._source = source
        self._metrics = tuple(metrics)
        self._rules = rules
        self._stated = stated
        self._memories: dict[str, ServerMemory] = {}
        self._latest_us: int | None = None

    def follow_clock(self, latest_us: int) -> None:
        """Forget readings later than `latest_us` [µs], the last time that can be true at present.

        After this host's clock was ahead they would stand before all that comes, and no counter of
        the present would have a reading to be compared with.
        """
        if self._latest_us is not None and latest_us < self._latest_us:
            for memory in self._memories.values():
                memory.recent.forget_after(latest_us)
                memory.seen = min(memory.seen, latest_us)
        self._latest_us = latest_us

    def rows(
        self, readings: PartialSamples, rejects: RejectLog | None = None
    ) -> dict[str, pa.Table]:
        """Rows of `metrics`, and of `server_facts` where cores or counted devices changed.

        `rejects` takes values that cannot be true.
        """
        with np.errstate(all="ignore"):  # a sender may send infinity, which the writer refuses
            return self._rows(readings, RejectLog() if rejects is None else rejects)

    def _rows(self, readings: PartialSamples, rejects: RejectLog) -> dict[str, pa.Table]:
        block, facts = _Block(self._metrics), []
        pieces = (
            (server, piece)
            for server, parts in readings.servers.items()
            for piece in time_slices(parts)
        )
        for server, parts in pieces:
            memory = self._memory_of(server)
            columns = _ServerColumns(parts, memory, self._rules)
            share = MAX_KEPT_VALUES // len(self._memories)
            block.add(server, columns.timestamps, columns.new_values(self._metrics, share))
            if columns.facts_are_news():
                facts.append(_fact(server, columns.timestamps[-1], memory))
            for reason, remedy, count in columns.refused:
                rejects.add(reason, server, count, remedy)
        self._forget()
        result = {"metrics": block.table(self._source)} if readings.servers else {}
        if facts:
            result["server_facts"] = pa.Table.from_pylist(facts, table("server_facts").arrow)
        return result

    def _memory_of(self, server: str) -> ServerMemory:
        memory = self._memories.get(server)
        if memory is None:
            recent = RecentReadings(len(self._metrics))
            memory = self._memories[server] = ServerMemory(recent)
            if self._stated is not None:
                memory.devices.facts = self._stated.setdefault(server, DeviceFacts())
        return memory

    def _forget(self) -> None:
        """Forget servers that send nothing any more, and the oldest where there are too many."""
        if not self._memories:
            return
        newest = max(memory.seen for memory in self._memories.values())
        oldest_first = sorted(self._memories.items(), key=lambda item: item[1].seen)
        surplus = len(oldest_first) - MAX_SERVERS
        for place, (server, memory) in enumerate(oldest_first):
            if place >= surplus and memory.seen >= newest - REMEMBERED_US:
                break
            del self._memories[server]


class _Block:
    """The rows of many servers as one table: a table for each would take longer."""

    def __init__(self, metrics: Sequence[str]) -> None:
        self._servers: list[str] = []
        self._timestamps: list[Times] = []
        self._columns: dict[str, list[Floats]] = {name: [] for name in metrics}

    def add(self, server: str, timestamps: Times, values: Mapping[str, Floats]) -> None:
        """Add the rows of one server."""
        self._servers.append(server)
        self._timestamps.append(timestamps)
        for name, into in self._columns.items():
            into.append(values[name])

    def table(self, source: str) -> pa.Table:
        """All rows with at least one value."""
        columns = {name: np.concatenate(parts) for name, parts in self._columns.items()}
        kept = np.flatnonzero(
            np.logical_or.reduce([~np.isnan(column) for column in columns.values()])
        )
        whose = np.repeat(np.arange(len(self._servers)), [len(m) for m in self._timestamps])
        return pa.table({
            "server": pa.array(self._servers, pa.string()).take(pa.array(whose[kept])),
            "ts": pa.array(np.concatenate(self._timestamps)[kept], TIMESTAMP),
            **{name: as_floats(column[kept]) for name, column in columns.items()},
            "source": pa.array([source], pa.string()).take(pa.array(np.zeros_like(kept))),
        })  # fmt: skip


@dataclass(frozen=True, slots=True)
class _CounterSteps:
    """Readings of several counters and those before them: [step, counter], NaN where not known."""

    places: npt.NDArray[np.int64]  # [step] among the times of the server
    names: list[str]
    before: Floats
    after: Floats
    seconds: Floats  # [step, 1]

    @property
    def grown(self) -> Floats:
        """By how much each counter grew [step, counter]."""
        return growth(self.before, self.after, self.seconds)


class _ServerColumns:
    """The samples of one server: ordered `timestamps` [µs] and a column over them for each part."""

    def __init__(
        self, parts: Mapping[Part, Column], memory: ServerMemory, rules: DeviceRules
    ) -> None:
        self._memory = memory
        self.refused: list[tuple[str, str, int]] = []  # reason, remedy, values
        self._joined = memory.recent.join(parts)
        self.timestamps = self._joined.times
        self._came = self._joined.came.any(axis=1)
        self._kinds = self._joined.kinds()
        self._cores_are_news = self._note_cores()
        self._rebooted = self._note_boot()
        self._links = self._counted_links(rules)
        self._fullness: dict[str, Floats] = {}  # by volume, of those that count
        memory.seen = max(memory.seen, int(self.timestamps[-1]))

    def new_values(self, names: Sequence[str], most_kept: int) -> dict[str, Floats]:
        """A column for each metric, NaN where there is no value or it was given out before.

        What was sent again is given out again: the writer counts it. Of the readings, `most_kept`
        at most are kept for what comes late.
        """
        columns = self.metrics(names)
        values = np.column_stack([columns[name] for name in names])
        values[self._joined.written & ~self._joined.repeated(names)] = np.nan
        self._memory.recent.keep(self._joined, ~np.isnan(values), most_kept)
        return {name: values[:, place] for place, name in enumerate(names)}

    def metrics(self, names: Iterable[str]) -> dict[str, Floats]:
        """A column for each metric, NaN where there is no value."""
        derived: dict[str, Callable[[], Floats | None]] = {
            "mem_used_pct": self._memory_used, "swap_used_pct": self._swap_used,
            "disk_usage_pct": self._fullest, "java_cpu_pct": self._java,
            "uptime_days": self._uptime, "cpu_idle_pct": self._idle_beside_steal,
            "net_in_mb_s": lambda: self._traffic("net_in_bytes"),
            "net_out_mb_s": lambda: self._traffic("net_out_bytes"),
        }  # fmt: skip
        shares = self._cpu_shares()
        nothing, result = np.full(len(self.timestamps), np.nan), {}
        for name in names:
            column = self._direct(name)
            if name in derived:
                column = _first(column, derived[name]())
            column = _first(column, shares.get(name))
            result[name] = nothing if column is None else column
        return result

    def facts_are_news(self) -> bool:
        """Note which devices were counted; return True if they or the cores changed."""
        fullness = {mount_of(item): _last(share) for item, share in self._fullness.items()}
        known = {mount: share for mount, share in fullness.items() if share == share}
        news = self._memory.devices.facts.update(known, self._links)
        return news or (self._cores_are_news and self._memory.cores is not None)

    def _direct(self, name: str) -> Floats | None:
        """What was sent as the metric itself: the sum of its items, or the largest of them."""
        columns = self._kinds.get(name)
        if not columns:
            return None
        return _over(np.fmax.reduce if name in LARGEST else _sum, columns.values())

    def _gauge(self, kind: str) -> Floats | None:
        columns = self._kinds.get(kind)
        return None if columns is None else _over(np.fmax.reduce, columns.values())

    def _memory_used(self) -> Floats | None:
        total, available = self._gauge("mem_total"), self._gauge("mem_available")
        share = self._gauge("mem_available_pct")
        used = None if share is None else 100 - share
        if total is not None and available is not None:
            used = _first(used, 100 * (1 - _ratio(available, total)))
        return _first(used, self._gauge("mem_used_rough_pct"))

    def _swap_used(self) -> Floats | None:
        total, free = self._gauge("swap_total"), self._gauge("swap_free")
        if total is None or free is None:
            return None
        # A machine without swap uses none of it: 0 is true there, not missing.
        return np.where(total == 0, 0.0, 100 * (1 - _ratio(free, total)))

    def _fullest(self) -> Floats | None:
        shares = volume_shares(self._kinds)
        counted = self._memory.devices.counted_volumes(shares, int(self.timestamps[-1]))
        self._fullness = {item: share for item, share in shares.items() if item in counted}
        return _over(np.fmax.reduce, self._fullness.values()) if self._fullness else None

    def _java(self) -> Floats | None:
        columns = self._kinds.get("java_core_pct")
        if not columns or not self._memory.cores:
            return None
        return _over(_sum, columns.values()) / self._memory.cores

    def _idle_beside_steal(self) -> Floats | None:
        """Idle CPU where it was not sent and steal was: what all others leave."""
        sent = self._direct("cpu_idle_pct")
        if sent is not None and not np.isnan(sent).any():
            return None
        parts = ("cpu_user_pct", "cpu_sys_pct", "cpu_iowait_pct", "cpu_steal_pct")
        columns = [column for name in parts if (column := self._direct(name)) is not None]
        if len(columns) < len(parts):
            return None
        rest: Floats = 100 - np.sum(columns, axis=0)
        return np.maximum(0, rest)

    def _uptime(self) -> Floats | None:
        uptime, booted = self._gauge("uptime_s"), self._gauge("booted_at_s")
        if booted is not None:
            uptime = _first(uptime, self._since_boot(booted))
        return None if uptime is None else uptime / DAY_S

    def _since_boot(self, booted: Floats) -> Floats:
        """Seconds since the boot; NaN for a boot later than its sample, or at 1970."""
        since = self.timestamps / 1e6 - booted
        wrong = self._came & ((since < -BOOT_TOLERANCE_S) | (booted == 0))
        if wrong.any():
            self.refused.append((BOOT_IMPOSSIBLE, BOOT_REMEDY, int(wrong.sum())))
        return np.where(wrong, np.nan, np.maximum(0, since))

    def _traffic(self, kind: str) -> Floats | None:
        """Megabytes per second over the counted links of both samples; NaN after a reset."""
        steps = self._steps(kind)
        counted = [i for i, name in enumerate(steps.names) if name in self._links] if steps else []
        if steps is None or not counted:
            return None
        moved = _sum(rate(steps.before, steps.after, steps.seconds)[:, counted].T)
        moved[(steps.grown[:, counted] < 0).any(axis=1)] = np.nan
        return self._spread(steps.places, moved / 1e6)

    def _cpu_shares(self) -> dict[str, Floats]:
        """CPU metrics over the cores whose modes are all known in both samples."""
        steps = self._steps("cpu_s")
        if steps is None:
            return {}
        modes = [name.split(" ", 1)[1] for name in steps.names]
        whole = of_whole_cores(steps.grown, steps.names, steps.seconds)
        grown = np.where(whole, steps.grown, np.nan)
        return {
            metric: self._spread(steps.places, share)
            for metric, share in cpu_shares(grown, modes).items()
        }

    def _steps(self, kind: str) -> _CounterSteps | None:
        """The readings of the counters of a kind, each with the one before it; None without any.

        A reading before a reboot is not known: nothing is compared with it.
        """
        columns = self._kinds.get(kind)
        if not columns:
            return None
        values = np.column_stack(list(columns.values()))
        places = np.flatnonzero(~np.isnan(values).all(axis=1))
        values, at = values[places], self.timestamps[places]
        before = np.vstack([np.full(len(columns), np.nan), values[:-1]])
        before[self._rebooted[places]] = np.nan
        spans = np.diff(at, prepend=at[0])
        return _CounterSteps(places, list(columns), before, values, spans[:, None] / 1e6)

    def _spread(self, places: npt.NDArray[np.int64], values: Floats) -> Floats:
        column = np.full(len(self.timestamps), np.nan)
        column[places] = values
        return column

    def _counted_links(self, rules: DeviceRules) -> frozenset[str]:
        names = {
            name for kind in ("net_in_bytes", "net_out_bytes") for name in self._kinds.get(kind, ())
        }
        kinds, at_us = link_kinds(self._kinds), int(self.timestamps[-1])
        return self._memory.devices.counted_links(names, kinds, at_us, rules)

    def _note_cores(self) -> bool:
        """Remember the number of cores; return True if it changed."""
        sent, known = self._gauge("cores"), self._memory.cores or 0
        if sent is not None:
            most = np.nan_to_num(sent).max()
            known = int(most) if 1 <= most <= MAX_CORES else known
        elif "cpu_s" in self._kinds:  # a partial sample may lack some cores
            known = max(known, len({name.split(" ", 1)[0] for name in self._kinds["cpu_s"]}))
        news = known != (self._memory.cores or 0)
        self._memory.cores = known or None
        return news

    def _note_boot(self) -> npt.NDArray[np.bool_]:
        """A mask of the timestamps before which the server was rebooted."""
        booted = self._gauge("booted_at_s")
        changed = np.zeros(len(self.timestamps), bool)
        if booted is None:
            return changed
        known = booted[: int(self._came.argmax())]
        last = self._memory.booted_at_s if np.isnan(known).all() else None
        for place, at in enumerate(booted):
            if not np.isnan(at):
                changed[place] = last is not None and abs(at - last) > BOOT_TOLERANCE_S
                last = float(at)
        self._memory.booted_at_s = last
        return changed


def as_floats(values: Floats) -> pa.Array:
    """A float column of the lake, NULL for NaN."""
    return pa.array(values.astype(np.float32), mask=np.isnan(values))


def _sum(columns: Any) -> Floats:
    """The sum over columns, NaN where no column has a value."""
    stacked = np.asarray(columns)
    summed: Floats = np.nansum(stacked, axis=0)
    summed[np.isnan(stacked).all(axis=0)] = np.nan
    return summed


def _over(combine: Callable[[Any], Floats], columns: Iterable[Floats]) -> Floats:
    first, *others = columns
    return combine(np.stack([first, *others])) if others else first


def _ratio(part: Floats, whole: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


def _first(one: Floats | None, other: Floats | None) -> Floats | None:
    """The first column, filled from the other where it has no value."""
    if one is None or other is None:
        return other if one is None else one
    return np.where(np.isnan(one), other, one)


def _last(column: Floats) -> float:
    known = column[~np.isnan(column)]
    return float(known[-1]) if known.size else np.nan


def _fact(server: str, ts: Any, memory: ServerMemory) -> dict[str, Any]:
    at, devices = datetime.fromtimestamp(int(ts) / 1e6, UTC), memory.devices.facts
    return {
        "server": server, "ts": at, "cores": memory.cores, "disk_volume": devices.volume,
        "net_links": devices.links,
    }  # fmt: skip
