"""Incremental read: what a restart fetches again, and what a failure in the middle keeps."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from functions.connectors import incremental_read
from functions.connectors.connector import Page
from functions.connectors.incremental_read import IncrementalRead
from functions.connectors.source_file import source_from_dict
from functions.engine.function import Batch, Unreachable
from storage.config.folders import Folders
from tests.conftest import NOW, LakeFixture

COUNTED = {"metrics": {"net_in_mb_s": {"field": "rx", "unit": "bytes", "counter": True}}}


class ListConnector:
    """A connector over a list that grows, with an index as position; may fail at an index."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.page = 4
        self.fails_at: int | None = None
        self.positions: list[Any] = []
        self.final = False

    def pages(self, position: Any | None, now: datetime) -> Iterator[Page]:  # noqa: ARG002
        self.positions.append(position)
        for start in range(position or 0, len(self.documents), self.page):
            if start == self.fails_at:
                raise Unreachable("the list is down")
            end = min(start + self.page, len(self.documents))
            final = self.final and end == len(self.documents)
            yield Page(self.documents[start:end], end, final=final)

    def close(self) -> None:
        """Do nothing."""


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def read_of(source: ListConnector, mapping: dict[str, Any] | None = None) -> IncrementalRead:
    raw = {"kind": "files", "mapping": mapping or {}}
    return IncrementalRead(
        source_from_dict("shop", raw, Folders.at("nowhere")), connect=lambda: source
    )


def rows_of(*batches: Batch) -> list[dict[str, Any]]:
    tables = [b.rows["metrics"] for b in batches if b.rows["metrics"].num_rows]
    rows: list[dict[str, Any]] = pa.concat_tables(tables, promote_options="default").to_pylist()
    return rows


def counted(first: int, last: int) -> list[dict[str, Any]]:
    """Documents 30 s apart of a link that receives 1 MB/s."""
    return [{"ts": at(30 * i), "host": "a", "rx": 3e7 * i, "load": 1} for i in range(first, last)]


def test_rates_are_complete_over_a_restart(house: LakeFixture) -> None:
    source = ListConnector()
    source.documents = counted(0, 12)
    first = read_of(source, COUNTED).run(at(400), None)
    source.documents += counted(12, 16)
    second = read_of(source, COUNTED).run(at(600), first.cursor)
    for number, batch in enumerate((first, second)):
        house.put("metrics", batch.rows["metrics"], created_at=at(700 + number))
    house.commit(at(800))
    rates = house.reader.query("SELECT net_in_mb_s AS mb FROM metrics ORDER BY ts").column(0)
    assert rates.to_pylist() == [None, *[pytest.approx(1)] * 15]


def test_the_cursor_holds_counters_that_cannot_be_fetched_again() -> None:
    source = ListConnector()
    source.final, source.documents = True, counted(0, 5)
    first = read_of(source, COUNTED).run(at(400), None)
    source.documents += counted(5, 7)
    second = read_of(source, COUNTED).run(at(600), first.cursor)
    assert source.positions[-1] == 5
    assert [row["net_in_mb_s"] for row in rows_of(second)] == [pytest.approx(1)] * 2


def parts(*seconds: float) -> list[dict[str, Any]]:
    """Two documents of one server for each time, as Metricbeat sends them."""
    return [
        {"@timestamp": at(s).isoformat(), "host": {"name": "a"}, "system": part}
        for s in seconds
        for part in ({"load": {"1": s}}, {"memory": {"used": {"pct": s / 1000}}})
    ]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_group_that_was_incomplete_is_completed_after_the_next_run(restarted: bool) -> None:
    source, mapping = ListConnector(), {"stock": "metricbeat"}
    source.page = 1
    source.documents = parts(0, 10, 20)[:-1]  # the memory of the last is still to come
    one = read_of(source, mapping)
    first = one.run(at(25), None)
    source.documents = parts(0, 10, 20, 30)
    second = (read_of(source, mapping) if restarted else one).run(at(60), first.cursor)
    rows = {row["ts"]: row for row in [*rows_of(second), *rows_of(first)]}
    assert len(rows) == 4
    assert all(row["load_average"] is not None for row in rows.values())
    assert all(row["mem_used_pct"] is not None for row in rows.values())


