"""Peer: PostgreSQL in a cluster of its own, with its default settings."""

import io
import os
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv

from scripts.ports import free_port
from scripts.tools.bench.peers.peer import PeerMissing, PeerServer, readings_of
from scripts.tools.bench.peers.tsbs_workload import FIELDS, Span, TsbsQuery

LAST = """
SELECT DISTINCT ON (server) server, ts, {fields} FROM cpu
WHERE ts >= {since} AND ts < {until} ORDER BY server, ts DESC
"""


class Postgres:
    """One table with an index by server and time; COPY in, psycopg out."""

    name = "PostgreSQL"

    def __init__(self, folder: Path) -> None:
        binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        if not binaries:
            raise PeerMissing("apt-get install postgresql")
        try:
            psycopg = import_module("psycopg")
        except ImportError as error:
            raise PeerMissing("pip install 'psycopg[binary]'") from error
        folder.mkdir()
        user = "postgres" if os.getuid() == 0 else None  # the server refuses to be root
        if user:
            shutil.chown(folder, user)
        port, here = free_port(), folder / "db"
        init: list[str | Path] = [binaries[-1] / "initdb", "-D", here, "-A", "trust", "-U", "bench"]
        subprocess.run(init, user=user, check=True, stdout=subprocess.DEVNULL, cwd="/")
        command: list[str | Path] = [
            binaries[-1] / "postgres", "-D", here, "-p", str(port),
            "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}",
        ]  # fmt: skip
        self._server = PeerServer(command, folder / "log", user)
        ready = [str(binaries[-1] / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        self._server.wait(lambda: subprocess.run(ready, check=False).returncode == 0)
        place = f"host=127.0.0.1 port={port} user=bench dbname=postgres"
        self._connection = psycopg.connect(place, autocommit=True)
        self._connection.execute("SET TimeZone = 'UTC'")
        self.version = str(self._connection.info.parameter_status("server_version"))

    def load(self, rows: pa.Table) -> None:
        fields = ", ".join(f"{f} real" for f in FIELDS)
        self._connection.execute(f"CREATE TABLE cpu (server text, ts timestamptz, {fields})")
        text = io.BytesIO()
        csv.write_csv(rows, text, csv.WriteOptions(include_header=False))
        with self._connection.cursor().copy("COPY cpu FROM STDIN (FORMAT csv)") as copy:
            copy.write(text.getvalue())
        self._connection.execute("CREATE INDEX ON cpu (server, ts DESC)")
        self._connection.execute("CREATE INDEX ON cpu (ts DESC)")

    def compact(self) -> None:
        self._connection.execute("VACUUM ANALYZE cpu")

    def stored_bytes(self) -> int:
        row = self._connection.execute("SELECT pg_total_relation_size('cpu')").fetchone()
        return int(row[0]) if row else 0

    def query(self, query: TsbsQuery, span: Span) -> list[float]:
        last = span.last(query.hours)
        text = LAST if query.name == "lastpoint" else query.sql
        sql = text.format(
            table="cpu", last="", fields=", ".join(FIELDS),
            since=f"'{last.since.isoformat()}'", until=f"'{last.until.isoformat()}'",
        )  # fmt: skip
        answer = self._connection.execute(sql)
        return readings_of([column.name for column in answer.description], answer.fetchall())

    def close(self) -> None:
        self._connection.close()
        self._server.close()
