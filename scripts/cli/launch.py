"""`hoursight up` and `demo`: checks and set-up before the processes start, and their output."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TextIO

from scripts.procfile import PROCFILE
from scripts.startup import report_startup
from scripts.supervisor import Supervisor, claim
from scripts.warm_start_report import report_warm_start
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
from storage.config.users import Users
from storage.errors import HoursightError
from storage.inbox import segment
from storage.lake.catalog import lake_location, make_files
from storage.lake.catalog_loss import check_integrity
from storage.platform import logs
from storage.platform.listening import CannotListen, listening_sockets, site_url

__all__ = ["PortTaken", "run", "run_mongodb", "set_scenario", "up"]

Print = Callable[[str], None]

PORTS_TRIED = 20


class PortTaken(HoursightError):
    """The port of the site is in use."""


def run(
    data: Path,
    port: int | None,
    servers: int,
    scenario: str | None,
    say: Print,
    quiet: bool = True,
) -> None:
    """Run the demo until Ctrl-C; an existing data folder is used as it is."""
    with claim(Folders.at(data)) as lock:
        settings = _settings(data, servers, _own_lines(say))
        if scenario is not None:
            set_scenario(data, scenario)
        port = _port(data, settings.web, port, PORTS_TRIED)
        _run(data, settings.web.host, port, say, lock, quiet=quiet)


def run_mongodb(data: Path, port: int | None, servers: int, say: Print, quiet: bool = True) -> bool:
    """Run the demo on a real mongod that a foreign agent fills; return True if no sample was lost.

    Raises MongodMissing.
    """
    from scripts.cli import demo_mongodb

    with claim(Folders.at(data)) as lock:
        demo_mongodb.set_up(data, servers, _own_lines(say))
        web = read_settings(data).web
        procfile = demo_mongodb.procfile(data)
        port = _port(data, web, port, PORTS_TRIED)
        _run(data, web.host, port, say, lock, quiet=quiet, procfile=procfile)
    return demo_mongodb.compare(data, _own_lines(say))


def up(data: Path, port: int | None, say: Print) -> None:
    """Run all processes until they are stopped; the default of `port` is web.port.

    Without a `port` the site follows the settings when they change. Raises AlreadyRunning,
    SettingsError, PortTaken and PublicWithoutKey before anything is started.
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
    """Run the processes; when `quiet`, their lines of level info and debug are not printed.

    Raises CatalogLost before anything is started.
    """
    make_files(lake_location(Folders.at(data)))
    check_integrity(Folders.at(data))
    print_line, say = _line_printer(say, quiet), _own_lines(say)

    async def main() -> None:
        progress = partial(report_startup, data, site_url(host, port), say)
        fixed = {"HOURSIGHT_PORT": str(port)} if port_is_fixed else {}
        environment = fixed | logs.environment()
        parts = {"start": progress, "learn": partial(report_warm_start, data, say)}
        await Supervisor(
            Folders.at(data), environment, print_line, procfile, lock=lock, parts=parts
        ).run()
        say("Stopped. The data stays; the next start goes on from it.")

    asyncio.run(main())


def _line_printer(say: Print, quiet: bool) -> Callable[[str, str], None]:
    """Return what prints a line of a process: with its name in text, as it is in JSON."""
    routine: dict[str, bool] = {}

    def print_line(process: str, line: str) -> None:
        routine[process] = logs.is_routine(line, routine.get(process, False))
        if quiet and routine[process]:
            return
        if not logs.writes_json():
            say(f"{process:>9} │ {line}")
        else:
            whole = logs.is_log_line(line) and line.isprintable()
            say(line if whole else logs.as_json(process, line, "WARNING"))

    return print_line


def _own_lines(say: Print) -> Print:
    """Return `say`, which prints JSON when the log is in JSON."""
    if not logs.writes_json():
        return say
    return lambda line: say(logs.as_json("supervisor", line, "INFO"))


def set_scenario(data: Path, scenario: str) -> None:
    """Switch the scenario of the simulator, from now on."""
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
    """Return the port for the site: the given one, else the first free one of `tries`."""
    folders = Folders.at(data)
    require_key_if_public(folders, web.host, web.knows_people or bool(Users(folders).known()))
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
        for each in listening_sockets(host, port):
            each.close()
    except CannotListen as error:
        if error.is_taken:
            return False
        raise SettingsError(
            f"web.host is {host!r} with port {port}, where this machine cannot listen: "
            f"{error.message}: {error.remedy}"
        ) from error
    return True
