"""The sources page: rows, no sources yet, problems, gaps, refusals and exports."""

import io
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import quote

import pytest
from pyarrow import csv, parquet

from tests.web.conftest import Client
from tests.web.site_lakes import SiteLakeWriter

BAD = "cpu_user_pct (field cpu): is not a number, as 'n/a' of <b>x</b>: send a number (3 times)"


class SourceLog:
    """Rows of the logs of sources, segments and runs, so many seconds ago."""

    def __init__(self, lake: SiteLakeWriter) -> None:
        self.lake, self.now = lake, datetime.now(UTC)

    def ago(self, seconds: float) -> datetime:
        return self.now - timedelta(seconds=seconds)

    def file(self, source: str, event: str, detail: str | None = None) -> None:
        row = {"source": source, "ts": self.ago(900), "kind": "mongodb", "event": event}
        self.lake.insert("sources", [row | {"detail": detail}])

    def committed(
        self, source: str, first: float, last: float, why: tuple[str, ...] = (),
        made: float | None = None,
    ) -> None:  # fmt: skip
        made = last if made is None else made
        row: dict[str, Any] = {
            "batch_id": f"{source}{first}", "table_name": "metrics", "function": source,
            "ts": self.ago(made), "created_at": self.ago(made), "first_ts": self.ago(first),
            "last_ts": self.ago(last), "rows_in": 50, "rows_committed": 50,
            "rows_refused": 3 * len(why), "values_clamped": 8 * len(why), "values_repeated": 7,
            "refusals": list(why),
            "outcome": "committed",
        }  # fmt: skip
        self.lake.insert("segments", [row])

    def ran(self, source: str, seconds: float, outcome: str, error: str | None = None) -> None:
        row = {"run_id": f"{source}{seconds}", "function": source, "trigger": "every 5 s"}
        rest = {"ts": self.ago(seconds), "outcome": outcome, "error": error}
        self.lake.insert("runs", [row | rest])


@pytest.fixture
def lake(kept_lake: SiteLakeWriter) -> SiteLakeWriter:
    return kept_lake


@pytest.fixture
def site(kept_client: Client) -> Client:
    return kept_client


def rows_of(page: str) -> dict[str, str]:
    rows = re.findall(r'data-source="([^"]*)".*?>(.*?)</tr>', page, re.S)
    return {unescape(name): unescape(body) for name, body in rows}


def test_without_sources_the_page_explains_how_to_add_one(site: Client) -> None:
    answer = site.get("/sources")
    assert answer.status_code == 200
    assert 'data-state="no-sources"' in answer.text
    assert "hoursight sources new files" in answer.text


def test_sources_are_listed_with_their_rows_problems_first(
    lake: SiteLakeWriter, site: Client
) -> None:
    log = SourceLog(lake)
    for name in ("shop", "beats"):
        log.file(name, "live")
    log.committed("shop", 20, 5, (BAD,))
    log.ran("shop", 4, "ok")
    log.committed("beats", 700, 600)
    log.ran("beats", 590, "ok")
    log.ran("beats", 3, "unreachable", "Unreachable: beats refuses the password of 'reader'")
    log.file("typo", "refused", "SourceWrong: connection.urll is not a key (expected one of url)")
    log.committed("feed", 3, 2)
    rows = rows_of(site.get("/sources").text)
    assert list(rows) == ["beats", "typo", "feed", "shop"]
    assert re.search(r"Unreachable since .* UTC: beats refuses the password", rows["beats"])
    assert "Invalid configuration file: connection.urll is not a key" in rows["typo"]
    assert re.search(
        r"\bOperational\b.*10</td>.*50</td>.*3</td>.*8</td>.*7</td>", rows["shop"], re.S
    )
    assert "is not a number, as 'n/a' of <b>x</b>" in rows["shop"]
    assert BAD not in site.get("/sources").text  # it is escaped there


