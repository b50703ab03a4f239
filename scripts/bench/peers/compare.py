"""All peers in turn on the same rows: loaded, weighed, asked, and their answers compared."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from scripts.bench.measure import median, stopwatch
from scripts.bench.peers.bare_duckdb import BareDuckdb
from scripts.bench.peers.chdb import Chdb
from scripts.bench.peers.lake import Lake
from scripts.bench.peers.peer import Absent, Peer
from scripts.bench.peers.postgres import Postgres
from scripts.bench.peers.prometheus import Prometheus
from scripts.bench.peers.victoria import Victoria
from scripts.bench.peers.workload import FIELDS, QUESTIONS, Question, Span, readings

__all__ = ["Result", "compare", "show"]

PEERS: Sequence[Callable[[Path], Peer]] = (Lake, BareDuckdb, Chdb, Victoria, Prometheus, Postgres)
ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Result:
    """One peer's figures; `answers` tells by question whether its values are ours."""

    name: str
    version: str
    load_rows_s: float
    bytes_per_value: float
    ms: dict[str, float]
    answers: dict[str, bool]


def compare(hosts: int, hours: float) -> tuple[list[Result], dict[str, str]]:
    """Figures of all that are installed, ours first, and how to get those that are not."""
    rows, span = readings(hosts, hours)
    results, absent = [], {}
    ours: dict[str, list[float]] = {}
    for make in PEERS:
        folder = Path(tempfile.mkdtemp(prefix="hoursight-peer-"))
        folder.chmod(0o755)
        try:
            peer = make(folder / "store")
        except Absent as error:
            absent[make.name] = str(error)  # type: ignore[attr-defined]
            continue
        try:
            click.echo(f"{peer.name} {peer.version}")
            results.append(_measure(peer, rows, span, ours))
        finally:
            peer.close()
            shutil.rmtree(folder, ignore_errors=True)
    return results, absent


def _measure(peer: Peer, rows: pa.Table, span: Span, ours: dict[str, list[float]]) -> Result:
    with stopwatch() as elapsed:
        peer.load(rows)
        loaded_s = elapsed() / 1000
    peer.settle()
    ms, equal = {}, {}
    for question in QUESTIONS:
        answer = sorted(peer.ask(question, span))
        equal[question.name] = _same(answer, ours.setdefault(question.name, answer))
        ms[question.name] = median(list(_times(peer, question, span)))
    bytes_per_value = peer.bytes_held() / rows.num_rows / len(FIELDS)
    return Result(peer.name, peer.version, rows.num_rows / loaded_s, bytes_per_value, ms, equal)


def _times(peer: Peer, question: Question, span: Span) -> Iterator[float]:
    for _ in range(ROUNDS):
        with stopwatch() as elapsed:
            peer.ask(question, span)
            yield elapsed()


def _same(these: list[float], those: list[float]) -> bool:
    return len(these) == len(those) and len(these) > 0 and np.allclose(these, those, rtol=1e-6)


def show(results: Sequence[Result], absent: dict[str, str]) -> None:
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


def as_json(results: Sequence[Result], absent: dict[str, str]) -> dict[str, object]:
    """The same for machines."""
    return {"peers": [asdict(r) for r in results], "absent": absent}
