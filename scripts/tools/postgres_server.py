"""A PostgreSQL server for tests: it can be killed, is restarted, and can be cut off at a COMMIT."""

import os
import select
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from scripts.ports import free_port
from scripts.python_process import module_command, module_environment

__all__ = ["Cluster", "Proxy", "kill_server", "missing"]

START_S = 20.0
CHUNK_BYTES = 1 << 16


def _binaries() -> Path | None:
    """Return the folder of initdb, which distributions keep out of PATH."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    initdb = str(installed[0]) if installed else shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


def missing() -> str | None:
    """Return why there is no server on this machine, with the remedy; None when there is one."""
    if _binaries() is None:
        return "PostgreSQL is not installed: apt-get install postgresql"
    return None


def kill_server(pid: int) -> None:
    """Send SIGKILL to a server and all its processes, as when its host loses power."""
    with suppress(psutil.NoSuchProcess):
        processes = [psutil.Process(pid)]
        processes[0].suspend()  # it must not start others meanwhile
        processes += processes[0].children(recursive=True)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes[1:], timeout=START_S)


class Cluster:
    """One server in a temporary folder, run by an unprivileged user and restarted when it died."""

    def __init__(self) -> None:
        binaries = _binaries()
        assert binaries is not None, missing()
        self._bin = binaries
        self._folder = Path(tempfile.mkdtemp(prefix="hoursight-postgres-"))
        self._user = "postgres" if os.getuid() == 0 else None  # the server refuses to be root
        if self._user:
            shutil.chown(self._folder, self._user)
        self.port = free_port()
        self._run("initdb", "-D", str(self._folder / "db"), "-A", "trust", "-U", "hoursight", "-N")
        self._stopping, self._down = threading.Event(), threading.Event()
        self._start()
        self._restarter = threading.Thread(target=self._restart_when_dead)
        self._restarter.start()

    @property
    def pid(self) -> int:
        """The process id of the server's first process."""
        return self._server.pid

    def create(self, database: str, like: str = "template1") -> None:
        """Create a database, as a copy of `like`."""
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "hoursight")
        self._run("createdb", *where, "-T", like, database)

    def await_ready(self) -> None:
        """Wait until it answers. Raises RuntimeError with its log when it does not."""
        give_up = time.monotonic() + START_S
        while not self._ready():
            if time.monotonic() > give_up:
                raise RuntimeError((self._folder / "log").read_text())
            time.sleep(0.01)

    def take_down(self) -> None:
        """Kill the server; it stays down until `bring_up`."""
        self._down.set()
        kill_server(self.pid)
        self._server.wait()

    def bring_up(self) -> None:
        """Start the server again; returns when it answers."""
        self._down.clear()
        give_up = time.monotonic() + START_S
        while self._server.poll() is not None and time.monotonic() < give_up:
            time.sleep(0.01)  # the restarter starts it
        self.await_ready()

    def close(self) -> None:
        """Stop the server and remove its folder."""
        self._stopping.set()
        self._restarter.join()
        kill_server(self.pid)
        self._server.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        settings = {
            "port": self.port, "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self._folder,
            "fsync": "off",  # processes are killed here, and not the machine
            "max_connections": 50, "shared_buffers": "16MB",
        }  # fmt: skip
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._bin / "postgres", "-D", self._folder / "db", *options],
                user=self._user, stdout=log, stderr=log, cwd="/", start_new_session=True,
            )  # fmt: skip
        self.await_ready()

    def _ready(self) -> bool:
        probe = [str(self._bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(probe, check=False).returncode == 0

    def _restart_when_dead(self) -> None:
        while not self._stopping.wait(0.01):
            if self._server.poll() is not None and not self._down.is_set():
                self._start()

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._bin / program, *arguments],
            user=self._user, cwd="/", check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip


class Proxy:
    """A proxy between DuckLake and the server that, once armed, cuts off the next writing COMMIT.

    `sent`: the server is killed before it receives the COMMIT. `done`: it is killed after the
    COMMIT, before the reply gets through. `cut`: it stays alive, and only the reply is lost. The
    proxy is a process of its own, because DuckDB may wait for a reply with the GIL held.
    """

    MODES = ("sent", "done", "cut")

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._process = subprocess.Popen(
            module_command("scripts.tools.postgres_server", str(cluster.port)),
            env=module_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.port = self._ask("port")

    def arm(self, mode: str) -> None:
        """Cut off the next COMMIT of a transaction that makes a snapshot."""
        self._ask(f"{mode} {self.cluster.pid}")

    def triggered(self) -> bool:
        """Return True if a COMMIT was cut off since `arm`."""
        return self._ask("triggered") == 1

    def close(self) -> None:
        """End the proxy and its connections."""
        self._process.communicate()

    def _ask(self, line: str) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(line, file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())


class _ProxyServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, far_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Link)
        self.far = ("127.0.0.1", far_port)
        self.mode: str | None = None
        self.server_pid = 0

    def answer(self, line: str) -> int:
        """Execute a command that `Proxy` has sent, and return its result."""
        match line.split():
            case ["port"]:
                return int(self.server_address[1])
            case ["triggered"]:
                return int(self.mode is None)
            case [mode, pid]:
                self.mode, self.server_pid = mode, int(pid)
        return 0


class _Link(socketserver.BaseRequestHandler):
    """One client's connection."""

    server: _ProxyServer

    def handle(self) -> None:
        with suppress(OSError), socket.create_connection(self.server.far) as far:
            self._pass_on(self.request, far)

    def _pass_on(self, near: socket.socket, far: socket.socket) -> None:
        writing = cut_off = False
        while True:
            for ready in select.select([near, far], [], [])[0]:
                data = ready.recv(CHUNK_BYTES)
                if not data:
                    return None
                if ready is near:
                    begins = b"BEGIN" in data
                    writing = b"ducklake_snapshot VALUES" in data or (writing and not begins)
                    cut_off = writing and self.server.mode is not None and b"COMMIT" in data
                    if cut_off and self.server.mode == "sent":
                        return self._cut_off()
                    far.sendall(data)
                elif cut_off and b"COMMIT\0" in data:
                    return self._cut_off()
                else:
                    near.sendall(data)

    def _cut_off(self) -> None:
        if self.server.mode != "cut":
            kill_server(self.server.server_pid)
        self.server.mode = None


def _serve(far_port: int) -> None:
    server = _ProxyServer(far_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for line in sys.stdin:
        print(server.answer(line), flush=True)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
