"""What-if and quiet hour on the page of a server: the engine's answer, or why there is none."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from storage.ipc.rpc import serve_rpc
from storage.model.grid import HORIZON_STEPS, floor_step
from tests.web.api.test_functions_api import Engine
from tests.web.site_lakes import LakeServer, SiteLakeWriter
from web.app import create_app

Client = TestClient[Litestar]
SET = "mem_used_pct:-20%"


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteLakeWriter]:
    writer = SiteLakeWriter(tmp_path_factory.mktemp("var")).fleet([LakeServer("web-1")])
    yield writer
    writer.close()


@pytest.fixture(scope="module")
def site(writer: SiteLakeWriter) -> Iterator[Client]:
    with TestClient(create_app(writer.folders.data), "http://127.0.0.1") as client:
        yield client


@pytest.fixture
def engine(writer: SiteLakeWriter) -> Iterator[Engine]:
    engine = Engine()
    with serve_rpc(writer.folders.rpc_socket, engine):
        yield engine


def answered(engine: Engine, answer: Any, *reasons: str) -> None:
    body = {"answer": answer, "refused": len(reasons), "reasons": reasons}
    engine.answer = (200, msgspec.json.encode(body))


def what_if_answer() -> dict[str, Any]:
    lists = {name: [40.0] * HORIZON_STEPS for name in ("p10", "p50", "p90")}
    base = {name: [80.0] * HORIZON_STEPS for name in lists}
    return {
        "issued_at": floor_step(datetime.now(UTC)).isoformat(), "model": "m1",
        "changes": [{"metric": "mem_used_pct", "from": 80.0, "to": 64.0}],
        "forecasts": [{"metric": "mem_used_pct", "base": base, "changed": lists}],
    }  # fmt: skip


def test_a_what_if_is_drawn_over_the_forecast_and_marked(site: Client, engine: Engine) -> None:
    answered(engine, what_if_answer())
    page = site.get("/servers/web-1", params={"set": SET})
    assert page.status_code == 200
    assert "Memory used 64 % in place of 80 % (last hour)" in page.text
    assert "<b>Model-implied, not causal</b>" in page.text
    assert re.search(r"<td>80 %</td>\s*<td><b>40 %</b></td>", page.text)
    assert page.text.count('<path class="over what-if" d="M') == 1
    (call,) = engine.calls
    assert (call["name"], call["dry_run"]) == ("what_if", True)
    assert call["body"] == {"server": "web-1", "set": SET}


def test_the_charts_have_the_what_if_and_the_fragment_asks_for_none(
    site: Client, engine: Engine
) -> None:
    answered(engine, what_if_answer())
    charts = site.get("/charts/web-1", params={"set": SET}).json()["charts"]
    memory = next(each for each in charts if each["name"] == "mem_used_pct")
    assert [over["kind"] for over in memory["overlays"]] == ["what-if"]
    site.get("/servers/web-1", params={"set": SET}, headers={"HX-Request": "true"})
    assert len(engine.calls) == 1


def test_a_quiet_hour_is_said_in_the_words_of_the_engine(site: Client, engine: Engine) -> None:
    answered(engine, {"text": "Wait until <04:45> UTC.", "wait": True})
    page = site.get("/servers/web-1?quiet=20m&within=4h").text
    assert "Wait until &lt;04:45&gt; UTC." in page
    assert engine.calls[0]["body"] == {"server": "web-1", "lasts": "20m", "within": "4h"}


@pytest.mark.parametrize("query", [{"set": "memory:lots"}, {"quiet": "5 apples"}])
def test_what_cannot_be_used_is_400_with_the_reason(
    site: Client, engine: Engine, query: dict[str, str]
) -> None:
    answered(engine, None, "'<lots>' is not a change (expected for example '-20%')")
    page = site.get("/servers/web-1", params=query)
    assert page.status_code == 400
    assert "&#39;&lt;lots&gt;&#39; is not a change" in page.text
    assert "data-metric" in page.text


def test_without_an_engine_the_page_says_so(site: Client) -> None:
    page = site.get("/servers/web-1", params={"set": SET, "quiet": "20m"})
    assert page.status_code == 200
    assert page.text.count("no running system listens") == 2
