"""`python -m web --data DIR`: serve the site."""

import argparse
import os
import sys
from pathlib import Path
from types import FrameType

import uvicorn

from storage.config.api_keys import (
    ApiKeyError,
    PublicWithoutKey,
    is_loopback,
    require_key_if_public,
)
from storage.config.folders import Folders
from storage.config.settings import read_settings
from storage.platform import logs
from web.app import create_app
from web.live import Live
from web.request_log import logging_requests


class SiteServer(uvicorn.Server):
    """A server that ends the pages' streams when it is told to stop, and so stops at once."""

    def __init__(self, config: uvicorn.Config, live: Live) -> None:
        super().__init__(config)
        self._live = live

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the streams, then stop as usual."""
        self._live.close()
        super().handle_exit(sig, frame)


def main(arguments: list[str] | None = None) -> None:
    """Serve until told to stop; a flag wins over the environment, that over the settings file."""
    options = _parser().parse_args(arguments)
    logs.configure("web", options.log_level, options.log_format)
    settings = read_settings(options.data).web
    port = options.port or int(os.environ.get("HOURSIGHT_PORT", settings.port))
    host = options.host or settings.host
    try:
        require_key_if_public(Folders.at(options.data), host)
    except (PublicWithoutKey, ApiKeyError) as error:
        sys.exit(f"ERROR {error}")
    app = create_app(options.data, exposed=not is_loopback(host))
    config = uvicorn.Config(
        logging_requests(app), host=host, port=port, timeout_graceful_shutdown=5,
        proxy_headers=False, access_log=False, server_header=False, log_config=None,
    )  # fmt: skip
    SiteServer(config, app.state.live).run()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m web", description="Serve Hoursight's site.",
        epilog="example: python -m web --data ./var --port 8080",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("HOURSIGHT_DATA", "./var")),
        help="data folder (default: $HOURSIGHT_DATA, else ./var)",
    )  # fmt: skip
    parser.add_argument("--host", help="address to listen on (default: web.host in the settings)")
    parser.add_argument(
        "--port", type=int, help="port (default: $HOURSIGHT_PORT, else web.port in the settings)"
    )
    logs.add_options(parser)
    return parser


if __name__ == "__main__":
    main()
