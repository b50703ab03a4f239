"""Comparison of all peers on the same rows: load, size, query times, equal results."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from scripts.tools.bench.measure import median, stopwatch
from scripts.tools.bench.peers.bare_duckdb import BareDuckdb
from scripts.tools.bench.peers.chdb_peer import Chdb
from scripts.tools.bench.peers.hoursight_peer import HoursightPeer
from scripts.tools.bench.peers.peer import Peer, PeerMissing
from scripts.tools.bench.peers.postgres_peer import Postgres
from scripts.tools.bench.peers.prometheus_peer import PrometheusPeer
from scripts.tools.bench.peers.tsbs_workload import FIELDS, QUERIES, Span, readings
from scripts.tools.bench.peers.victoria_peer import Victoria

__all__ = ["PeerResult", "compare", "show"]

PEERS: Sequence[type[Peer]] = (HoursightPeer, BareDuckdb, Chdb, Victoria, PrometheusPeer, Postgres)
ROUNDS = 7


@dataclass(frozen=True, slots=True)
class PeerResult:
    """The figures of one peer; `equal` says for each query whether the values are ours."""

    name: str
    version: str
    load_rows_s: float
    bytes_per_value: float
    ms: dict[str, float]
    equal: dict[str, bool]


def compare(hosts: int, hours: float) -> tuple[list[PeerResult], dict[str, str]]:
    """Return the figures of installed peers, ours first, and how to install the others."""
    rows, span = readings(hosts, hours)
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        peers = list(_installed(stack, missing))
        loaded = [_load(peer, rows) for peer in peers]
        times, equal = _query(peers, span)
        values = rows.num_rows * len(FIELDS)
        results = [
            PeerResult(
                peer.name, peer.version, rows.num_rows / seconds, peer.stored_bytes() / values,
                times[peer.name], equal[peer.name],
            )
            for peer, seconds in zip(peers, loaded, strict=True)
        ]  # fmt: skip
    return results, missing


def _installed(stack: ExitStack, missing: dict[str, str]) -> Iterator[Peer]:
    for make in PEERS:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="hoursight-peer-")))
        folder.chmod(0o755)  # a server may be another user
        try:
            peer = make(folder / "store")
        except PeerMissing as error:
            missing[make.name] = str(error)
            continue
        stack.callback(peer.close)
        yield peer


def _load(peer: Peer, rows: pa.Table) -> float:
    """Load the rows; return the seconds it took."""
    click.echo(f"loading {peer.name} {peer.version}")
    with stopwatch() as elapsed:
        peer.load(rows)
        seconds = elapsed() / 1000
    peer.compact()
    return seconds


def _query(
    peers: Sequence[Peer], span: Span
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, bool]]]:
    """Return by peer and query the time [ms], and whether the values are ours.

    Peers take turns, so that noise of the machine hits all.
    """
    ms: dict[str, dict[str, float]] = {peer.name: {} for peer in peers}
    equal: dict[str, dict[str, bool]] = {peer.name: {} for peer in peers}
    for query in QUERIES:
        results = [sorted(peer.query(query, span)) for peer in peers]
        times: dict[str, list[float]] = {peer.name: [] for peer in peers}
        for _ in range(ROUNDS):
            for peer in peers:
                with stopwatch() as elapsed:
                    peer.query(query, span)
                    times[peer.name].append(elapsed())
        for peer, result in zip(peers, results, strict=True):
            ms[peer.name][query.name] = median(times[peer.name])
            equal[peer.name][query.name] = _same(result, results[0])
    return ms, equal


def _same(these: list[float], those: list[float]) -> bool:
    return len(these) == len(those) and len(these) > 0 and np.allclose(these, those, rtol=1e-6)


def show(results: Sequence[PeerResult], missing: dict[str, str]) -> None:
    """Print the times, also as multiples of ours; `≠` marks values that differ from ours."""
    grid = Table("", *(f"{r.name}\n{r.version[:24]}" for r in results), box=None)
    first = results[0]
    grid.add_row("rows/s loaded", *(f"{r.load_rows_s:,.0f}" for r in results))
    grid.add_row("bytes a value", *(f"{r.bytes_per_value:.2f}" for r in results))
    for query in QUERIES:
        name = query.name
        cells = (
            f"{r.ms[name]:.1f} ms {r.ms[name] / first.ms[name]:.2f} ×"
            + ("" if r.equal[name] else " ≠")
            for r in results
        )
        grid.add_row(name, *cells)
    Console(width=180).print(grid)
    for peer, remedy in missing.items():
        click.echo(f"{peer} is not installed and left out: {remedy}")


def as_json(results: Sequence[PeerResult], missing: dict[str, str]) -> dict[str, object]:
    """Return the same as JSON values."""
    return {"peers": [asdict(r) for r in results], "missing": missing}
