"""`hoursight demo --mongodb`: a foreign monitoring system, of which only the database is readable.

A real mongod contains the samples of a foreign agent, with its own field names. Hoursight reads it
with a read-only user. When the mongod is killed, it is restarted after two minutes. At the end its
samples are compared with those of the lake.
"""

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from pymongo.errors import PyMongoError

from functions.connectors.simulator import sample_times
from functions.engine.caller import FunctionCaller
from functions.simulator.simulated_fleet import SimulatedServer, make_fleet
from functions.simulator.simulated_series import simulate
from scripts.cli import printer
from scripts.mongod import DATABASE, READER, Mongod, mongod_path
from scripts.procfile import PROCFILE
from storage.config.folders import Folders, default_data
from storage.config.process_setup import configured
from storage.config.settings import (
    Settings,
    SimulatorSettings,
    SourceSettings,
    read_settings,
    write_settings,
)
from storage.lake.writer import Writer
from storage.model.metrics import METRIC_NAMES
from storage.platform import logs
from storage.platform.process import stop_on_signals
from storage.query.reader import Reader

__all__ = ["compare", "procfile", "set_up"]

Say = Callable[[str], None]

COLLECTION, SOURCE = "agent_samples", "fleet"
HISTORY = timedelta(days=6)  # raw samples stay for 7
OUTAGE_S = 120.0
EVERY_S = 5.0
RAM_BYTES = 64 << 30

SOURCE_FILE = """\
# Made by 'hoursight demo --mongodb': the database of a foreign monitoring system.
kind = "mongodb"
every = "5s"
history = "8d"

[connection]
database = "{database}"
collection = "{collection}"
port = {port}
user = "{user}"
password_file = "{password}"
direct = true
timeout = "2s"

[mapping]
stock = "none"

[mapping.time]
field = "taken"

[mapping.server]
field = "asset.fqdn"

[mapping.site]
field = "asset.dc"

[mapping.profile]
field = "asset.duty"

[mapping.cores]
field = "asset.cores"

[mapping.metrics]
cpu_user_pct = {{ field = "cpu.usr", unit = "fraction" }}
cpu_sys_pct = {{ field = "cpu.krn", unit = "fraction" }}
cpu_iowait_pct = {{ field = "cpu.wio", unit = "fraction" }}
cpu_idle_pct = {{ field = "cpu.idl", unit = "fraction" }}
java_cpu_pct = {{ field = "jvm_cpu", unit = "core_percent" }}
mem_used_pct = {{ field = "ram.used", of = "ram.all" }}
swap_used_pct = {{ field = "swp" }}
disk_usage_pct = {{ field = "vols[].fill", take = "max" }}
net_in_mb_s = {{ field = "nic.rx_mbit", unit = "mbit_s" }}
net_out_mb_s = {{ field = "nic.tx_mbit", unit = "mbit_s" }}
back_close_wait = {{ field = "tcp.cw_back" }}
front_close_wait = {{ field = "tcp.cw_front" }}
load_average = {{ field = "load[0]" }}
uptime_days = {{ field = "up_ms", unit = "ms" }}
"""


def set_up(data: Path, servers: int, say: Say) -> None:
    """Write the settings of the data folder, and print where things are. Raises MongodMissing."""
    binary, folders = mongod_path(), Folders.at(data).create()
    if not folders.settings.exists():
        fleet = SimulatorSettings(enabled=False, servers=servers)
        write_settings(data, Settings(sources=SourceSettings(simulator=fleet)))
    port = _server(folders).port
    say(f"MongoDB: {binary} on port {port}, collection {DATABASE}.{COLLECTION}.")
    say(f"The mapping: {_source_file(folders)}")


def procfile(data: Path) -> Path:
    """Write and return a Procfile with one more process: the foreign system."""
    path = Folders.at(data).data / "mongodb" / "Procfile"
    mongodb = 'mongodb: exec "${PYTHON:-python}" -P -m scripts.cli.demo_mongodb\n'
    path.write_text(PROCFILE.read_text() + mongodb)
    return path


def compare(data: Path, say: Say) -> bool:
    """Fetch the rest, and compare the lake with MongoDB; return True if nothing is missing."""
    folders = Folders.at(data)
    server = _server(folders)
    server.start()
    try:
        _fetch_rest(data)
        with server.admin() as client:
            # One document for each server and time.
            stored: int = client[DATABASE][COLLECTION].count_documents({})
    finally:
        server.stop()
    with closing(Reader.open(data)) as reader:
        rows = reader.query(
            "SELECT count(*) AS n, count(DISTINCT (server, ts)) AS different FROM metrics "
            "WHERE source = $source",
            source=SOURCE,
        ).to_pylist()[0]
    lost, doubled = stored - rows["different"], rows["n"] - rows["different"]
    say(
        f"MongoDB has {stored:,} samples, the lake {rows['n']:,} of them: {lost} lost, "
        f"{doubled} doubled."
    )
    return bool(lost == doubled == 0)


def _fetch_rest(data: Path) -> None:
    caller, writer = FunctionCaller.at(data), Writer.open(data)
    try:
        while True:
            run = caller.call(SOURCE)
            while writer.commit_waiting(datetime.now(UTC)).segments:
                pass
            if not run.batch.more:
                return
    finally:
        writer.close()


