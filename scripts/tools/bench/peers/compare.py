"""All peers in turn on the same rows: loaded, weighed, asked, and their answers compared."""

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
from scripts.tools.bench.peers.peer import Absent, Peer
from scripts.tools.bench.peers.postgres_peer import Postgres
from scripts.tools.bench.peers.prometheus_peer import PrometheusPeer
from scripts.tools.bench.peers.tsbs_workload import FIELDS, QUESTIONS, Span, readings
from scripts.tools.bench.peers.victoria_peer import Victoria

__all__ = ["PeerResult", "compare", "show"]

PEERS: Sequence[type[Peer]] = (HoursightPeer, BareDuckdb, Chdb, Victoria, PrometheusPeer, Postgres)
ROUNDS = 7


@dataclass(frozen=True, slots=True)
class PeerResult:
    """One peer's figures; `answers` tells by question whether its values are ours."""

    name: str
    version: str
    load_rows_s: float
    bytes_per_value: float
    ms: dict[str, float]
    answers: dict[str, bool]


def compare(hosts: int, hours: float) -> tuple[list[PeerResult], dict[str, str]]:
    """Figures of all that are installed, ours first, and how to get those that are not."""
    rows, span = readings(hosts, hours)
    absent: dict[str, str] = {}
    with ExitStack() as stack:
        peers = list(_installed(stack, absent))
        loaded = [_load(peer, rows) for peer in peers]
        times, equal = _ask(peers, span)
        values = rows.num_rows * len(FIELDS)
        results = [
            PeerResult(
                peer.name, peer.version, rows.num_rows / seconds, peer.bytes_held() / values,
                times[peer.name], equal[peer.name],
            )
            for peer, seconds in zip(peers, loaded, strict=True)
        ]  # fmt: skip
    return results, absent


def _installed(stack: ExitStack, absent: dict[str, str]) -> Iterator[Peer]:
    for make in PEERS:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="hoursight-peer-")))
        folder.chmod(0o755)  # a server may be another user
        try:
            peer = make(folder / "store")
        except Absent as error:
            absent[make.name] = str(error)
            continue
        stack.callback(peer.close)
        yield peer


def _load(peer: Peer, rows: pa.Table) -> float:
    """Seconds that it took."""
    click.echo(f"loading {peer.name} {peer.version}")
    with stopwatch() as elapsed:
        peer.load(rows)
        seconds = elapsed() / 1000
    peer.settle()
    return seconds


def _ask(
    peers: Sequence[Peer], span: Span
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, bool]]]:
    """By peer and question: ms, and whether the values are ours. A noisy machine is so for all."""
    ms: dict[str, dict[str, float]] = {peer.name: {} for peer in peers}
    equal: dict[str, dict[str, bool]] = {peer.name: {} for peer in peers}
    for question in QUESTIONS:
        answers = [sorted(peer.ask(question, span)) for peer in peers]
        times: dict[str, list[float]] = {peer.name: [] for peer in peers}
        for _ in range(ROUNDS):
            for peer in peers:
                with stopwatch() as elapsed:
                    peer.ask(question, span)
                    times[peer.name].append(elapsed())
        for peer, answer in zip(peers, answers, strict=True):
            ms[peer.name][question.name] = median(times[peer.name])
            equal[peer.name][question.name] = _same(answer, answers[0])
    return ms, equal


def _same(these: list[float], those: list[float]) -> bool:
    return len(these) == len(those) and len(these) > 0 and np.allclose(these, those, rtol=1e-6)


def show(results: Sequence[PeerResult], absent: dict[str, str]) -> None:
    """The table: ms, and how many times ours; `≠` where the values differ from ours."""
    grid = Table("", *(f"{r.name}\n{r.version[:24]}" for r in results), box=None)
    first = results[0]
    grid.add_row("rows/s loaded", *(f"{r.load_rows_s:,.0f}" for r in results))
    grid.add_row("bytes a value", *(f"{r.bytes_per_value:.2f}" for r in results))
    for question in QUESTIONS:
        name = question.name
        cells = (
            f"{r.ms[name]:.1f} ms {r.ms[name] / first.ms[name]:.2f} ×"
            + ("" if r.answers[name] else " ≠")
            for r in results
        )
        grid.add_row(name, *cells)
    Console(width=180).print(grid)
    for peer, remedy in absent.items():
        click.echo(f"{peer} is not here and left out: {remedy}")


def as_json(results: Sequence[PeerResult], absent: dict[str, str]) -> dict[str, object]:
    """The same for machines."""
    return {"peers": [asdict(r) for r in results], "absent": absent}
