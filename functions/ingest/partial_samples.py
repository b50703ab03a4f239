"""Partial samples: values of one timestamp that come in several lines, series or requests."""

from collections.abc import Iterable, Mapping

from storage.model.reject_log import RejectLog

__all__ = ["COUNTERS", "GAUGES", "Column", "Part", "PartialSamples"]

# In one request. A machine of 1,024 cores has 8,192 parts.
MAX_SERVERS = MAX_PARTS = 10_000
# Bytes of memory, measured; of a server until its samples are a row.
_SERVER_BYTES, _COLUMN_BYTES, _SAMPLE_BYTES = 6_000, 600, 80

# Kind of a value and, where a server has several of the kind, the item: ("net_in_bytes", "eth0"). A
# kind is one of our metrics, or one of these, from which metrics are computed.
Part = tuple[str, str]
GAUGES: Mapping[str, str] = {
    "mem_total": "bytes",
    "mem_available": "bytes",
    "mem_available_pct": "% of all",
    "mem_used_rough_pct": "%, cache counted as used; used where nothing better is sent",
    "swap_total": "bytes",
    "swap_free": "bytes",
    "volume_used_pct": "%, of a volume",
    "fs_size": "bytes of a volume",
    "fs_free": "bytes of a volume, those for root too",
    "fs_avail": "bytes of a volume, those for anybody",
    "fs_readonly": "1 for a volume that cannot fill up",
    "link_id": "ifindex of a link",
    "link_below": "ifindex of the link below it: its own for none",
    "link_type": "ARPHRD type of a link",
    "bond_members": "members of a bond",
    "cpu_steal_pct": "% of CPU time that the hypervisor gave to others",
    "java_core_pct": "% of one core, of a JVM",
    "cores": "logical CPUs",
    "booted_at_s": "epoch seconds",
    "uptime_s": "seconds",
}
COUNTERS: Mapping[str, str] = {
    "cpu_s": "seconds, of 'CPU mode'",
    "net_in_bytes": "bytes, of a link",
    "net_out_bytes": "bytes, of a link",
}

# Times [microseconds since 1970] and values, side by side.
Column = tuple[list[int], list[float]]


class PartialSamples:
    """Values by server and part; of two for the same timestamp the last one counts."""

    def __init__(self) -> None:
        self.servers: dict[str, dict[Part, Column]] = {}
        self._surplus: list[tuple[str, str, Column]] = []  # reason, server and samples

    def __bool__(self) -> bool:
        return bool(self.servers)

    def column(self, server: str, part: Part) -> Column:
        """The column of a part, to append to; beyond MAX_SERVERS and MAX_PARTS it is left out."""
        parts = self.servers.get(server)
        column = None if parts is None else parts.get(part)
        if column is None:
            column = ([], [])
            if parts is None and len(self.servers) >= MAX_SERVERS:
                reason = f"more than {MAX_SERVERS:,} servers in one request"
                self._surplus.append((reason, server, column))
            elif parts is not None and len(parts) >= MAX_PARTS:
                reason = f"more than {MAX_PARTS:,} devices of one server in one request"
                self._surplus.append((reason, server, column))
            else:
                self.servers.setdefault(server, {})[part] = column
        return column

    def refuse_surplus(self, reasons: RejectLog) -> None:
        """Add the values that were left out to `reasons`."""
        for reason, server, (timestamps, _) in self._surplus:
            if timestamps:
                reasons.add(f"{reason}: send it in parts", server, len(timestamps))
        self._surplus.clear()

    @property
    def memory_bytes(self) -> int:
        """About how much memory the values take until they are rows."""
        columns = [column for parts in self.servers.values() for column in parts.values()]
        samples = sum(len(timestamps) for timestamps, _ in columns)
        return (
            len(self.servers) * _SERVER_BYTES + len(columns) * _COLUMN_BYTES
            + samples * _SAMPLE_BYTES
        )  # fmt: skip

    def add(self, server: str, part: Part, ts: int, value: float) -> None:
        """Add one value; `ts` is in microseconds since 1970."""
        timestamps, values = self.column(server, part)
        timestamps.append(ts)
        values.append(value)

    def merge(self, other: "PartialSamples") -> None:
        """Add all values of another."""
        for server, parts in other.servers.items():
            if server not in self.servers:
                self.servers[server] = parts
                continue
            for part, (timestamps, values) in parts.items():
                mine = self.servers[server].setdefault(part, ([], []))
                mine[0].extend(timestamps)
                mine[1].extend(values)

    def drop_empty(self) -> None:
        """Remove columns without a value."""
        for server, parts in list(self.servers.items()):
            kept = {part: column for part, column in parts.items() if column[0]}
            if kept:
                self.servers[server] = kept
            else:
                del self.servers[server]

    def drop(self, servers: Iterable[str]) -> int:
        """Remove servers; return how many values they had."""
        gone = [self.servers.pop(server) for server in servers]
        return sum(len(times) for parts in gone for times, _ in parts.values())

    def timestamps(self) -> dict[str, set[int]]:
        """The timestamps with a value, by server."""
        return {
            server: set().union(*(timestamps for timestamps, _ in parts.values()))
            for server, parts in self.servers.items()
        }

    def cut_out(self, timestamps: Mapping[str, set[int]]) -> "PartialSamples":
        """Remove the values of these timestamps and return them."""
        taken = PartialSamples()
        for server in self.servers.keys() & timestamps.keys():
            wanted = timestamps[server]
            for part, column in list(self.servers[server].items()):
                if wanted.isdisjoint(column[0]):
                    continue
                mine, rest = _parted(column, wanted)
                taken.servers.setdefault(server, {})[part] = mine
                self._put_back(server, part, rest)
        return taken

    def _put_back(self, server: str, part: Part, rest: Column) -> None:
        if rest[0]:
            self.servers[server][part] = rest
            return
        del self.servers[server][part]
        if not self.servers[server]:
            del self.servers[server]


def _parted(column: Column, wanted: set[int]) -> tuple[Column, Column]:
    mine: Column = ([], [])
    rest: Column = ([], [])
    for ts, value in zip(*column, strict=True):
        into = mine if ts in wanted else rest
        into[0].append(ts)
        into[1].append(value)
    return mine, rest
