"""The SQL page and its files."""

import io
import json
from datetime import UTC, datetime
from urllib.parse import urlencode

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.web.conftest import Client
from web.display.schema_browser import EXAMPLES
from web.lake_session import _SQL
from web.query_links import query_text

HOSTILE = "<b>x</b>"


def get(client: Client, sql: str, extension: str = "", **more: str) -> str:
    path = f"/sql{extension}?{urlencode({'q': sql, **more})}"
    return client.get(path).text


NOW = datetime.now(UTC)
LISTS = {"severities": ["critical"], "metrics": ["mem_used_pct"], "servers": [HOSTILE]}
NUMBERS = {"rows": 50, "skip": 0, "seconds": 3600, "seen": 0, "show": 50}
TEXTS = dict.fromkeys(
    ("episode", "server", "metric", "model", "outcome", "profile", "erased", "source", "rule",
     "severity"), HOSTILE,
)  # fmt: skip
TIMES = dict.fromkeys(
    ("now", "issued", "start", "stop", "reached", "latest", "since", "oldest", "opened", "said",
     "until"), NOW,
)  # fmt: skip
PARAMETERS: dict[str, object] = {**LISTS, **NUMBERS, **TEXTS, **TIMES}
# Columns that the site puts into a statement.
PIECES = {"{metric}": "mem_used_pct", "{means}": "avg(mem_used_pct_mean) AS mem_used_pct"}
# The fleet page's: they read tables in the memory of the web process.
OF_MEMORY = "memory_"


def test_rows_of_a_query_are_a_table_with_its_files(client: Client) -> None:
    page = get(client, "SELECT server, 1.5 AS x, NULL AS y FROM fleet_now ORDER BY server LIMIT 2")
    assert "2 rows in" in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert HOSTILE not in page
    for extension in ("json", "csv", "parquet", "arrow"):
        assert f'href="/sql.{extension}?q=SELECT+server' in page
    assert 'class="none">NULL' in page


def test_a_fragment_has_the_result_alone(client: Client) -> None:
    url = f"/sql?{urlencode({'q': 'SELECT 42 AS answer'})}"
    fragment = client.get(url, headers={"HX-Request": "true"}).text
    assert ">42</td>" in fragment
    assert "<textarea" not in fragment


def test_without_a_query_the_page_says_how_to_begin(client: Client) -> None:
    page = client.get("/sql").text
    assert 'data-state="nothing"' in page
    assert "Which servers are worst now?" in page
    assert 'data-word="mem_used_pct_mean"' in page


def test_an_error_is_shown_with_its_place(client: Client) -> None:
    page = get(client, "SELECT 1,\n  nope FROM fleet_now")
    assert 'data-state="failed"' in page
    assert "line 2, character 3: Referenced column" in page
    assert "  nope FROM fleet_now\n  ▲" in page


@pytest.mark.parametrize("sql", ["DROP TABLE metrics", "FROM read_text('/etc/passwd')", "\x00"])
def test_what_is_refused_is_said_in_words(client: Client, sql: str) -> None:
    assert 'data-state="failed"' in get(client, sql)
    answer = client.get(f"/sql.csv?{urlencode({'q': sql})}")
    assert answer.status_code == 422
    assert answer.json()["error"]


def test_no_rows_are_said_to_be_none(client: Client) -> None:
    assert 'data-state="no-rows"' in get(client, "SELECT 1 WHERE false")


def test_more_rows_than_a_page_shows_are_one_link_away(client: Client) -> None:
    page = get(client, "FROM range(60)")
    assert "10 more." in page
    assert "10 more." not in get(client, "FROM range(60)", show="10000")


def test_rows_with_times_have_a_chart(client: Client) -> None:
    page = get(client, "SELECT ts, cpu_idle_pct_mean FROM metrics_5m WHERE server = 'nginx-1'")
    assert '<figure class="plotted">' in page
    assert "cpu_idle_pct_mean" in page


def test_a_plan_is_shown_as_it_is(client: Client) -> None:
    page = get(client, "EXPLAIN SELECT * FROM metrics")
    assert '<pre class="plan">' in page
    assert "DUCKLAKE_SCAN" in page


def test_files_hold_the_same_rows(client: Client) -> None:
    sql = urlencode({"q": "SELECT i, i * INTERVAL 1 month AS d FROM range(3) t(i)"})
    answers = {ext: client.get(f"/sql.{ext}?{sql}") for ext in ("json", "csv", "parquet", "arrow")}
    assert {answer.headers["x-hoursight-truncated"] for answer in answers.values()} == {"false"}
    assert [row["i"] for row in json.loads(answers["json"].text)] == [0, 1, 2]
    assert answers["csv"].text.splitlines()[3] == '2,"2 months"'
    assert parquet.read_table(io.BytesIO(answers["parquet"].content)).num_rows == 3
    assert pa.ipc.open_file(answers["arrow"].content).read_all().num_rows == 3


def test_every_statement_and_example_of_the_site_runs_in_the_sandbox(
    client: Client,
) -> None:
    queries = {f"example {i}": each.sql for i, each in enumerate(EXAMPLES)}
    names = sorted(p.stem for p in _SQL.glob("*.sql") if not p.stem.startswith(OF_MEMORY))
    assert len(names) > 20
    for name in names:
        text = query_text(name, **PARAMETERS)
        for piece, columns in PIECES.items():
            text = text.replace(piece, columns)
        queries[name] = text
    answers = {
        name: client.get(f"/sql.arrow?{urlencode({'q': sql})}") for name, sql in queries.items()
    }
    assert {name: a.text for name, a in answers.items() if a.status_code != 200} == {}
