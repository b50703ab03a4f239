import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from functions.rules.warm_start_attempts import MOST_ATTEMPTS, Attempt
from scripts.warm_start_report import line_of, report_warm_start
from tests.conftest import NOW, LakeFixture

DATA = Path("data")
AGAIN = f"{NOW + timedelta(minutes=10):%Y-%m-%d %H:%M} UTC"


def attempt(event: str) -> Attempt:
    return Attempt("a-history", event, NOW, "history", "learned from 20 servers")


@pytest.mark.parametrize(
    ("event", "begins", "says"),
    [
        ("started", "a warm start begins: ", "Everything else goes on"),
        ("progress", "a warm start begins: ", "at low priority"),
        ("learned", "the warm start is done: learned from 20 servers. ", "forecasts use it"),
        ("failed", "the warm start failed: ", f"again at {AGAIN}, or now by: hoursight warmstart"),
    ],
)  # fmt: skip
def test_each_state_is_a_line_with_what_to_do(event: str, begins: str, says: str) -> None:
    line = line_of(attempt(event), [attempt(event)], DATA, NOW)
    assert line is not None
    assert line.startswith(begins)
    assert says in line


def test_the_last_failure_says_that_no_other_attempt_follows() -> None:
    line = line_of(attempt("failed"), [attempt("failed")] * MOST_ATTEMPTS, DATA, NOW)
    assert "it is not tried again by itself, or now by: hoursight warmstart" in str(line)
    assert line_of(attempt("due"), [], DATA, NOW) is None


def test_what_happens_after_the_start_is_printed_once(house: LakeFixture) -> None:
    lines: list[str] = []

    def put(training: str, event: str, ago_s: float) -> None:
        ts = datetime.now(UTC) - timedelta(seconds=ago_s)
        row = {"training": f"{training}-history", "ts": ts, "event": event, "reason": event}
        house.put("trainings", [row])
        house.commit(ts)

    async def play() -> None:
        put("old", "failed", 60)
        report = asyncio.create_task(
            report_warm_start(house.folders.data, lines.append, asyncio.Event())
        )
        put("new", "started", 50)
        while not report.done():  # the watch begins after the first look
            put("new", "learned" if lines else "progress", 40)
            await asyncio.wait([report], timeout=0.2)
        await report

    asyncio.run(asyncio.wait_for(play(), 100))
    assert [line.split(" │ ")[1].partition(":")[0] for line in lines] == [
        "a warm start begins", "the warm start is done",
    ]  # fmt: skip
    asyncio.run(report_warm_start(house.folders.data, lines.append, asyncio.Event()))
    assert len(lines) == 2  # it is done: nothing is watched any more
