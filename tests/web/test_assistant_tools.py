"""The statements of the assistants' tools; tests/web/test_mcp_server.py runs them."""

import json

import anyio
import pyarrow as pa
import pytest

from storage.model.schema import STOCK
from web.assistant_tools import AssistantTools
from web.query_runner import QueryRows


class Runner:
    """Remembers statements, and answers with two columns of one name."""

    def __init__(self) -> None:
        self.statements: list[tuple[str, int]] = []

    async def file(self, sql: str, max_rows: int) -> QueryRows:
        self.statements.append((sql, max_rows))
        rows = pa.table([pa.array([float("nan")]), pa.array(["\u202e"])], names=["a", "a"])
        return QueryRows(rows, True, 1.0)


@pytest.fixture
def runner() -> Runner:
    return Runner()


@pytest.fixture
def tools(runner: Runner) -> AssistantTools:
    return AssistantTools(runner, STOCK)


def test_a_name_is_a_literal_whatever_it_holds(tools: AssistantTools, runner: Runner) -> None:
    name = "it's'; DROP TABLE metrics --"
    for call in (tools.server, tools.episodes):
        anyio.run(call, name)
    anyio.run(tools.forecast, name, name)
    for sql, _ in runner.statements:
        assert name.replace("'", "''") in sql
        assert name not in sql.replace(name.replace("'", "''"), "")


def test_an_answer_is_json_that_prints(tools: AssistantTools, runner: Runner) -> None:
    text = anyio.run(tools.sql, "SELECT 1", 7)
    assert text.isprintable()
    assert json.loads(text) == {"rows": [{"a": "NaN", "a_1": "\u202e"}], "truncated": True}
    assert runner.statements == [("SELECT 1", 7)]
