"""Tools for assistants, by the protocol's own client."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx2
import pytest
from mcp.client import Client as McpClient
from mcp.client.streamable_http import streamable_http_client

from tests.web.conftest import Client

URL = "http://127.0.0.1/mcp"
HOSTILE = "<b>x</b>"

Session = Callable[[McpClient], Awaitable[Any]]


def assist(client: Client, session: Session) -> Any:
    """The result of a session of an assistant that reaches the site over HTTP."""

    async def run() -> Any:
        transport = httpx2.ASGITransport(app=client.app)
        async with (
            httpx2.AsyncClient(transport=transport, timeout=60) as http,
            McpClient(streamable_http_client(URL, http_client=http)) as assistant,
        ):
            return await session(assistant)

    return anyio.run(run)


def call(client: Client, tool: str, **arguments: object) -> Any:
    async def session(assistant: McpClient) -> Any:
        return await assistant.call_tool(tool, dict(arguments))

    return assist(client, session)


def rows(client: Client, tool: str, **arguments: object) -> list[dict[str, Any]]:
    answer = call(client, tool, **arguments)
    assert not answer.is_error, answer
    listed: list[dict[str, Any]] = json.loads(answer.content[0].text)["rows"]
    return listed


def test_the_tools_only_read_and_say_what_they_do(client: Client) -> None:
    tools = assist(client, lambda assistant: assistant.list_tools()).tools
    assert {t.name for t in tools} == {"fleet", "server", "episodes", "forecast", "sql", "schema"}
    assert all(t.annotations.read_only_hint and t.description for t in tools)


def test_the_fleet_is_worst_first_and_a_server_is_found_by_its_name(client: Client) -> None:
    fleet = rows(client, "fleet", limit=3)
    assert len(fleet) == 3
    assert fleet[0]["server"] == "web-07.shop"
    (server,) = rows(client, "server", server=HOSTILE)
    assert server["server"] == HOSTILE
    assert server["mem_used_pct_mean"] is not None


def test_a_forecast_has_a_row_for_each_step(client: Client) -> None:
    steps = rows(client, "forecast", server="web-07.shop", metric="mem_used_pct")
    assert len(steps) in (95, 96)  # one may have passed
    assert steps[0]["p10"] <= steps[0]["p50"] <= steps[0]["p90"]
    assert rows(client, "forecast", server="it's", metric="x") == []


def test_episodes_are_listed(client: Client) -> None:
    assert rows(client, "episodes", server="web-07.shop", history_days=7) == []


def test_sql_runs_in_the_sandbox(client: Client) -> None:
    assert rows(client, "sql", query="SELECT 1 AS a") == [{"a": 1}]
    answer = call(client, "sql", query="FROM read_text('/etc/passwd')")
    assert answer.is_error
    assert "'read_text' refused" in answer.content[0].text


def test_the_schema_has_the_columns_of_a_view(client: Client) -> None:
    columns = {row["column"] for row in rows(client, "schema", name="fleet_now")}
    assert {"server", "p_breach_480m"} <= columns
    assert len(rows(client, "schema")) > 20


@pytest.mark.parametrize("arguments", [{"limit": 0}, {"limit": "many"}, {"limit": 10**6}])
def test_a_wrong_argument_is_an_error_in_words(
    client: Client, arguments: dict[str, object]
) -> None:
    answer = call(client, "fleet", **arguments)
    assert answer.is_error
    assert "limit" in answer.content[0].text
