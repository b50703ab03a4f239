"""The alerts page: episodes in each state, answers, and exports."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from litestar.testing import TestClient

from storage.config.api_keys import create_key
from storage.ipc.rpc import serve_rpc
from tests.web.alert_rows import PREDICTED, episode_rows, insert_history
from tests.web.api.test_functions_api import Engine
from tests.web.conftest import Client
from tests.web.site_lakes import HOSTILE, SiteLakeWriter
from web.app import create_app

HX = {"HX-Request": "true"}
LONG = "%3Cb>.json" * 25


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.fixture(scope="module")
def alerted(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[Client]:
    """A site with an ended episode of each outcome, and three open ones."""
    writer = SiteLakeWriter(tmp_path_factory.mktemp("var"))
    insert_history(writer)
    breached = [("opened", "predicted", 60), ("breached", "breached", 20)]
    writer.insert("alert_events", [
        *episode_rows("warned", [PREDICTED]),
        *episode_rows("hostile", [PREDICTED], server=HOSTILE, metric="own/<i>.json", why=HOSTILE),
        *episode_rows(LONG, [PREDICTED], server="x" * 253),
        *episode_rows("worst", breached, severity="Critical", server="db-1"),
    ])  # fmt: skip
    app = create_app(writer.folders.data)
    with (
        serve_rpc(writer.folders.rpc_socket, engine),
        TestClient(app, "http://127.0.0.1") as client,
    ):
        yield client
    writer.close()


def test_open_episodes_are_worst_first_with_the_time_to_act(alerted: Client) -> None:
    text = alerted.get("/alerts").text
    assert text.index('data-episode="worst"') < text.index('data-episode="warned"')
    assert "4 open, the worst first" in text
    assert "Act now" in text
    assert "Act within " in text
    assert "earliest" in text
    assert "Nobody yet" in text


def test_the_record_with_its_misses_is_where_the_alerts_are(alerted: Client) -> None:
    text = alerted.get("/alerts").text
    assert (
        "Warned 8: 2 right, 1 wrong, 1 withdrawn, 1 averted, 3 open; missed 1; median lead" in text
    )
    for outcome in ("right", "wrong", "withdrawn", "averted", "missed"):
        assert f'<tr data-outcome="{outcome}">' in text


def test_names_of_any_kind_are_escaped_in_text_and_links(alerted: Client) -> None:
    text = alerted.get("/alerts").text
    assert HOSTILE not in text
    assert f"/servers/{quote(HOSTILE, safe='')}#own/&lt;i&gt;.json" in text
    assert f"/alerts/{quote(LONG, safe='')}" in text


@pytest.mark.parametrize(
    ("query", "outcomes"),
    [("?outcome=missed", 1), ("?server=WEB-07", 5), ("?rule=gone", 0), ("?page_number=2", 0)],
)
def test_the_history_is_filtered(alerted: Client, query: str, outcomes: int) -> None:
    assert alerted.get(f"/alerts{query}").text.count("<tr data-outcome=") == outcomes


@pytest.mark.parametrize("query", ["page_number=" + "9" * 18, "show=-3", "outcome=%00x"])
def test_hostile_parameters_get_a_page(alerted: Client, query: str) -> None:
    assert alerted.get(f"/alerts?{query}").status_code in (200, 400)


def test_htmx_gets_the_fragment_and_a_plain_request_the_page(alerted: Client) -> None:
    fragment = alerted.get("/alerts", headers=HX).text
    assert "<html" not in fragment
    assert 'data-episode="worst"' in fragment
    assert "<html" in alerted.get("/alerts").text


def test_exports_have_all_episodes_and_active_has_the_open_ones(alerted: Client) -> None:
    rows = alerted.get("/alerts.json").json()
    assert len(rows) == 9
    assert {row["outcome"] for row in rows if row["ended_at"]} == {
        "right", "wrong", "withdrawn", "averted", "missed",
    }  # fmt: skip
    assert alerted.get("/alerts/active").json()[0]["episode"] == "worst"
    for extension in ("csv", "parquet"):
        assert alerted.get(f"/alerts.{extension}").status_code == 200


def test_without_an_episode_the_page_says_when_one_opens(site: Client) -> None:
    text = site.get("/alerts").text
    assert 'data-state="no-alerts"' in text
    assert "Nothing is open" not in text


@pytest.mark.parametrize(
    ("answer", "mark"),
    [
        ("acknowledge", {"kind": "acknowledged", "episode": "warned"}),
        ("acting", {"kind": "acting", "episode": "warned"}),
        ("close", {"kind": "closed", "episode": "warned"}),
        ("silence", {"kind": "silence", "server": "web-07.shop", "metric": "mem_used_pct",
                     "lasts": "2h"}),
    ],
)  # fmt: skip
def test_an_answer_is_a_mark_by_the_one_who_sent_it(
    alerted: Client, engine: Engine, answer: str, mark: dict[str, str]
) -> None:
    engine.calls.clear()
    engine.answer = (200, b"{}")
    data = {"note": " look <b> ", "back": "/alerts"}
    done = alerted.post(f"/alerts/warned/{answer}", data=data, follow_redirects=False)
    assert (done.status_code, done.headers["location"]) == (303, "/alerts")
    (call,) = engine.calls
    assert call["name"] == "mark"
    assert call["body"] == mark | {"made_by": "local", "note": "look <b>"}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("gone/acknowledge", "There is no episode"), ("%25%2F/close", "There is no episode"),
        ("warned/party", "is no answer (expected acknowledge, acting, close, silence)"),
        ("%00/close", "control character"),
    ],
)  # fmt: skip
def test_an_answer_to_nothing_is_refused_in_words(
    alerted: Client, engine: Engine, path: str, words: str
) -> None:
    engine.calls.clear()
    assert words in alerted.post(f"/alerts/{path}", data={}).text
    assert engine.calls == []


def test_what_the_engine_refuses_is_shown(alerted: Client, engine: Engine) -> None:
    engine.answer = (200, msgspec.json.encode({"refused": 1, "reasons": ["no such <b>"]}))
    assert (
        "no such &lt;b&gt;" in alerted.post("/alerts/warned/close", data={"back": "/alerts"}).text
    )


def test_a_reader_may_not_answer(tmp_path: Path) -> None:
    writer = SiteLakeWriter(tmp_path)
    writer.close()
    key = create_key(writer.folders, "reader", ["read"], datetime.now(UTC))
    with TestClient(create_app(tmp_path), "http://127.0.0.1") as client:
        answer = client.post("/alerts/x/close", headers={"X-API-Key": key})
    assert answer.status_code == 403
