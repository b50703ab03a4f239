"""`hoursight up` and `hoursight demo`: what is checked and set up before the processes start."""

import asyncio
import errno
import io
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TextIO

from scripts.procfile import PROCFILE
from scripts.startup import report_startup
from scripts.supervisor import Supervisor, claim
from storage.config.api_keys import require_key_if_public
from storage.config.folders import Folders
from storage.config.settings import (
    Settings,
    SettingsError,
    SimulatorSettings,
    SourceSettings,
    WebSettings,
    read_settings,
    write_settings,
)
from storage.errors import HoursightError
from storage.inbox import segment
from storage.lake.catalog import lake_location, make_files
from storage.platform import logs

__all__ = ["PortTaken", "run", "run_mongodb", "set_scenario", "up"]

Print = Callable[[str], None]

PORTS_TRIED = 20


class PortTaken(HoursightError):
    """The site's port is in use."""


def run(
    data: Path,
    port: int | None,
    servers: int,
    scenario: str | None,
    say: Print,
    quiet: bool = True,
) -> None:
    """Start the demo and stay until Ctrl-C; a data folder that is there is gone on with."""
    with claim(Folders.at(data)) as lock:
        settings = _settings(data, servers, _own_words(say))
        if scenario is not None:
            set_scenario(data, scenario)
        port = _port(data, settings.web, port, PORTS_TRIED)
        _run(data, settings.web.host, port, say, lock, quiet=quiet)


def run_mongodb(data: Path, port: int | None, servers: int, say: Print, quiet: bool = True) -> bool:
    """The demo on a real mongod that somebody else's agent fills; whether all of it arrived.

    Raises MongodMissing.
    """
    from scripts.cli import demo_mongodb

    with claim(Folders.at(data)) as lock:
        demo_mongodb.set_up(data, servers, _own_words(say))
        web = read_settings(data).web
        procfile = demo_mongodb.procfile(data)
        port = _port(data, web, port, PORTS_TRIED)
        _run(data, web.host, port, say, lock, quiet=quiet, procfile=procfile)
    return demo_mongodb.compare(data, _own_words(say))


def up(data: Path, port: int | None, say: Print) -> None:
    """Run all processes until they are stopped; the site listens on `port`, else as is set.

    Without a `port` the site follows the settings when they change. Raises AlreadyRunning,
    SettingsError, PortTaken and OpenToAll before anything is started.
    """
    with claim(Folders.at(data)) as lock:
        web = read_settings(data).web
        listens_on = _port(data, web, port, 1)
        _run(data, web.host, listens_on, say, lock, port_is_fixed=port is not None)


def _run(
    data: Path,
    host: str,
    port: int,
    say: Print,
    lock: TextIO,
    *,
    quiet: bool = False,
    procfile: Path = PROCFILE,
    port_is_fixed: bool = True,
) -> None:
    """Run the processes; when `quiet`, what they say of their everyday work is not passed on."""
    make_files(lake_location(Folders.at(data)))
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may lack a character
        sys.stdout.reconfigure(errors="backslashreplace")
    tell, say = _teller(say, quiet), _own_words(say)

    async def main() -> None:
        progress = partial(report_startup, data, f"http://{host}:{port}", say)
        fixed = {"HOURSIGHT_PORT": str(port)} if port_is_fixed else {}
        environment = fixed | logs.environment()
        parts = {"start": progress}
        await Supervisor(
            Folders.at(data), environment, tell, procfile, lock=lock, parts=parts
        ).run()
        say("Stopped. The data stays; the next start goes on from it.")

    asyncio.run(main())


def _teller(say: Print, quiet: bool) -> Callable[[str, str], None]:
    """What passes on the lines of processes: as they are in JSON, with their process in text."""
    routine: dict[str, bool] = {}

    def tell(process: str, line: str) -> None:
        routine[process] = logs.is_routine(line, routine.get(process, False))
        if quiet and routine[process]:
            return
        if not logs.writes_json():
            say(f"{process:>9} │ {line}")
        else:
            say(line if logs.is_log_line(line) else logs.as_json(process, line, "WARNING"))

    return tell


def _own_words(say: Print) -> Print:
    """`say`, or the same as JSON when the log is in JSON."""
    if not logs.writes_json():
        return say
    return lambda line: say(logs.as_json("supervisor", line, "INFO"))


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


def _port(data: Path, web: WebSettings, named: int | None, tries: int) -> int:
    """The port for the site: the one that was named, else the first free one of `tries`."""
    require_key_if_public(Folders.at(data), web.host)
    first = named or web.port
    last = first if named else first + tries - 1
    for port in range(first, last + 1):
        if _is_free(web.host, port):
            return port
    if first == last:
        raise PortTaken(f"port {first} of {web.host} is taken: name a free one with --port")
    raise PortTaken(f"ports {first} to {last} are taken: name one with --port")


def _is_free(host: str, port: int) -> bool:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            return False
        raise SettingsError(
            f"web.host is {host!r} with port {port}, where this machine cannot listen "
            f"({error}): set web.host to an address of this machine, such as "
            "'127.0.0.1', and name a port that this user may use"
        ) from error
    return True
