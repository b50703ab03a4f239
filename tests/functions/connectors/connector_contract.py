"""Connector contract as tests: the test class of each connector inherits them and has a `rig`.

class TestMongodb(Contract):
    @pytest.fixture
    def rig(self) -> Iterator[Rig]: ...
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from functions.connectors.incremental_read import source_function
from functions.engine.runner import Run, Runner
from storage.config.folders import Folders
from storage.config.settings import Settings
from tests.conftest import NOW, LakeFixture

Sample = tuple[str, datetime, float]


class Rig:
    """A real source under test; `cannot` names the cases that do not apply, with the reason."""

    cannot: Mapping[str, str] = MappingProxyType({})
    page = 1000  # documents in a page; a case puts more than that at one time

    def text(self, **connection: Any) -> str:
        """The source file that reads it, with an hour of history before NOW."""
        raise NotImplementedError

    def put(self, documents: list[dict[str, Any]]) -> None:
        """Store documents with `ts` (aware datetime), `hostname` and metrics by flat names."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop the source."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it again with its data."""
        raise NotImplementedError

    def wrong_password(self) -> str:
        """A source file with wrong credentials."""
        raise NotImplementedError

    def wrong_ca(self) -> str:
        """A source file that trusts another authority."""
        raise NotImplementedError

    @contextmanager
    def slow(self) -> Iterator[str]:
        """Have it answer too late; yields a source file with a short timeout."""
        raise NotImplementedError
        yield


class Chain:
    """A source with its runner and the lake that it writes to."""

    def __init__(self, house: LakeFixture, ticks: Iterator[int] | None = None) -> None:
        self.house = house
        self._ticks = ticks or count()
        self.runner = Runner(house.folders, Settings())
        self._function: Any = None
        self._text = ""

    def run(self, text: str, now: datetime = NOW, dry: bool = False) -> Run:
        """Run once, a little later than the last time."""
        now += timedelta(milliseconds=next(self._ticks))
        if text != self._text:
            folders: Folders = self.house.folders
            self._function = source_function("shop", text.encode(), folders, Settings())
            self._text = text
        return self.runner.run(self._function, "test", now, dry)

    def run_all(self, text: str, now: datetime = NOW) -> Run:
        """Run until there is no more, and commit."""
        while (run := self.run(text, now)).batch.more:
            assert run.error is None
        assert run.error is None
        self.house.commit(now)
        return run

    def restarted(self) -> "Chain":
        """The same source and lake with a new runner and connection, as after a restart."""
        return Chain(self.house, self._ticks)

    def samples(self) -> list[Sample]:
        """The samples in the lake."""
        rows = self.house.reader.query(
            "SELECT server, ts, cpu_user_pct FROM metrics WHERE source = 'shop' ORDER BY ts, server"
        )
        return [(r["server"], r["ts"], round(r["cpu_user_pct"], 3)) for r in rows.to_pylist()]


def documents(first: int, count: int, servers: int = 3) -> list[dict[str, Any]]:
    """Documents at `count` times from the time number `first` on, 5 s apart and before NOW."""
    return [
        {"ts": at(i), "hostname": f"web{s}", "cpu_user_pct": (i + s) % 90 + 0.5, "mem_used_pct": 0}
        for i in range(first, first + count)
        for s in range(servers)
    ]


def at(i: int) -> datetime:
    """The time number i."""
    return NOW - timedelta(seconds=1500) + timedelta(seconds=5 * i)


def expected(docs: list[dict[str, Any]]) -> list[Sample]:
    """The samples that documents must become, each once, in the order of `Chain.samples`."""
    samples = {(d["hostname"], d["ts"]): d["cpu_user_pct"] for d in docs}
    return sorted(
        ((server, ts, round(v, 3)) for (server, ts), v in samples.items()),
        key=lambda s: (s[1], s[0]),
    )


class Contract:
    """The cases that every connector must pass."""

    @pytest.fixture
    def chain(self, house: LakeFixture) -> Chain:
        return Chain(house)

    @pytest.fixture(autouse=True)
    def _can(self, rig: Rig, request: pytest.FixtureRequest) -> None:
        case = request.node.name.removeprefix("test_")
        for name, why in rig.cannot.items():
            if name in case:
                pytest.skip(why)

    def test_documents_arrive_once_and_keep_arriving(self, rig: Rig, chain: Chain) -> None:
        first, second = documents(0, 20), documents(20, 20)
        rig.put(first)
        chain.run_all(rig.text())
        rig.put(second)
        chain.run_all(rig.text())
        chain.run_all(rig.text())
        assert chain.samples() == expected(first + second)

    def test_a_restart_loses_and_repeats_nothing(self, rig: Rig, chain: Chain) -> None:
        docs = documents(0, 30)
        for i in range(0, len(docs), 30):
            rig.put(docs[i : i + 30])
            chain.run_all(rig.text())
            chain = chain.restarted()
        chain.run_all(rig.text())
        assert chain.samples() == expected(docs)

    def test_rows_that_were_not_written_are_read_again(self, rig: Rig, chain: Chain) -> None:
        docs = documents(0, 10)
        rig.put(docs)
        assert chain.run(rig.text(), dry=True).batch.row_count
        chain.run_all(rig.text())
        assert chain.samples() == expected(docs)

    def test_after_an_outage_the_gap_is_fetched_once(self, rig: Rig, chain: Chain) -> None:
        before, gap = documents(0, 10), documents(10, 200)
        rig.put(before)
        chain.run_all(rig.text())
        rig.stop()
        down = chain.run(rig.text())
        rig.start()
        assert down.outcome == "unreachable"
        assert down.batch.cursor is None
        rig.put(gap)
        chain.run_all(rig.text())
        assert chain.samples() == expected(before + gap)

    def test_more_documents_at_one_time_than_a_page_do_not_stall(
        self, rig: Rig, chain: Chain
    ) -> None:
        docs = documents(0, 2, servers=rig.page + 7) + documents(2, 1)
        rig.put(docs)
        chain.run_all(rig.text())
        assert chain.samples() == expected(docs)

    def test_bad_documents_are_rejected_with_the_reason_and_the_others_kept(
        self, rig: Rig, chain: Chain
    ) -> None:
        docs = documents(0, 5)
        bad = [
            {"ts": at(1), "cpu_user_pct": 1},
            {"ts": at(2), "hostname": "odd", "cpu_user_pct": "n/a"},
        ]
        rig.put([*docs, *bad])
        run = chain.run_all(rig.text())
        assert chain.samples() == expected(docs)
        reasons = chain.house.one("SELECT refusals FROM segments WHERE len(refusals) > 0")
        assert run.outcome == "ok"
        assert any("'n/a'" in reason for reason in reasons)
        assert any(reason.startswith("server (field") for reason in reasons)

    def test_a_document_whose_clock_is_ahead_is_refused_with_its_server(
        self, rig: Rig, chain: Chain
    ) -> None:
        docs = documents(0, 5)
        rig.put([*docs, docs[-1] | {"hostname": "fast", "ts": NOW + timedelta(hours=1)}])
        run = chain.run_all(rig.text())
        assert chain.samples() == expected(docs)
        [reason] = run.batch.reasons
        assert "lies more than 5 minutes in the future" in reason
        assert "of fast: check the sender's clock" in reason

    def test_after_our_own_clock_was_ahead_the_present_is_read_at_once(
        self, rig: Rig, chain: Chain
    ) -> None:
        before = documents(290, 2)
        ahead = [each | {"hostname": "beside-us"} for each in documents(700, 2, servers=1)]
        rig.put([*before, *ahead])
        chain.run_all(rig.text(), at(702))
        present = documents(292, 3)
        rig.put(present)
        chain.run_all(rig.text())
        chain.restarted().run_all(rig.text())
        assert chain.samples() == expected(before + ahead + present)

    def test_refused_credentials_are_reported_and_the_cursor_stays(
        self, rig: Rig, chain: Chain
    ) -> None:
        run = chain.run(rig.wrong_password())
        assert run.outcome == "unreachable"
        assert run.batch.cursor is None
        assert any(word in str(run.error).lower() for word in ("password", "credential", "key"))

    def test_refused_tls_is_reported(self, rig: Rig, chain: Chain) -> None:
        run = chain.run(rig.wrong_ca())
        assert run.outcome == "unreachable"
        assert any(word in str(run.error).lower() for word in ("tls", "certificate"))

    def test_a_slow_source_is_reported_and_loses_nothing(self, rig: Rig, chain: Chain) -> None:
        docs = documents(0, 5)
        rig.put(docs)
        with rig.slow() as text:
            assert chain.run(text).outcome == "unreachable"
        chain.run_all(rig.text())
        assert chain.samples() == expected(docs)

    def test_an_empty_source_is_no_error_and_writes_nothing(self, rig: Rig, chain: Chain) -> None:
        run = chain.run(rig.text())
        assert (run.outcome, run.error) == ("nothing", None)
        assert not list(Path(chain.house.folders.inbox).glob("*-shop-*"))
