"""`POST /mcp`: read-only tools for assistants, by the Model Context Protocol."""

from importlib.util import find_spec

from litestar import post
from litestar.types import ASGIApp, Receive, Scope, Send

from web.http_errors import HttpRejection
from web.operations import JSON, answering
from web.query_runner import runner_of
from web.rendering import SiteRequest, TheLake

__all__ = ["mcp_endpoint"]


@post(
    "/mcp", status_code=200, summary="Model Context Protocol: read-only tools for assistants",
    operation_class=answering(JSON),
)  # fmt: skip
async def mcp_endpoint(request: SiteRequest, lake: TheLake) -> ASGIApp:
    """A message of the protocol (JSON-RPC over streamable HTTP), without sessions.

    501: the package `mcp` is not installed.
    """
    if find_spec("mcp") is None:
        raise HttpRejection(
            501, "the package of the Model Context Protocol is not installed",
            "run pip install 'hoursight[mcp]' and restart the web process",
        )  # fmt: skip
    if request.content_type[0] != "application/json":
        raise HttpRejection(
            415, "the body is not application/json",
            "send a message of JSON-RPC with Content-Type: application/json",
        )  # fmt: skip
    from web.mcp_server import mcp_server, serve_http  # loads 30 MB, only where it is used

    server = mcp_server(runner_of(request.app.state), lake.folders)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await serve_http(server, scope, receive, send)

    return answer
