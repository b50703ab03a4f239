"""Play all attacks against a running instance, and measure the site before and during them.

    python -m scripts.tools.attacks
    python -m scripts.tools.attacks --only flood --keep

Starts Hoursight with `hoursight up` in a folder of its own. Exits with 1 when an attack was not
held.
"""

import http.client
import importlib
import pkgutil
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles

import click

from scripts.cli.output import print_grid
from scripts.ports import free_port
from scripts.python_process import module_environment
from scripts.tools import attacks
from scripts.tools.attacks.attack import Answer, Attack, Instance
from storage.config.api_keys import SCOPES, create_key
from storage.config.folders import Folders
from storage.config.settings import Settings, SimulatorSettings, SourceSettings, write_settings

__all__ = ["Probe", "known_attacks", "running"]

START_PATIENCE_S, STOP_PATIENCE_S = 120.0, 60.0
QUIET_S = 10.0
PROBE_EVERY_S = 0.1
SERVERS = 50
SOURCE = 'kind = "files"\nevery = "1s"\n\n[connection]\nfolder = "{folder}"\nsettle = "1s"\n'


class Probe:
    """Asks for the fleet page ten times a second, with a key, in a thread of its own."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probe")
        self.took_s: list[float] = []
        self.failures: list[str] = []

    def __enter__(self) -> "Probe":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    @property
    def p95_ms(self) -> float:
        """95th percentile of the answers' time [ms]; NaN with fewer than two answers."""
        return 1000 * quantiles(self.took_s, n=20)[-1] if len(self.took_s) > 1 else float("nan")

    def _run(self) -> None:
        headers = {"X-API-Key": self._instance.keys["read"]}
        while not self._stopped.wait(PROBE_EVERY_S):
            began = time.perf_counter()
            try:
                status, _ = self._instance.request("GET", "/", headers=headers)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(type(error).__name__)
                continue
            self.took_s.append(time.perf_counter() - began)
            if status != 200:
                self.failures.append(str(status))


def known_attacks(only: str = "") -> Iterator[Attack]:
    """The attacks of each module of the package, or of the one named `only`."""
    for module in pkgutil.iter_modules(attacks.__path__):
        if only in ("", module.name):
            found = importlib.import_module(f"{attacks.__name__}.{module.name}")
            yield from getattr(found, "ATTACKS", ())


@contextmanager
def running(folder: Path) -> Iterator[Instance]:
    """A started Hoursight with keys, a simulated fleet and a watched folder."""
    folders = Folders.at(folder / "var").create()
    simulator = SimulatorSettings(enabled=True, servers=SERVERS, history_days=0.1)
    write_settings(folders.data, Settings(sources=SourceSettings(simulator=simulator)))
    watched = folder / "watched"
    watched.mkdir()
    folders.sources.mkdir()
    (folders.sources / "reports.toml").write_text(SOURCE.format(folder=watched))
    now, port = datetime.now(UTC), free_port()
    keys = {scope: create_key(folders, scope, [scope], now) for scope in SCOPES}
    command = [sys.executable, "-m", "hoursight", "up", "--data", str(folders.data)]
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)], env=module_environment(),
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    instance = Instance(url, folders, keys, watched, process.pid)
    try:
        _wait_until_ready(instance, process)
        yield instance
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_PATIENCE_S)


def _wait_until_ready(instance: Instance, process: "subprocess.Popen[bytes]") -> None:
    give_up = time.monotonic() + START_PATIENCE_S
    while process.poll() is None and time.monotonic() < give_up:
        with suppress(OSError, http.client.HTTPException):
            if instance.request("GET", "/readyz")[0] == 200:
                return
        time.sleep(0.5)
    raise click.ClickException("Hoursight is not ready: see up.log")


def _play(instance: Instance, attack: Attack) -> tuple[Answer, float]:
    began = time.perf_counter()
    try:
        answer = attack.play(instance)
    except (OSError, http.client.HTTPException) as error:
        answer = Answer(f"no answer: {type(error).__name__}: {error}", held=False)
    return answer, time.perf_counter() - began


def _play_all(instance: Instance, chosen: list[Attack]) -> int:
    """Play them in turn, print what each saw, and return how many were not held."""
    with Probe(instance) as before:
        time.sleep(QUIET_S)
    rows, not_held = [], 0
    with Probe(instance) as during:
        for attack in chosen:
            click.echo(f"{attack.door}: {attack.name} …", err=True)
            answer, took_s = _play(instance, attack)
            not_held += not answer.held
            held = "held" if answer.held else "NOT HELD"
            rows.append([attack.name, attack.door, held, f"{took_s:.1f} s", answer.text])
    print_grid(["attack", "door", "", "took", "answer"], rows)
    click.echo(
        f"{len(chosen)} attacks, {not_held} not held; site p95 {before.p95_ms:.0f} ms before, "
        f"{during.p95_ms:.0f} ms during ({len(during.took_s)} requests, "
        f"{len(during.failures)} failed: {', '.join(sorted(set(during.failures))) or 'none'})"
    )
    return not_held


@click.command()
@click.option("--only", default="", help="The module whose attacks are played.")
@click.option("--keep", is_flag=True, help="Leave the folder and its log.")
def main(only: str, keep: bool) -> None:
    """Play the attacks, and say which were held."""
    chosen = list(known_attacks(only))
    if not chosen:
        raise click.ClickException(f"no attacks are known by {only!r}")
    folder = Path(tempfile.mkdtemp(prefix="hoursight-attacks-"))
    try:
        with running(folder) as instance:
            not_held = _play_all(instance, chosen)
    finally:
        if keep:
            click.echo(f"everything is in {folder}", err=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if not_held else 0)


if __name__ == "__main__":
    main()
