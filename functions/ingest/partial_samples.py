"""Readings that come in pieces: what several lines, series or requests tell of one moment."""

from collections.abc import Mapping

__all__ = ["COUNTERS", "GAUGES", "Column", "Part", "PartialSamples"]

# What a piece is for and, where there are several of a kind, which: ("net_in_bytes", "eth0"). What
# it is for is one of our metrics, or one of these, from which metrics are worked out.
Part = tuple[str, str]
GAUGES: Mapping[str, str] = {
    "mem_total": "bytes",
    "mem_available": "bytes",
    "mem_available_pct": "% of all",
    "mem_used_rough_pct": "%, cache counted as used; taken where nothing better is told",
    "swap_total": "bytes",
    "swap_free": "bytes",
    "fs_size": "bytes of a volume",
    "fs_free": "bytes of a volume, those for root too",
    "fs_avail": "bytes of a volume, those for anybody",
    "fs_readonly": "1 for a volume that cannot fill up",
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
    """Pieces by server and part; a piece that comes twice is there once, as it came last."""

    def __init__(self) -> None:
        self.servers: dict[str, dict[Part, Column]] = {}

    def __bool__(self) -> bool:
        return bool(self.servers)

    def column(self, server: str, part: Part) -> Column:
        """Where the pieces of a part go."""
        parts = self.servers.setdefault(server, {})
        if part not in parts:
            parts[part] = ([], [])
        return parts[part]

    def add(self, server: str, part: Part, moment: int, value: float) -> None:
        """One piece."""
        moments, values = self.column(server, part)
        moments.append(moment)
        values.append(value)

    def merge(self, other: "PartialSamples") -> None:
        """Take up all that another has."""
        for server, parts in other.servers.items():
            if server not in self.servers:
                self.servers[server] = parts
                continue
            for part, (moments, values) in parts.items():
                mine = self.column(server, part)
                mine[0].extend(moments)
                mine[1].extend(values)

    def drop_empty(self) -> None:
        """Forget columns into which nothing went."""
        for server, parts in list(self.servers.items()):
            kept = {part: column for part, column in parts.items() if column[0]}
            if kept:
                self.servers[server] = kept
            else:
                del self.servers[server]

    def moments(self) -> dict[str, set[int]]:
        """The times of which something is told, by server."""
        return {
            server: set().union(*(moments for moments, _ in parts.values()))
            for server, parts in self.servers.items()
        }

    def cut_out(self, moments: Mapping[str, set[int]]) -> "PartialSamples":
        """Hand over what belongs to these moments, and keep the rest."""
        taken = PartialSamples()
        for server in self.servers.keys() & moments.keys():
            wanted = moments[server]
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
    for moment, value in zip(*column, strict=True):
        into = mine if moment in wanted else rest
        into[0].append(moment)
        into[1].append(value)
    return mine, rest
