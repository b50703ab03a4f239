"""The page of one episode: open, ended, unknown, its messages and their bytes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from litestar.testing import TestClient

from storage.ipc.rpc import serve_rpc
from tests.web.alert_rows import PREDICTED, episode_rows, insert_history
from tests.web.api.test_functions_api import Engine
from tests.web.conftest import Client
from tests.web.site_lakes import FLEET, HOSTILE, SiteLakeWriter
from web.app import create_app

NOW = datetime.now(UTC)
EARLIER = NOW - timedelta(minutes=5)  # its forecast is issued before the episode opens


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.fixture(scope="module")
def alerted(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[Client]:
    """A site with ended episodes, an open one with messages, and one on a hostile name."""
    writer = SiteLakeWriter(tmp_path_factory.mktemp("var")).fleet(FLEET[:1], EARLIER)
    insert_history(writer, NOW)
    open_now = [("opened", "predicted", 4.0), ("acknowledged", "predicted", 2.0)]
    writer.insert("alert_events", [
        *episode_rows("open", open_now, NOW, caused_by="missed"),
        *episode_rows("h<i>", [PREDICTED], NOW, server=HOSTILE, metric="own/<i>.json", rule="a b"),
    ])  # fmt: skip
    writer.insert("deliveries", [
        {"delivery": "open/warning/team", "episode": "open", "level": "warning", "action": "open",
         "channel": "team", "ts": NOW - timedelta(minutes=3), "outcome": "failed", "attempt": 2,
         "status": 503, "detail": "<b>busy</b>", "kind": "webhook"},
    ])  # fmt: skip
    writer.insert("cascade_links", [
        {"downstream": "web-07.shop", "upstream": "db/1", "ts": NOW - timedelta(minutes=1),
         "downstream_metric": "mem_used_pct", "upstream_metric": "cpu_iowait_pct",
         "lag_minutes": 12, "correlation": 0.71},
    ])  # fmt: skip
    with (
        serve_rpc(writer.folders.rpc_socket, engine),
        TestClient(create_app(writer.folders.data), "http://127.0.0.1") as client,
    ):
        yield client
    writer.close()


def test_an_open_episode_says_what_is_due_and_who_has_it(alerted: Client) -> None:
    text = alerted.get("/alerts/open").text
    for words in (
        "Act within ", "alice acknowledged it", "Next step:", "Caused by", "by 12 min",
        "Failed, attempt 2 (503): &lt;b&gt;busy", "The forecast when it opened, over what came",
        "1 right, 1 wrong, 1 withdrawn, 1 averted, 1 missed in 30 days",
    ):  # fmt: skip
        assert words in text, words
    assert text.count('<path class="band"') == 3
    assert text.count("how do we know?") >= 5


def test_an_ended_episode_says_what_came_of_it(alerted: Client) -> None:
    text = alerted.get("/alerts/right").text
    assert "the warning came 52 min before the breach" in text
    assert "I act on it" not in text
    assert "predicted <time" in text
    assert "over <time" in text


def test_names_of_any_kind_are_escaped(alerted: Client) -> None:
    text = alerted.get("/alerts/h%3Ci%3E").text
    assert HOSTILE not in text
    assert "own/&lt;i&gt;.json" in text
    assert "/alerts/rules#a%20b" in text
    assert "metrics of your own have none" in text


def test_htmx_gets_only_the_fragment(alerted: Client) -> None:
    fragment = alerted.get("/alerts/open", headers={"HX-Request": "true"}).text
    assert "<html" not in fragment
    assert "Act within" in fragment


@pytest.mark.parametrize("episode", ["gone", "%25", "..%2f", "x" * 253])
def test_an_unknown_episode_is_404_in_words(alerted: Client, episode: str) -> None:
    answer = alerted.get(f"/alerts/{episode}")
    assert answer.status_code == 404
    assert "not found" in answer.text


def test_the_exact_bytes_of_a_message_are_shown_to_operators(
    alerted: Client, engine: Engine
) -> None:
    engine.answer = (200, msgspec.json.encode({"answer": {"text": "POST /hook <x>"}}))
    text = alerted.post("/alerts/open/message", data={"channel": "team"}).text
    assert "POST /hook &lt;x&gt;" in text
    assert engine.calls[-1]["body"] == {"episode": "open", "channel": "team"}
    engine.answer = (200, msgspec.json.encode({"refused": 1, "reasons": ["no channel 'x'"]}))
    assert "no channel &#39;x&#39;" in alerted.post("/alerts/open/message", data={}).text