def test_a_gap_is_listed_unless_it_was_filled(lake: SiteLakeWriter, site: Client) -> None:
    log = SourceLog(lake)
    for name in ("gapped", "filled"):
        log.committed(name, 9000, 7300)
        log.committed(name, 60, 5)
    log.committed("filled", 7299, 61)
    rows = rows_of(site.get("/sources").text)
    assert re.search(r"No samples from .* to .* \(2 h 1 min\)", rows["gapped"])
    assert "No samples" not in rows["filled"]


def test_a_connected_source_without_new_samples_is_not_operational(
    lake: SiteLakeWriter, site: Client
) -> None:
    log = SourceLog(lake)
    log.committed("quiet", 700, 600)
    log.ran("quiet", 3, "nothing")
    log.file("off", "off", "its file says enabled = false")
    rows = rows_of(site.get("/sources").text)
    assert "Connected, no new samples" in rows["quiet"]
    assert "Disabled: its file says enabled = false" in rows["off"]


def test_a_backfill_shows_its_progress(lake: SiteLakeWriter, site: Client) -> None:
    log, day = SourceLog(lake), 86_400
    log.file("fleet", "live")
    log.committed("fleet", 4 * day, 3 * day, made=20)
    log.committed("fleet", 3 * day, 2 * day, made=10)
    log.committed("fleet", 2 * day, day, made=0)
    log.committed("late", 2 * day, 3_600, made=5_000)
    for seconds in (20, 10, 0):  # always an hour late, and as fast as time
        log.committed("late", 3_605 + seconds, 3_600 + seconds, made=seconds)
    text = site.get("/sources").text
    rows = rows_of(text)
    assert 'value="0.750" aria-label="history of fleet that is loaded"' in text
    progress = r"Loading history, up to \d\d \w+ \d\d:\d\d UTC \(75 %\), about 10 s left"
    assert re.search(progress, rows["fleet"])
    assert "Connected, no new samples" in rows["late"]


def test_htmx_gets_only_the_fragment_and_exports_have_the_same_sources(
    lake: SiteLakeWriter, site: Client
) -> None:
    SourceLog(lake).committed("shop", 20, 5)
    assert "<html" not in site.get("/sources", headers={"HX-Request": "true"}).text
    assert [row["state"] for row in site.get("/sources.json").json()] == ["Operational"]
    for form, read in (("csv", csv.read_csv), ("parquet", parquet.read_table)):
        rows = read(io.BytesIO(site.get(f"/sources.{form}").content))
        assert rows["source"].to_pylist() == ["shop"]


def test_two_senders_of_one_server_are_shown_beside_the_state(
    lake: SiteLakeWriter, site: Client
) -> None:
    note = "two senders write web<1> at the same time, as node_load1: cluster=eu; cluster=us: name"
    SourceLog(lake).committed("remote_write", 20, 5, (note, BAD))
    body = rows_of(site.get("/sources").text)["remote_write"]
    shown, details = body.split("<details")
    assert "Two senders write web<1> at the same time" in shown
    assert "cpu_user_pct" in details
    assert "two senders" not in details


def test_a_source_has_a_page_with_what_was_refused_and_why(
    lake: SiteLakeWriter, site: Client
) -> None:
    log, name = SourceLog(lake), "sh<b>op%.json"
    log.file(name, "refused", "connection.urll is not a key")
    log.committed(name, 20, 5, (BAD,))
    path = f"/sources/{quote(name, safe='')}"
    assert f'href="{path}"' in site.get("/sources").text
    text = site.get(path).text
    assert "3 rows were refused in 1 commit." in text
    assert "is not a number, as &#39;n/a&#39; of &lt;b&gt;x&lt;/b&gt;" in text
    assert "refused: connection.urll is not a key" in text
    assert name not in text
    assert "<html" not in site.get(path, headers={"HX-Request": "true"}).text
    assert site.get("/sources/nix").status_code == 404
