"""The functions page and that of one function: rows, nothing yet, trouble, and their buttons."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from litestar.testing import TestClient

from storage.ipc.rpc import serve_rpc
from tests.web.conftest import Client
from tests.web.site_lakes import SiteLakeWriter
from web.app import create_app
from web.rendering import quoted

NOW = datetime.now(UTC)
HOSTILE = "<b>50%.json"  # a file of the user's can be called so
LISTED = [
    {"name": "rollup", "on": ["rows in metrics"], "purpose": "Sum up.", "runnable": True},
    {"name": "mark", "on": ["request"], "writes": ["marks"]},
    {"name": HOSTILE, "on": ["every 5 s"], "suspended": True, "failures": 6, "runnable": True,
     "file": "functions/<b>.py", "next_at": (NOW + timedelta(minutes=9)).isoformat()},
]  # fmt: skip


class FunctionsEngine:
    """An engine with these functions; it records what is called and not dry."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(self, call: bytes) -> tuple[int, bytes]:
        asked = msgspec.json.decode(call)
        if asked["name"] == "function_states":
            return 200, msgspec.json.encode({"answer": {"functions": LISTED}})
        self.calls.append(asked)
        if asked["name"] == "rollup":
            done = {"duration_ms": 12.0, "row_counts": {"metrics_5m": 1400}}
            return 200, msgspec.json.encode(done)
        return 200, msgspec.json.encode({"answer": {"text": "<b> runs again"}})


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteLakeWriter]:
    writer = SiteLakeWriter(tmp_path_factory.mktemp("var"))
    run = {"trigger": "every 5 s", "duration_ms": 40.0, "cpu_s": 0.01}
    bad = {"function": HOSTILE, "outcome": "failed", "error": "ValueError: <i>\n  line 2"}
    writer.insert("runs", [
        run | bad | {"run_id": "1", "ts": NOW - timedelta(minutes=2)},
        run | bad | {"run_id": "2", "ts": NOW - timedelta(minutes=3)},
        run | {"function": "rollup", "outcome": "ok", "run_id": "3", "rows_out": 14,
               "ts": NOW - timedelta(minutes=1)},
    ])  # fmt: skip
    writer.insert("segments", [{
        "batch_id": "b", "table_name": "metrics_5m", "run_id": "3", "ts": NOW, "created_at": NOW,
        "rows_committed": 13, "rows_refused": 1, "outcome": "committed",
    }])  # fmt: skip
    yield writer
    writer.close()


@pytest.fixture
def engine(writer: SiteLakeWriter) -> Iterator[FunctionsEngine]:
    engine = FunctionsEngine()
    with serve_rpc(writer.folders.rpc_socket, engine):
        yield engine


@pytest.fixture(scope="module")
def client(writer: SiteLakeWriter) -> Iterator[Client]:
    with TestClient(create_app(writer.folders.data), "http://127.0.0.1") as client:
        yield client


@pytest.mark.usefixtures("engine")
def test_suspended_functions_come_first_with_their_error_and_buttons(client: Client) -> None:
    text = client.get("/functions").text
    for words in (
        "1 of 3 functions is suspended.", "Suspended after 6 failures in a row: ValueError: &lt;i&",
        f'action="/functions/{quoted(HOSTILE)}"', ">Resume</button>", "tried again at",
        "how do we know?", "when it is called", "Correct functions/&lt;b&gt;.py",
    ):  # fmt: skip
        assert words in text, words
    assert text.index(quoted(HOSTILE)) < text.index('data-function="mark"')
    assert HOSTILE not in text


@pytest.mark.usefixtures("engine")
def test_a_function_has_a_page_with_its_runs_and_the_whole_error(client: Client) -> None:
    text = client.get(f"/functions/{quoted(HOSTILE)}").text
    assert "ValueError: &lt;i&gt;\n  line 2" in text
    assert text.count("data-run=") == 2
    assert "14 returned, 13 stored, 1 refused" in client.get("/functions/rollup").text
    assert 'data-state="no-runs"' in client.get("/functions/mark").text
    fragment = client.get("/functions/rollup", headers={"HX-Request": "true"}).text
    assert "<html" not in fragment
    assert "14 returned" in fragment


@pytest.mark.parametrize("name", ["nix", "a/b", "rollup.json", "%", "x" * 253])
@pytest.mark.usefixtures("engine")
def test_a_function_that_nobody_knows_is_not_found(client: Client, name: str) -> None:
    assert client.get(f"/functions/{quoted(name)}").status_code == 404


def test_without_the_engine_the_runs_of_the_lake_are_shown(client: Client) -> None:
    text = client.get("/functions").text
    assert 'data-state="no-engine"' in text
    assert "hoursight up" in text
    assert 'data-function="rollup"' in text
    assert "<form" not in text.split('id="board"')[1].split("</main>")[0]


@pytest.mark.usefixtures("engine")
def test_at_an_earlier_time_nothing_of_the_present_is_shown(client: Client) -> None:
    at = (NOW - timedelta(seconds=90)).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = client.get(f"/functions?at={at}").text
    assert "is about an earlier time" in text
    assert 'data-function="rollup"' not in text
    assert 'data-state="FAILING"' in text
    assert "Suspended" not in text


def test_without_functions_the_page_says_how_to_get_one(site: Client) -> None:
    text = site.get("/functions", headers={"HX-Request": "true"}).text
    assert "<html" not in text
    assert 'data-state="no-functions"' in text
    assert "hoursight functions new NAME" in text


def test_run_now_says_what_came_of_it(client: Client, engine: FunctionsEngine) -> None:
    text = client.post("/functions/rollup", data={"action": "run"}).text
    assert "It ran in 12 ms: 1,400 rows for metrics_5m." in text
    assert engine.calls[0]["dry_run"] is False


def test_resume_is_the_engines(client: Client, engine: FunctionsEngine) -> None:
    text = client.post(f"/functions/{quoted(HOSTILE)}", data={"action": "resume"}).text
    assert "&lt;b&gt; runs again." in text
    assert engine.calls[0]["name"] == "function_resume"
    assert engine.calls[0]["body"] == {"name": HOSTILE}


@pytest.mark.parametrize(
    ("name", "action", "said"),
    [
        ("mark", "run", "mark needs what a call or a file hands over"),
        ("audit", "run", "There is no function"), ("rollup", "erase", "is no action"),
        ("rollup", "", "is no action"),
    ],
)  # fmt: skip
def test_what_a_button_does_not_do_is_refused_in_words(
    client: Client, engine: FunctionsEngine, name: str, action: str, said: str
) -> None:
    answer = client.post(f"/functions/{name}", data={"action": action}, follow_redirects=False)
    assert answer.status_code == 303
    page = client.get("/functions")
    assert said in page.text
    assert engine.calls == []


@pytest.mark.parametrize("form", ["json", "csv", "parquet", "arrow"])
def test_functions_have_twins(client: Client, form: str) -> None:
    answer = client.get(f"/functions.{form}")
    assert answer.status_code == 200
    if form == "json":
        rows = {row["function"]: row for row in answer.json()}
        assert rows[HOSTILE]["failed_24h"] == 2
        assert rows["rollup"]["last_error"] is None
