from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from functions.rules.alerts.episode import NEXT_PHASES, Mark, Phase
from functions.rules.alerts.rule_book import STOCK_BOOK
from functions.rules.alerts.signals import Signal
from tests.functions.rules.alerts.scenes import (
    T0,
    Timeline,
    breached,
    calm,
    mark,
    minutes,
    phases_by_episode,
    predicted,
    warned,
)


def test_without_a_signal_nothing_happens_to_an_episode() -> None:
    line = predicted()
    assert line.step(T0 + timedelta(days=3)) == []


def test_a_run_that_is_repeated_writes_the_same_rows() -> None:
    one, other = Timeline(), Timeline()
    for line in (one, other):
        line.step(T0, warned(T0))
    assert one.rows == other.rows


KINDS = ("acknowledged", "acting", "deploy", "silence", "closed")


@st.composite
def timelines(draw: st.DrawFn) -> list[tuple[datetime, Signal | None, list[Mark], datetime]]:
    """Any sequence of what may be seen of one server."""
    now, steps = T0, []
    marks: list[Mark] = []
    for _ in range(draw(st.integers(1, 25))):
        now += minutes(draw(st.sampled_from([1, 5, 30, 130])))
        seen = now - minutes(draw(st.sampled_from([0, 20, 2000])))
        signal = draw(st.sampled_from([
            None, calm(now), calm(now, below_minutes=5, under_minutes=5), warned(now),
            warned(now, 0.7, pages=True), breached(now, now - minutes(15)),
            calm(now, issued_at=None),
        ]))  # fmt: skip
        if draw(st.integers(0, 3)) == 0:
            kind = draw(st.sampled_from(KINDS))
            marks = [*marks, mark(kind, now, server="a", ends_at=now + minutes(60))]
        steps.append((now, signal, marks, seen))
    return steps


@settings(max_examples=50)
@given(timelines(), st.sampled_from([0.0, 0.5]))
def test_every_episode_opens_once_ends_at_most_once_and_keeps_to_its_phases(
    steps: list[tuple[datetime, Signal | None, list[Mark], datetime]], share: float
) -> None:
    line = Timeline(replace(STOCK_BOOK, silent_share=share))
    for now, signal, marks, seen in steps:
        signals = [] if signal is None else [signal]
        line.step(now, *signals, last_seen={"a": seen}, marks=marks)
    for phases in phases_by_episode(line.rows).values():
        before: Phase | None = None
        for phase in map(Phase, phases):
            assert phase == before or phase in NEXT_PHASES[before]
            before = phase
    openings = [row["episode"] for row in line.rows if row["event"] == "opened"]
    ends = [row["episode"] for row in line.rows if row["event"] == "closed"]
    assert len(set(openings)) == len(openings)
    assert len(set(ends)) == len(ends)
    assert {row["episode"] for row in line.rows} == set(openings)
    keys = [(row["episode"], row["ts"]) for row in line.rows]
    assert len(set(keys)) == len(keys)
