"""`hoursight demo`: a simulated fleet and this host, everything on, on one machine."""

import asyncio
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from scripts.supervisor import PROCFILE, Supervisor
from storage.config.api_keys import require_key_if_public
from storage.config.folders import Folders
from storage.config.settings import (
    Settings,
    SimulatorSettings,
    SourceSettings,
    WebSettings,
    read_settings,
    write_settings,
)
from storage.inbox import segment
from storage.query.reader import LakeMissing, LakeUnreadable, QueryFailed, Reader

__all__ = ["PortTaken", "run", "set_scenario", "supervise"]

Print = Callable[[str], None]

PORTS_TRIED = 20

PROGRESS = """
SELECT
    (SELECT count(*) FROM servers) AS servers,
    (SELECT coalesce(sum(rows_committed), 0) FROM segments WHERE table_name = 'metrics') AS samples,
    (
        SELECT count(DISTINCT server) FROM forecasts
        WHERE p50 IS NOT NULL AND issued_at > $now - INTERVAL 1 HOUR AND issued_at <= $now
    ) AS forecast,
    (
        SELECT count(DISTINCT server) FROM forecasts
        WHERE issued_at > $now - INTERVAL 1 HOUR AND issued_at <= $now
    ) AS considered
"""


class PortTaken(Exception):
    """The site's port is in use."""


def run(data: Path, port: int | None, servers: int, scenario: str | None, say: Print) -> None:
    """Start the demo and stay until Ctrl-C; a data folder that is there is gone on with."""
    settings = _settings(data, servers, say)
    if scenario is not None:
        set_scenario(data, scenario)
    supervise(data, settings.web.host, port or _free_port(settings.web), say, quiet=True)


def run_mongodb(data: Path, port: int | None, servers: int, say: Print) -> bool:
    """The demo on a real mongod that somebody else's agent fills; whether all of it arrived.

    Raises MongodMissing.
    """
    from scripts.cli import demo_mongodb

    demo_mongodb.set_up(data, servers, say)
    web = read_settings(data).web
    procfile = demo_mongodb.procfile(data)
    supervise(data, web.host, port or _free_port(web), say, quiet=True, procfile=procfile)
    return demo_mongodb.compare(data, say)


def supervise(
    data: Path, host: str, port: int, say: Print, quiet: bool = False, procfile: Path = PROCFILE
) -> None:
    """Run all processes until they are stopped; the site listens on `port`. Raises PortTaken and
    OpenToAll.

    When `quiet`, what the processes say of their everyday work is not passed on.
    """
    require_key_if_public(Folders.at(data), host)
    if not _is_free(host, port):
        raise PortTaken(f"port {port} of {host} is taken: name a free one with --port")
    environment = {"HOURSIGHT_PORT": str(port)}

    def tell(process: str, line: str) -> None:
        if not (quiet and line.startswith("INFO")):
            say(f"{process:>8} │ {line}")

    async def main() -> None:
        supervisor = Supervisor(Folders.at(data), environment, tell, procfile)
        progress = asyncio.create_task(_tell_progress(data, f"http://{host}:{port}", say))
        await supervisor.run()
        progress.cancel()
        say("Stopped. The data stays; the next start goes on from it.")

    asyncio.run(main())


async def _tell_progress(data: Path, url: str, say: Print) -> None:
    """Say how far the start has got, until the first forecasts stand on the site."""
    say(f"The site: {url}  (Ctrl-C stops everything)")
    began = asyncio.get_running_loop().time()
    told = ""
    while True:
        await asyncio.sleep(0.5)
        done = await asyncio.to_thread(_progress, data)
        line = "{servers} servers, {samples:,} samples, forecasts for {forecast}".format(**done)
        if line != told:
            say(f"   start │ {line}")
            told = line
        if done["considered"] and await asyncio.to_thread(_answers, url):
            seconds = asyncio.get_running_loop().time() - began
            say(f"Ready after {seconds:.0f} s: {url}")
            return


def _progress(data: Path) -> dict[str, int]:
    try:
        reader = Reader.open(data)
    except (LakeMissing, LakeUnreadable):
        return {"servers": 0, "samples": 0, "forecast": 0, "considered": 0}
    try:
        return dict(reader.query(PROGRESS, now=datetime.now(UTC)).to_pylist()[0])
    except QueryFailed:  # the tables are being made
        return {"servers": 0, "samples": 0, "forecast": 0, "considered": 0}
    finally:
        reader.close()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=2) as reply:  # noqa: S310 - our own site
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def set_scenario(data: Path, scenario: str) -> None:
    """Switch what the simulator plays, from now on."""
    now = datetime.now(UTC)
    row = {"ts": now, "scenario": scenario}
    segment.write_row(Folders.at(data).create(), "scenarios", "command", row)


def _settings(data: Path, servers: int, say: Print) -> Settings:
    if not Folders.at(data).settings.exists():
        fleet = SimulatorSettings(enabled=True, servers=servers)
        say(f"New data folder {data}: {servers} simulated servers with 8 days of history.")
        write_settings(data, Settings(sources=SourceSettings(simulator=fleet)))
    return read_settings(data)


def _free_port(web: WebSettings) -> int:
    for port in range(web.port, web.port + PORTS_TRIED):
        if _is_free(web.host, port):
            return port
    raise PortTaken(
        f"ports {web.port} to {web.port + PORTS_TRIED - 1} are taken: name one with --port"
    )


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
