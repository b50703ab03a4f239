"""RPC between processes over a Unix socket in the data folder.

A request is all bytes until the client shuts down its sending side. The response is an HTTP status
code, a line feed and the body. Only users who may write to the data folder can connect.
"""

import asyncio
import logging
import os
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from storage.errors import HoursightError
from storage.platform.threads import SupervisedThread

__all__ = ["NotRunning", "call_rpc", "serve_rpc"]

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 16 << 20
STOP_WITHIN_S = 0.05
# A peer that neither sends nor reads for so long is given up; it holds a thread.
STALLED_S = 30.0

Handler = Callable[[bytes], tuple[int, bytes]]


class NotRunning(HoursightError):
    """No process serves RPC for this data folder."""

    retryable = True


@contextmanager
def serve_rpc(
    socket_path: Path, handler: Handler, max_bytes: int = MAX_REQUEST_BYTES
) -> Iterator[None]:
    """Serve RPC at `socket_path` for the duration of the context, one thread for each request.

    `handler` returns status and body; an exception in it becomes status 500.
    """
    socket_path.unlink(missing_ok=True)
    with _address(socket_path) as address, _RpcServer(address, handler, max_bytes) as server:
        stop = threading.Event()
        thread = SupervisedThread(socket_path.stem, partial(server.serve_until, stop), stop).start()
        log.debug("listening at %s", socket_path)
        try:
            yield
        finally:
            stop.set()
            thread.join()
            socket_path.unlink(missing_ok=True)


async def call_rpc(socket_path: Path, request: bytes) -> tuple[int, bytes]:
    """Send `request` and return status and body; raises NotRunning if nothing listens there."""
    try:
        with _address(socket_path) as address:
            reader, writer = await asyncio.open_unix_connection(address)
    except OSError as error:
        raise NotRunning(
            f"no running system listens in {socket_path.parent}", "start one with 'hoursight up'"
        ) from error
    try:
        with suppress(ConnectionError):  # a server that rejects a large request responds at once
            writer.write(request)
            writer.write_eof()
            await writer.drain()
        response = await reader.read()
    except ConnectionError:
        response = b""
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    status, _, body = response.partition(b"\n")
    if not status:
        raise NotRunning("the system was stopped before it responded", "try again")
    return int(status), body


class _RpcServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 128
    timeout = STOP_WITHIN_S

    def __init__(self, address: str, handler: Handler, max_bytes: int) -> None:
        self.handler = handler
        self.max_bytes = max_bytes
        super().__init__(address, _RpcHandler)

    def serve_until(self, stop: threading.Event) -> None:
        """Serve requests until `stop` is set."""
        while not stop.is_set():
            self.handle_request()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Log a request that failed; the server continues."""
        log.warning("an RPC request failed", exc_info=True)

    def server_bind(self) -> None:
        super().server_bind()
        Path(str(self.server_address)).chmod(0o600)  # before the server listens


class _RpcHandler(socketserver.StreamRequestHandler):
    server: _RpcServer

    def setup(self) -> None:
        self.request.settimeout(STALLED_S)
        super().setup()

    def handle(self) -> None:
        try:
            self._handle()
        except TimeoutError:
            log.warning("%s: a peer stalled", threading.current_thread().name)

    def _handle(self) -> None:
        began = time.perf_counter()
        request = self.rfile.read(self.server.max_bytes + 1)
        if len(request) > self.server.max_bytes:
            status, body = 413, b'{"error":"the request is too large"}'
        else:
            status, body = self._answer(request)
        with suppress(BrokenPipeError):  # the client has gone
            self.wfile.write(b"%d\n" % status + body)
        log.debug(
            "%s: status %d, request %d bytes, response %d bytes, %.1f ms",
            threading.current_thread().name, status, len(request), len(body),
            1000 * (time.perf_counter() - began),
        )  # fmt: skip

    def _answer(self, request: bytes) -> tuple[int, bytes]:
        try:
            return self.server.handler(request)
        except Exception:  # a handler runs users' functions; the client gets a response in any case
            log.exception("an RPC handler failed")
            return 500, b'{"error":"this failed inside Hoursight: see its log"}'


@contextmanager
def _address(socket_path: Path) -> Iterator[str]:
    """An address of the socket that fits the limit of 108 bytes, wherever the data folder is."""
    folder = os.open(socket_path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{socket_path.name}"
    finally:
        os.close(folder)
