"""The page of alert rules: with and without the engine, a trial, silences and deliveries."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from litestar.testing import TestClient

from storage.ipc.rpc import serve_rpc
from tests.web.alert_rows import PREDICTED, episode_rows, insert_history
from tests.web.conftest import Client
from tests.web.site_lakes import HOSTILE, SiteLakeWriter
from web.app import create_app

NOW = datetime.now(UTC)
RULES = {
    "rules": [
        {"name": "breach", "enabled": True, "stock": True, "kind": "metrics",
         "covers": "* of all servers", "sentences": ["Warns at P(1 h) ≥ 20 %."]},
        {"name": HOSTILE, "enabled": False, "stock": False, "kind": "metrics", "covers": HOSTILE,
         "sentences": []},
    ],
    "maintenance": [
        {"name": "patch", "zone": "Europe/Berlin", "repeats": "0 22 * * sat", "covers": "all",
         "active": True, "start": "2026-01-10T21:00:00Z", "end": "2026-01-11T03:00:00Z",
         "local_start": "Sat 10 Jan 22:00", "local_end": "Sun 11 Jan 04:00"},
    ],
    "ladders": [{"severity": "Critical", "steps": "on-call → senior after 15 min"}],
    "silent_share": 0.1, "refusals": ["alerts/torn.toml: <b>"],
}  # fmt: skip
TRIAL = {
    "start": "2026-05-06T12:00:00+00:00", "stop": "2026-05-13T12:00:00+00:00", "servers": 2,
    "odds": 1234,
    "rules": [{
        "name": HOSTILE, "right": 3, "false": 2, "withdrawn": 1, "averted": 0, "missed": 1,
        "breaches": 4, "lead_median": 90.0, "lead_p10": 20.0, "false_per_host_day": 0.1,
        "episodes_a_week": 4.2, "pages_a_week": 1.0,
    }],
}  # fmt: skip


class RulesEngine:
    """An engine with these rules and this trial; it records calls."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.refusal = ""

    def __call__(self, call: bytes) -> tuple[int, bytes]:
        asked = msgspec.json.decode(call)
        self.calls.append(asked)
        if self.refusal and asked["name"] != "alert_rules":
            return 200, msgspec.json.encode({"refused": 1, "reasons": [self.refusal]})
        answers = {"alert_rules": RULES, "alert_trial": TRIAL}
        return 200, msgspec.json.encode({"answer": answers.get(asked["name"])})


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteLakeWriter]:
    writer = SiteLakeWriter(tmp_path_factory.mktemp("var"))
    insert_history(writer)
    muted = "silenced by alice: would have been sent to on-call"
    writer.insert("alert_events", episode_rows("muted", [PREDICTED], channels=None, why=muted))
    mark = {"kind": "silence", "made_by": "alice", "note": "patch <b>", "starts_at": NOW}
    writer.insert("marks", [
        mark | {"mark": "1", "ts": NOW, "pattern": "web-*", "ends_at": NOW + timedelta(hours=2)},
        mark | {"mark": "2", "ts": NOW - timedelta(hours=3), "pattern": "old-*"},
        mark | {"mark": "3", "ts": NOW, "pattern": "old-*", "kind": "unsilence"},
        mark | {"mark": "4", "ts": NOW - timedelta(hours=3), "server": "past",
                "ends_at": NOW - timedelta(hours=1)},
    ])  # fmt: skip
    sent = {"episode": "right", "level": "warning", "action": "open", "kind": "mail", "attempt": 1}
    writer.insert("deliveries", [
        sent | {"delivery": "a", "channel": "mail", "ts": NOW, "outcome": "sent", "status": 250},
        sent | {"delivery": "b", "channel": "hook", "ts": NOW, "outcome": "refused",
                "status": 400, "detail": "bad <b>"},
    ])  # fmt: skip
    yield writer
    writer.close()


