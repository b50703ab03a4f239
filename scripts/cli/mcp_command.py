"""The command `mcp`."""

from contextlib import closing
from pathlib import Path

import click

from scripts.cli.group import cli, data_option


@cli.command(epilog="Example: hoursight mcp --data /srv/hoursight")
@data_option
def mcp(data: Path) -> None:
    """Serve read-only tools for an assistant on standard input and output.

    An assistant starts this command itself (Model Context Protocol). The tools list the fleet, a
    server, alert episodes and forecasts, and run SQL in a sandbox. The site has the same at /mcp,
    with API keys. Needs pip install 'hoursight[mcp]'.
    """
    from storage.config.folders import Folders
    from web.query_runner import QueryRunner

    try:
        from web.mcp_server import mcp_server
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error.name} is not installed: pip install 'hoursight[mcp]'"
        ) from error
    folders = Folders.at(data)
    with closing(QueryRunner(folders)) as runner:
        mcp_server(runner, folders).run("stdio")
