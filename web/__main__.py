"""The web process: `python -m web --data DIR` serves the site."""

import argparse
import asyncio
import logging
import os
import socket
import sys
from types import FrameType

import uvicorn

from storage.config.api_keys import (
    ApiKeyError,
    ApiKeys,
    PublicWithoutKey,
    is_loopback,
    require_key_if_public,
)
from storage.config.folders import Folders
from storage.config.process_setup import add_data_option, configured, exit_unconfigured
from storage.config.settings import SettingsError, read_settings
from storage.config.settings_file import SettingsFile
from storage.config.users import UserError, Users
from storage.platform import logs
from storage.platform.listening import CannotListen, listening_sockets, site_url
from storage.platform.private_files import restrict_new_files
from storage.platform.process import raise_descriptor_limit, restart
from web.app import create_app
from web.connections import LimitedProtocol, backlog, connection_limit
from web.http_protocol import site_protocol
from web.live import MAX_STREAMS, LiveUpdates
from web.request_log import logging_requests
from web.uploads import MAX_UPLOADS

log = logging.getLogger("web.__main__")

# The settings are checked on every fifth tick of 0.1 s.
TICKS_PER_CHECK = 5
TICKS_PER_CONNECTION_CHECK = 10


class SiteServer(uvicorn.Server):
    """A server that ends the live streams when it stops, and so stops immediately.

    It also stops when the settings of the site or of the lake change, and sets `changed`.
    """

    def __init__(
        self, config: uvicorn.Config, live: LiveUpdates, settings: SettingsFile | None = None
    ) -> None:
        super().__init__(config)
        self.changed = False
        self._live = live
        self._settings = settings
        self._at_start = settings.settings if settings else None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and log where."""
        await super().startup(sockets)
        if self.started:
            log.info("listening at %s", site_url(self.config.host, self.config.port))

    async def on_tick(self, counter: int) -> bool:
        """Return True if the server is to stop."""
        if counter % TICKS_PER_CHECK == 0 and self._settings_changed():
            log.info("settings changed: restarting")
            self.changed = True
            self._live.close()
            return True
        if counter % TICKS_PER_CONNECTION_CHECK == 0:
            self._check_connections()
        return await super().on_tick(counter)

    def _check_connections(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in list(self.server_state.connections):
            if isinstance(connection, LimitedProtocol):
                connection.check(now)

    def _settings_changed(self) -> bool:
        if self._settings is None or self._at_start is None:
            return False
        self._settings.reload()
        now, then = self._settings.settings, self._at_start
        return (now.web, now.lake) != (then.web, then.lake)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the live streams, then stop as uvicorn does."""
        self._live.close()
        super().handle_exit(sig, frame)


def main(arguments: list[str] | None = None) -> None:
    """Serve until stopped; flags override the environment, which overrides the settings file."""
    options = _parser().parse_args(arguments)
    restrict_new_files()
    logs.configure("web", options.log_level, options.log_format)
    with configured():
        settings = read_settings(options.data)
        port = options.port or _port_of_environment() or settings.web.port
    host, folders = options.host or settings.web.host, Folders.at(options.data)
    try:
        others = settings.web.knows_people or bool(Users(folders).known())
        require_key_if_public(folders, host, others)
    except (PublicWithoutKey, ApiKeyError, UserError) as error:
        exit_unconfigured(error)
    exposed = not is_loopback(host)
    app = create_app(options.data, exposed, settings.web.read_without_key, settings.web)
    if not exposed and not settings.web.knows_people:
        _warn_without_keys(folders)
    descriptors = raise_descriptor_limit()
    connections = connection_limit(descriptors)
    app.state.live.max_streams = min(MAX_STREAMS, connections // 2)
    app.state.uploads.max_uploads = min(MAX_UPLOADS, connections // 2)
    config = uvicorn.Config(
        logging_requests(app), host=host, port=port, timeout_graceful_shutdown=5, ws="none",
        http=site_protocol(app.state.trace),  # type: ignore[arg-type]
        proxy_headers=False, access_log=False, server_header=False, log_config=None,
        limit_concurrency=connections, backlog=backlog(descriptors),
    )  # fmt: skip
    server = SiteServer(config, app.state.live, SettingsFile(options.data, settings))
    server.run(_sockets(host, port))
    if server.changed:
        restart()


def _sockets(host: str, port: int) -> list[socket.socket]:
    try:
        return listening_sockets(host, port)
    except CannotListen as error:
        log.critical("%s", error)
        sys.exit(1)


def _warn_without_keys(folders: Folders) -> None:
    try:
        required = ApiKeys(folders).required() or Users(folders).required()
    except (ApiKeyError, UserError) as error:
        log.error("every request is refused: %s", error)
        return
    if not required:
        log.warning(
            "no API key exists: every user and program of this machine may read, push rows and run "
            "functions, and so may all whom a proxy or a tunnel lets in under the name localhost; "
            "'hoursight keys create --scope admin --name me' closes that"
        )


def _port_of_environment() -> int | None:
    text = os.environ.get("HOURSIGHT_PORT")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise SettingsError(f"HOURSIGHT_PORT is {text!r}, expected 1 to 65535: correct or unset it")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m web", description="Serve Hoursight's site.",
        epilog="example: python -m web --data ./var --port 8080",
    )  # fmt: skip
    add_data_option(parser)
    parser.add_argument("--host", help="address to listen on (default: web.host in the settings)")
    parser.add_argument(
        "--port", type=int, help="port (default: $HOURSIGHT_PORT, else web.port in the settings)"
    )
    logs.add_options(parser)
    return parser


if __name__ == "__main__":
    main()
