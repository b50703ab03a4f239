"""`hoursight mcp` over standard input and output, by the protocol's own client."""

import sys
from pathlib import Path

import anyio
import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

ROOT = Path(__file__).parents[3]


@pytest.mark.timeout(120)
def test_an_assistant_starts_the_command_and_lists_the_tools(tmp_path: Path) -> None:
    command = ["-c", "import hoursight; hoursight.main()", "mcp", "--data", str(tmp_path)]
    server = StdioServerParameters(command=sys.executable, args=command, cwd=ROOT)

    async def session() -> tuple[int, bool, str]:
        async with Client(stdio_client(server)) as assistant:
            tools = (await assistant.list_tools()).tools
            fleet = await assistant.call_tool("fleet", {})
            return len(tools), bool(fleet.is_error), fleet.content[0].text  # type: ignore[union-attr]

    count, failed, text = anyio.run(session)
    assert (count, failed) == (6, True)
    assert "no lake in" in text
