"""The time machine: a page shows what was known at an earlier time."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.web.conftest import Client
from tests.web.site_lakes import LakeServer, SiteLakeWriter, risks
from web.requested_time import carried

NOW = datetime.now(UTC).replace(microsecond=0)
THEN = NOW - timedelta(hours=3)
AGES = re.compile(r"<time[^>]*>[^<]*</time>")


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _commit(lake: SiteLakeWriter, table: str, rows: list[dict[str, Any]], at: datetime) -> None:
    """Insert rows as a commit of the time `at` would."""
    lake.insert(table, rows)
    time = "issued_at" if table in ("risks", "forecasts", "odds") else "ts"
    lake.insert("segments", [{
        "batch_id": f"{table}{at}", "table_name": table, "function": rows[0].get("source", "f"),
        "ts": at, "first_ts": min(r[time] for r in rows), "last_ts": max(r[time] for r in rows),
        "outcome": "committed",
    }])  # fmt: skip


@pytest.fixture
def history(lake: SiteLakeWriter) -> SiteLakeWriter:
    """A lake that ran for a day, as it was at THEN."""
    began = NOW - timedelta(days=1)
    lake.insert("processes", [{"process": "writer", "ts": began, "event": "started"}])
    _commit(lake, "server_facts", [
        {"server": name, "ts": began, "profile": "database"} for name in ("a", "b")
    ], began)  # fmt: skip
    _commit(lake, "metrics", [
        {"server": name, "ts": THEN - timedelta(seconds=5), "mem_used_pct": 50.0, "source": "f"}
        for name in ("a", "b")
    ], THEN - timedelta(seconds=4))  # fmt: skip
    score = LakeServer("a", now_score=10.0, ahead_score=20.0)
    _commit(lake, "risks", list(risks(score, THEN)), THEN - timedelta(seconds=30))
    return lake


def _later(lake: SiteLakeWriter) -> None:
    """What came after THEN: trouble, and a sample and a score from before that came late."""
    late = {"server": "b", "ts": THEN - timedelta(seconds=2), "mem_used_pct": 99.0, "source": "f"}
    _commit(lake, "metrics", [late], THEN + timedelta(minutes=1))
    _commit(lake, "risks", list(risks(LakeServer("a", now_score=95.0), NOW)), NOW)
    _commit(lake, "alert_events", [{
        "episode": "e1", "ts": THEN + timedelta(minutes=2), "event": "opened", "phase": "breached",
        "server": "a", "metric": "mem_used_pct", "rule": "breach", "severity": "Critical",
        "why": "late trouble",
    }], THEN + timedelta(minutes=2))  # fmt: skip


@pytest.mark.parametrize(
    "path",
    ["/", "/servers/a", "/alerts", "/sources", "/fleet.csv", "/servers/b.csv", "/alerts.json"],
)
def test_a_page_shows_exactly_what_was_known_then(
    history: SiteLakeWriter, site: Client, path: str
) -> None:
    stored = site.get(path, params={"at": _text(THEN)})
    _later(history)
    again = site.get(path, params={"at": _text(THEN)})
    assert stored.status_code == again.status_code == 200
    assert again.text == stored.text
    assert "/alerts/e1" not in again.text


def test_the_present_has_what_came_later(history: SiteLakeWriter, site: Client) -> None:
    then = site.get("/", params={"at": _text(THEN)}).text
    _later(history)
    assert "95" in site.get("/").text
    assert "/alerts/e1" in site.get("/alerts").text
    assert site.get("/", params={"at": _text(THEN)}).text == then


@pytest.mark.usefixtures("history")
def test_links_and_forms_stay_at_the_time_and_lead_back(site: Client) -> None:
    page = site.get("/", params={"at": _text(THEN), "profile": "database"}).text
    assert f'href="/servers/a?at={_text(THEN)}"' in page
    assert f'<input type="hidden" name="at" value="{_text(THEN)}">' in page
    assert '<a href="/?profile=database" data-present>Back to now</a>' in page
    assert "1 h earlier" in page
    assert "sse-connect" not in page
    assert "every 15s" not in page


def test_nothing_can_be_answered_in_the_past(history: SiteLakeWriter, site: Client) -> None:
    _later(history)
    assert 'method="post"' in site.get("/alerts").text
    assert 'method="post"' not in site.get("/alerts", params={"at": _text(NOW)}).text


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        ("yesterday", "is not a time"), ("2999-01-01T00:00Z", "lies ahead"),
        ("0001-01-01T00:00+14:00", "is not a time"), ("<b>", "is not a time"),
    ],
)  # fmt: skip
def test_a_time_that_cannot_be_shown_is_refused_in_words(
    client: Client, at: str, reason: str
) -> None:
    answer = client.get("/", params={"at": at})
    assert answer.status_code == 400
    assert reason in answer.text


@pytest.mark.usefixtures("history")
def test_before_it_ran_nothing_was_known(site: Client) -> None:
    answer = site.get("/", params={"at": _text(NOW - timedelta(days=3))})
    assert "nothing was known at that time: Hoursight runs since" in answer.text


def test_where_commits_are_no_longer_kept_the_rows_up_to_the_time_count(
    lake: SiteLakeWriter, site: Client
) -> None:
    lake.fleet(now=THEN)
    page = site.get("/servers/nginx-1", params={"at": _text(THEN)})
    assert page.status_code == 200


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<a href="/x">', '<a href="/x?at=T">'),
        ('<a href="/x?y=1#z">', '<a href="/x?y=1&amp;at=T#z">'),
        ('<a href="//evil">', '<a href="//evil">'),
        ('<a href="https://x">', '<a href="https://x">'),
        ('<a href="/?at=U">', '<a href="/?at=U">'),
        ('<link href="/static/a.css">', '<link href="/static/a.css">'),
        ('<link href="/below/static/a.css?v=1">', '<link href="/below/static/a.css?v=1">'),
        ('<form action="/">', '<form action="/"><input type="hidden" name="at" value="T">'),
        ('<form method="post" action="/x"><b>y</b></form><i>', "<i>"),
        ('<form method="post" action="/logout">', '<form method="post" action="/logout">'),
        ('<p hx-get="/" hx-trigger="sse:x, every 9s">', '<p hx-get="/?at=T" hx-trigger="refresh">'),
        ('<p title="say href=&quot;/x">', '<p title="say href=&quot;/x">'),
    ],
)  # fmt: skip
def test_only_links_of_the_site_are_carried(html: str, expected: str) -> None:
    at = datetime(2026, 5, 6, tzinfo=UTC)
    assert carried(html, at) == expected.replace("=T", f"={_text(at)}").replace(
        '"T"', f'"{_text(at)}"'
    )