def test_groups_stay_complete_over_the_batches_of_a_long_catch_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("functions.connectors.incremental_read.MAX_DOCUMENTS", 5)
    source = ListConnector()
    source.page, source.documents = 3, parts(*range(0, 300, 10))
    one, cursor, batches = read_of(source, {"stock": "metricbeat"}), None, []
    while True:
        batches.append(one.run(at(1000), cursor))
        cursor = batches[-1].cursor
        if not batches[-1].more:
            break
    rows = rows_of(*batches)
    assert len(batches) > 5
    assert len({row["ts"] for row in rows}) == len(rows) == 30
    assert all(row["mem_used_pct"] is not None for row in rows)


def test_pages_before_a_failure_count_and_the_next_run_continues_there() -> None:
    source = ListConnector()
    source.documents, source.fails_at = [{"ts": at(i), "host": "a", "load": i} for i in range(8)], 4
    one = read_of(source)
    first = one.run(at(20), None)
    assert (len(rows_of(first)), first.more) == (4, True)
    with pytest.raises(Unreachable, match="the list is down"):
        one.run(at(21), first.cursor)
    source.fails_at = None
    assert len(rows_of(one.run(at(22), first.cursor))) == 4


def test_a_poll_without_documents_returns_no_cursor() -> None:
    source = ListConnector()
    source.documents = [{"ts": at(0), "host": "a", "load": 1}]
    one = read_of(source)
    first = one.run(at(20), None)
    second = one.run(at(25), first.cursor)
    assert (second.cursor, second.row_count) == (None, 0)


def test_a_cursor_that_is_invalid_or_of_another_version_starts_from_the_beginning() -> None:
    source = ListConnector()
    source.documents = [{"ts": at(0), "host": "a", "load": 1}]
    for cursor in ("nonsense", '{"position": 1, "version": 99}'):
        assert rows_of(read_of(source).run(at(20), cursor))


def test_a_page_is_said_what_became_of_its_documents() -> None:
    results: list[tuple[int, int]] = []

    class Counting(ListConnector):
        def pages(self, position: Any | None, now: datetime) -> Iterator[Page]:  # noqa: ARG002
            documents = [{"ts": at(0), "host": "a", "load": 1}, {"ts": at(1), "load": 1}]
            yield Page(documents, 2, on_mapped=lambda rows, log: results.append((rows, log.count)))

    read_of(Counting()).run(at(60), None)
    assert results == [(1, 1)]


LONG = {
    "stock": "none", "gather": "1s", "time": {"field": "ts"}, "server": {"field": "host"},
    "metrics": {
        "net_in_mb_s": {"field": "rx", "unit": "mb_s", "each": "link", "combine": "sum"},
    },
}  # fmt: skip


def test_the_series_of_a_file_are_joined_however_far_apart_they_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(incremental_read, "MAX_DOCUMENTS", 4)
    source = ListConnector()
    source.final = True
    source.documents = [
        {"ts": at(60 * i), "host": "a", "link": link, "rx": 1} for link in "xyz" for i in range(4)
    ]
    read = read_of(source, LONG)
    batches: list[Batch] = []
    while not batches or batches[-1].more:
        batches.append(read.run(at(900), batches[-1].cursor if batches else None))
    assert len(batches) > 2
    assert [row["net_in_mb_s"] for row in rows_of(*batches)] == [3] * 4


def test_a_file_with_too_many_open_rows_is_joined_as_far_as_it_is_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(incremental_read, "MAX_DOCUMENTS", 4)
    monkeypatch.setattr(incremental_read, "MAX_OPEN_ROWS", 3)
    source = ListConnector()
    source.documents = [{"ts": at(60 * i), "host": "a", "link": "x", "rx": 1} for i in range(8)]
    first = read_of(source, LONG).run(at(900), None)
    assert first.more
    assert len(rows_of(first)) == 3


def test_what_a_mapping_does_not_use_is_among_the_reasons() -> None:
    source = ListConnector()
    source.documents = [{"ts": at(0), "host": "a", "load": 1, "rx": 5}]
    mapping = {"unmapped": [{"field": "rx", "why": "its unit is not known"}]}
    batch = read_of(source, mapping).run(at(5), None)
    assert batch.reasons == ("rx is not mapped: its unit is not known",)
    assert batch.refused == 0