@pytest.fixture
def engine(writer: SiteLakeWriter) -> Iterator[RulesEngine]:
    engine = RulesEngine()
    with serve_rpc(writer.folders.rpc_socket, engine):
        yield engine


@pytest.fixture(scope="module")
def client(writer: SiteLakeWriter) -> Iterator[Client]:
    with TestClient(create_app(writer.folders.data), "http://127.0.0.1") as client:
        yield client


def test_rules_have_their_proof_windows_silences_and_deliveries(
    client: Client, engine: RulesEngine
) -> None:
    text = client.get("/alerts/rules").text
    for words in (
        'id="breach"', "Warned 5: 1 right, 1 wrong, 1 withdrawn, 1 averted, 1 open; missed 1.",
        "Warns at P(1 h)", "Sat 10 Jan 22:00 to Sun 11 Jan 04:00 Europe/Berlin", "on now",
        "10 Jan 21:00 to 11 Jan 03:00", "web-*", "patch &lt;b&gt;", "would have been sent to",
        "1 of 2 messages failed or were refused", "Refused by the receiver (400): bad &lt;b&gt;",
        "on-call → senior after 15 min", "10 % of the warnings", "lerts/torn.toml: &lt;b&gt;",
    ):  # fmt: skip
        assert words in text, words
    assert "old-*" not in text
    assert HOSTILE not in text
    assert engine.calls[0]["dry_run"]


def test_without_the_engine_the_page_says_so_and_shows_what_the_lake_has(client: Client) -> None:
    text = client.get("/alerts/rules").text
    assert 'data-state="no-engine"' in text
    assert "hoursight up" in text
    assert "not in force now" in text
    assert "web-*" in text


def test_a_rule_is_tried_from_its_text(client: Client, engine: RulesEngine) -> None:
    form = {"rule": "breach", "toml": "[[rule]]\nname = '<b>'", "days": "3"}
    text = client.post("/alerts/rules/try", data=form).text
    assert "3 right, 2 wrong (1 of them withdrawn)" in text
    assert "1,234 odds of 2 servers" in text
    assert "name = &#39;&lt;b&gt;&#39;" in text
    assert engine.calls[0]["body"] == {"toml": form["toml"], "days": 3.0}


@pytest.mark.parametrize("days", ["", "many", "nan"])
def test_a_rule_in_force_is_tried_and_a_refusal_is_shown(
    client: Client, engine: RulesEngine, days: str
) -> None:
    engine.refusal = "days is <90>, expected 1 to 30"
    answer = client.post("/alerts/rules/try", data={"rule": "breach", "days": days})
    assert "Days is &lt;90&gt;, expected 1 to 30" in answer.text
    assert engine.calls[0]["body"] == {"rule": "breach", "days": 7.0}


@pytest.mark.parametrize(
    ("form", "mark"),
    [
        ({"pattern": "web-*", "lasts": "2h", "note": "x"},
         {"kind": "silence", "pattern": "web-*", "lasts": "2h", "note": "x"}),
        ({"pattern": "web-*", "metric": "mem_used_pct", "end": "1"},
         {"kind": "unsilence", "pattern": "web-*", "metric": "mem_used_pct", "note": None}),
        ({"lasts": "2h"}, {"kind": "silence", "lasts": "2h", "note": None}),
    ],
)  # fmt: skip
def test_a_silence_is_a_mark(
    client: Client, engine: RulesEngine, form: dict[str, str], mark: dict[str, Any]
) -> None:
    done = client.post("/alerts/rules/silence", data=form, follow_redirects=False)
    assert (done.status_code, done.headers["location"]) == (303, "/alerts/rules#silences")
    assert engine.calls[0]["body"] == mark | {"made_by": "local"}


def test_htmx_gets_only_the_fragment(client: Client, engine: RulesEngine) -> None:
    fragment = client.get("/alerts/rules", headers={"HX-Request": "true"}).text
    assert "<html" not in fragment
    assert 'data-rule="breach"' in fragment
    assert engine.calls
