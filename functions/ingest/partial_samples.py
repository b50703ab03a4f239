"""Partial samples: values of one timestamp that come in several lines, series or requests."""

from collections.abc import Iterable, Mapping

__all__ = ["COUNTERS", "GAUGES", "Column", "Part", "PartialSamples"]

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

    def __bool__(self) -> bool:
        return bool(self.servers)

    def column(self, server: str, part: Part) -> Column:
        """The column of a part, to append to."""
        parts = self.servers.setdefault(server, {})
        if part not in parts:
            parts[part] = ([], [])
        return parts[part]

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
                mine = self.column(server, part)
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
