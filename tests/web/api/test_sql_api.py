"""Queries of programs."""

import pyarrow as pa
import pytest

from tests.web.conftest import Client
from web.query_runner import MAX_QUERY

PATH = "/api/v1/sql"


def test_rows_come_as_json_with_their_columns(client: Client) -> None:
    answer = client.get(PATH, params={"q": "SELECT 1 AS a, 'x' AS a, NULL AS b"}).json()
    assert answer.pop("took_ms") >= 0
    assert answer == {
        "columns": [
            {"name": "a", "type": "int32"}, {"name": "a", "type": "string"},
            {"name": "b", "type": "int32"},
        ],
        "rows": [[1, "x", None]], "row_count": 1, "truncated": False,
    }  # fmt: skip


def test_a_posted_query_has_the_same_answer(client: Client) -> None:
    body = {"q": "FROM range(100)", "max_rows": 3}
    answer = client.post(PATH, json=body).json()
    assert (answer["rows"], answer["truncated"]) == ([[0], [1], [2]], True)


def test_rows_come_as_arrow(client: Client) -> None:
    answer = client.post(PATH, json={"q": "FROM range(3)", "format": "arrow"})
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.file"
    assert pa.ipc.open_file(answer.content).read_all().to_pydict() == {"range": [0, 1, 2]}


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({"q": "SELECT nope"}, 422, 'line 1, character 8: Referenced column "nope"'),
        ({"q": "DROP TABLE metrics"}, 422, "DROP statement refused"),
        ({"q": "SELECT 1", "max_rows": 0}, 422, "max_rows is 0"),
        ({"q": "SELECT '" + "x" * MAX_QUERY + "'"}, 413, "characters"),
        ({"q": "SELECT 1", "format": "xml"}, 400, "format"),
        ({}, 400, "q"),
    ],
)
def test_a_query_without_rows_is_an_error_in_words(
    client: Client, query: dict[str, object], status: int, words: str
) -> None:
    answer = client.post(PATH, json=query)
    assert answer.status_code == status
    assert words in answer.text.replace('\\"', '"')