def main() -> None:
    """Run the foreign system: its database, and an agent that writes into it until a signal."""
    logs.configure("mongodb")
    stop = stop_on_signals()
    data = default_data()
    with configured():
        settings = read_settings(data).sources.simulator
    fleet = make_fleet(settings.servers, settings.seed)
    server = _server(Folders.at(data))
    fresh = not (server.folder / "made").exists()
    server.start()
    if fresh:
        server.set_up()
        (server.folder / "made").touch()
    _write_source(Folders.at(data), server)
    while not stop.is_set():
        _say(f"mongod is process {server.pid}: killed, it restarts after {OUTAGE_S:.0f} s")
        _write_until_it_dies(server, fleet, settings.seed, stop)
        if not stop.is_set():
            _say(f"mongod has ended; it restarts in {OUTAGE_S:.0f} s")
            stop.wait(OUTAGE_S)
            server.start()
    server.stop()


def _write_until_it_dies(
    server: Mongod, fleet: Sequence[SimulatedServer], seed: int, stop: threading.Event
) -> None:
    with server.admin() as client:
        collection = client[DATABASE][COLLECTION]
        try:
            collection.create_index("taken")
            while server.pid is not None and not stop.is_set():
                for documents in _new_documents(collection, fleet, seed):
                    collection.insert_many(documents)
                stop.wait(EVERY_S)
        except PyMongoError as error:
            _say(f"the agent cannot write: {type(error).__name__}")


def _new_documents(
    collection: Any, fleet: Sequence[SimulatedServer], seed: int
) -> Iterator[list[dict[str, Any]]]:
    """Yield the documents that are not written yet, in the order of time."""
    now = datetime.now(UTC)
    last = collection.find_one(sort=[("taken", -1)])
    since = last["taken"] - timedelta(seconds=1) if last else now - HISTORY
    # mongod may have ended between two documents of the same time.
    there = (
        {d["_id"] for d in collection.find({"taken": last["taken"]}, {"_id": 1})} if last else ()
    )
    seconds = sample_times(int(since.timestamp()), int(now.timestamp()), len(fleet))
    for piece in np.array_split(seconds, max(1, len(seconds) // 200)):
        values = simulate(fleet, piece, [], seed)  # [servers, times, metrics]
        documents = (
            _document(s, datetime.fromtimestamp(int(second), UTC), values[j, i])
            for i, second in enumerate(piece)
            for j, s in enumerate(fleet)
        )
        missing = [d for d in documents if d["_id"] not in there]
        if missing:
            yield missing


def _document(server: SimulatedServer, taken: datetime, values: Any) -> dict[str, Any]:
    """Return a sample as the foreign agent writes it, with its own names and units."""
    of = dict(zip(METRIC_NAMES, map(float, values), strict=True))
    return {
        "_id": f"{server.name}@{taken.timestamp():.0f}",
        "taken": taken,
        "asset": {
            "fqdn": server.name, "dc": server.site, "duty": server.profile, "cores": server.cores,
        },
        "cpu": {
            "usr": of["cpu_user_pct"] / 100, "krn": of["cpu_sys_pct"] / 100,
            "wio": of["cpu_iowait_pct"] / 100, "idl": of["cpu_idle_pct"] / 100,
        },
        "jvm_cpu": of["java_cpu_pct"] * server.cores,
        "ram": {"used": of["mem_used_pct"] / 100 * RAM_BYTES, "all": float(RAM_BYTES)},
        "swp": of["swap_used_pct"],
        "vols": [
            {"mount": "/", "fill": f"{of['disk_usage_pct'] / 2:.2f}% /"},
            {"mount": "/data", "fill": f"{of['disk_usage_pct']:.2f}% /data"},
        ],
        "nic": {"rx_mbit": of["net_in_mb_s"] * 8, "tx_mbit": of["net_out_mb_s"] * 8},
        "tcp": {"cw_back": of["back_close_wait"], "cw_front": of["front_close_wait"]},
        "load": [of["load_average"]],
        "up_ms": of["uptime_days"] * 86_400_000,
    }  # fmt: skip


def _server(folders: Folders) -> Mongod:
    """Return the mongod of the demo, which has the same port each time."""
    folder = folders.data / "mongodb"
    folder.mkdir(parents=True, exist_ok=True)
    password, port = _password_file(folders), folder / "port"
    if not password.exists():
        password.touch(0o600)
        password.write_text(secrets.token_urlsafe(24))
    server = Mongod(
        folder, password.read_text(), port=int(port.read_text()) if port.exists() else None
    )
    port.write_text(str(server.port))
    return server


def _write_source(folders: Folders, server: Mongod) -> None:
    """Write the source file, now that the collection can be read."""
    target = _source_file(folders)
    target.parent.mkdir(exist_ok=True)
    target.write_text(
        SOURCE_FILE.format(
            database=DATABASE, collection=COLLECTION, port=server.port, user=READER,
            password=_password_file(folders).absolute(),
        )
    )  # fmt: skip


def _source_file(folders: Folders) -> Path:
    return folders.data / "sources" / f"{SOURCE}.toml"


def _password_file(folders: Folders) -> Path:
    return folders.data / "mongodb" / "password"


def _say(line: str) -> None:
    printer.say(line, err=True)


if __name__ == "__main__":
    main()
