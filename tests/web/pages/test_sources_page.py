"""The sources page: rows, nothing yet, trouble; holes, refusals and twins."""

import io
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

from pyarrow import csv, parquet

from tests.web.conftest import Client
from tests.web.site_lakes import SiteLakeWriter

BAD = "cpu_user_pct (field cpu): is not a number, as 'n/a' of <b>x</b>: send a number (3 times)"


class SourceLog:
    """Rows of the ledgers, so many seconds ago."""

    def __init__(self, lake: SiteLakeWriter) -> None:
        self.lake, self.now = lake, datetime.now(UTC)

    def ago(self, seconds: float) -> datetime:
        return self.now - timedelta(seconds=seconds)

    def file(self, source: str, event: str, detail: str | None = None) -> None:
        row = {"source": source, "ts": self.ago(900), "kind": "mongodb", "event": event}
        self.lake.insert("sources", [row | {"detail": detail}])

    def brought(
        self, source: str, first: float, last: float, why: tuple[str, ...] = (),
        made: float | None = None,
    ) -> None:  # fmt: skip
        made = last if made is None else made
        row: dict[str, Any] = {
            "batch_id": f"{source}{first}", "table_name": "metrics", "function": source,
            "ts": self.ago(made), "created_at": self.ago(made), "first_ts": self.ago(first),
            "last_ts": self.ago(last), "rows_in": 50, "rows_committed": 50,
            "rows_refused": 3 * len(why), "refusals": list(why), "outcome": "committed",
        }  # fmt: skip
        self.lake.insert("segments", [row])

    def ran(self, source: str, seconds: float, outcome: str, error: str | None = None) -> None:
        row = {"run_id": f"{source}{seconds}", "function": source, "trigger": "every 5 s"}
        rest = {"ts": self.ago(seconds), "outcome": outcome, "error": error}
        self.lake.insert("runs", [row | rest])


def rows_of(page: str) -> dict[str, str]:
    found = re.findall(r'data-source="([^"]*)".*?>(.*?)</tr>', page, re.S)
    return {unescape(name): unescape(body) for name, body in found}


def test_without_sources_the_page_says_how_to_make_one(site: Client) -> None:
    answer = site.get("/sources")
    assert answer.status_code == 200
    assert 'data-state="nothing"' in answer.text
    assert "hoursight sources new files" in answer.text


def test_sources_are_listed_with_what_they_bring_those_in_trouble_first(
    lake: SiteLakeWriter, site: Client
) -> None:
    told = SourceLog(lake)
    for name in ("shop", "beats"):
        told.file(name, "live")
    told.brought("shop", 20, 5, (BAD,))
    told.ran("shop", 4, "ok")
    told.brought("beats", 700, 600)
    told.ran("beats", 590, "ok")
    told.ran("beats", 3, "unreachable", "Unreachable: beats refuses the password of 'reader'")
    told.file("typo", "refused", "SourceWrong: connection.urll is not a key (expected one of url)")
    told.brought("feed", 3, 2)
    rows = rows_of(site.get("/sources").text)
    assert list(rows) == ["beats", "typo", "feed", "shop"]
    assert re.search(r"unreachable since .* UTC: beats refuses the password", rows["beats"])
    assert "its file is refused: connection.urll is not a key" in rows["typo"]
    assert re.search(r"\bwell\b.*10</td>.*50</td>.*3</td>", rows["shop"], re.S)
    assert "is not a number, as 'n/a' of <b>x</b>" in rows["shop"]
    assert BAD not in site.get("/sources").text  # it is escaped there


def test_a_hole_is_shown_and_one_that_was_filled_is_not(lake: SiteLakeWriter, site: Client) -> None:
    told = SourceLog(lake)
    for name in ("holed", "filled"):
        told.brought(name, 9000, 7300)
        told.brought(name, 60, 5)
    told.brought("filled", 7299, 61)
    rows = rows_of(site.get("/sources").text)
    assert re.search(r"no samples from .* to .* \(2 h 1 min\)", rows["holed"])
    assert "no samples" not in rows["filled"]


def test_a_source_that_answers_without_anything_new_is_not_called_well(
    lake: SiteLakeWriter, site: Client
) -> None:
    told = SourceLog(lake)
    told.brought("quiet", 700, 600)
    told.ran("quiet", 3, "nothing")
    told.file("off", "off", "its file says enabled = false")
    rows = rows_of(site.get("/sources").text)
    assert "it answers, and has nothing newer" in rows["quiet"]
    assert "off: its file says enabled = false" in rows["off"]


def test_a_fetch_of_what_came_before_tells_how_far_it_is(
    lake: SiteLakeWriter, site: Client
) -> None:
    told, day = SourceLog(lake), 86_400
    told.file("fleet", "live")
    told.brought("fleet", 4 * day, 3 * day, made=20)
    told.brought("fleet", 3 * day, 2 * day, made=10)
    told.brought("fleet", 2 * day, day, made=0)
    told.brought("late", 2 * day, 3_600, made=5_000)
    for seconds in (20, 10, 0):  # always an hour late, and as fast as time
        told.brought("late", 3_605 + seconds, 3_600 + seconds, made=seconds)
    rows = rows_of(site.get("/sources").text)
    words = r"fetching what came before: at \d\d \w+ \d\d:\d\d UTC, 75%, about 10 s left"
    assert re.search(words, rows["fleet"])
    assert "it answers, and has nothing newer" in rows["late"]


def test_htmx_gets_the_live_part_and_the_twins_hold_the_same(
    lake: SiteLakeWriter, site: Client
) -> None:
    SourceLog(lake).brought("shop", 20, 5)
    assert "<html" not in site.get("/sources", headers={"HX-Request": "true"}).text
    assert [row["state"] for row in site.get("/sources.json").json()] == ["well"]
    for form, read in (("csv", csv.read_csv), ("parquet", parquet.read_table)):
        rows = read(io.BytesIO(site.get(f"/sources.{form}").content))
        assert rows["source"].to_pylist() == ["shop"]
