"""Figures of a benchmark: a measured value, its peer and its goal; timing; output."""

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

__all__ = ["Figure", "interleaved", "quantile", "show", "stopwatch", "write_json"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value beside that of a peer, and its goal.

    `ratio` is ours ÷ the peer's; `goal` is the upper bound of `bounded` ("ratio" or "value"), or
    its lower bound when `at_least`.
    """

    name: str
    value: float
    unit: str
    goal: float
    peer: str = ""
    peer_value: float | None = None
    bounded: str = "value"
    at_least: bool = False

    @property
    def ratio(self) -> float | None:
        """Our value divided by the peer's; None without a peer."""
        return self.value / self.peer_value if self.peer_value else None

    @property
    def met(self) -> bool:
        """True if the goal is reached."""
        value = self.ratio if self.bounded == "ratio" else self.value
        if value is None:
            return False
        return value >= self.goal if self.at_least else value <= self.goal

    @property
    def goal_text(self) -> str:
        """The goal as text, such as `≤ 1.2 ×`."""
        unit = "×" if self.bounded == "ratio" else self.unit
        return f"{'≥' if self.at_least else '≤'} {self.goal:g} {unit}"


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """Give a function that returns the milliseconds since the start."""
    began = time.perf_counter()
    yield lambda: 1000 * (time.perf_counter() - began)


def interleaved(
    ours: Callable[[], object], peers: Callable[[], object], rounds: int
) -> tuple[list[float], list[float]]:
    """Return the times [ms] of two functions called in turn: noise of the machine hits both."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for work, into in zip((ours, peers), times, strict=True):
            with stopwatch() as elapsed:
                work()
                into.append(elapsed())
    return times


def quantile(values: Sequence[float], q: float) -> float:
    """Return the q-quantile of a sample."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def median(values: Sequence[float]) -> float:
    """Return the median of a sample."""
    return statistics.median(values)


def show(figures: Sequence[Figure]) -> None:
    """Print the table at the end of a run."""
    grid = Table("what", "measured", "peer", "ratio", "goal", "", box=None, header_style="bold")
    for each in figures:
        peer = f"{each.peer} {each.peer_value:.3g}" if each.peer_value is not None else ""
        ratio = "" if each.ratio is None else f"{each.ratio:.2f} ×"
        mark = "reached" if each.met else "MISSED"
        measured = f"{each.value:.3g} {each.unit}"
        grid.add_row(each.name, measured, peer, ratio, each.goal_text, mark)
    Console(width=150).print(grid)
    missed = sum(not each.met for each in figures)
    click.echo(f"{len(figures)} figures, {missed} missed their goal")


def write_json(figures: Sequence[Figure], path: Path, about: dict[str, object]) -> None:
    """Write all figures, with `about` the circumstances, as JSON."""
    rows = [asdict(each) | {"ratio": each.ratio, "met": each.met} for each in figures]
    path.write_text(json.dumps({"about": about, "figures": rows}, indent=1) + "\n")
    click.echo(f"written to {path}")
