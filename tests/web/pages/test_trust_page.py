"""The page of trust: with scores, without any, and a change of model."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from litestar.testing import TestClient

from storage.config.api_keys import create_key
from storage.ipc.rpc import serve_rpc
from tests.web.alert_rows import insert_history
from tests.web.api.test_functions_api import Engine
from tests.web.conftest import Client
from tests.web.site_lakes import SiteLakeWriter
from tests.web.trust_rows import insert_trust
from web.app import create_app


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[Client]:
    writer = SiteLakeWriter(tmp_path_factory.mktemp("var"))
    insert_trust(writer)
    insert_history(writer)
    (writer.folders.models / "own<b>.onnx").write_bytes(b"a model")
    with (
        serve_rpc(writer.folders.rpc_socket, engine),
        TestClient(create_app(writer.folders.data), "http://127.0.0.1") as client,
    ):
        yield client
    writer.close()


@pytest.fixture(scope="module")
def text(scored: Client) -> str:
    """The page of trust, which several tests read."""
    return scored.get("/trust").text


def test_the_last_days_are_said_before_any_table(text: str) -> None:
    assert text.index("Last 7 days: 80 % bands held 80.0 %") < text.index("<table")
    assert "Better than yesterday&#39;s value in 2 of 2 metrics." in text
    assert "missed 1; median lead 52 min." in text


def test_each_figure_has_its_table_and_the_query_behind_it(text: str) -> None:
    for words in (
        "70.0 %", "0.50", "Fitted", "41 breaches", "No drift.", "No more &lt;b&gt;than usual",
        "of another distribution (KS): 0.250 (limit 0.20), over it", "by alice: calm &lt;b&gt;",
        "serves now", "<progress", "it drifts", "own&lt;b&gt;",
    ):  # fmt: skip
        assert words in text, words
    assert text.count("<circle") == 4
    assert text.count("how do we know?") >= 10
    assert text.count('class="line-svg"') == 2


def test_htmx_gets_only_the_fragment(scored: Client) -> None:
    fragment = scored.get("/trust", headers={"HX-Request": "true"}).text
    assert "<html" not in fragment
    assert "Last 7 days" in fragment


def test_a_new_install_says_what_will_be_here_and_when(site: Client) -> None:
    text = site.get("/trust").text
    assert 'data-state="no-scores"' in text
    for words in ("needs 30 breaches", "after 72 hours of scores", "None so far"):
        assert words in text


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ({"action": "promote", "model": "own", "reason": "calm"},
         {"action": "promote", "model": "own", "reason": "calm"}),
        ({"action": "rollback", "reason": "worse", "model": "own"},
         {"action": "rollback", "reason": "worse"}),
    ],
)  # fmt: skip
def test_a_change_of_model_goes_to_the_engine_with_who_and_why(
    scored: Client, engine: Engine, form: dict[str, str], body: dict[str, str]
) -> None:
    engine.answer = (200, msgspec.json.encode({"answer": {"serves": "own"}}))
    done = scored.post("/trust/models", data=form, follow_redirects=False)
    assert (done.status_code, done.headers["location"]) == (303, "/trust#models")
    assert engine.calls[-1]["body"] == body | {"made_by": "local"}
    assert engine.calls[-1]["name"] == "model_change"


def test_only_an_administrator_may_change_the_model(tmp_path: Path) -> None:
    writer = SiteLakeWriter(tmp_path)
    writer.close()
    key = create_key(writer.folders, "reader", ["read"], datetime.now(UTC))
    headers = {"X-API-Key": key}
    with TestClient(create_app(tmp_path), "http://127.0.0.1") as client:
        assert client.post("/trust/models", headers=headers).status_code == 403
        text = client.get("/trust", headers=headers).text
    assert "Who may administer can promote" in text
    assert "/trust/models" not in text
