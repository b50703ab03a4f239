"""How one process of the house asks another for something: a socket in the data folder.

A question is the bytes up to the end of the sending side; the answer is a status in the manner of
HTTP, a line feed and the body. Only who may write the data folder can ask.
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

MAX_QUESTION_BYTES = 16 << 20
STOP_WITHIN_S = 0.05

Answering = Callable[[bytes], tuple[int, bytes]]


class NotRunning(HoursightError):
    """No running system takes calls for this data folder."""

    retryable = True


@contextmanager
def serve_rpc(
    place: Path, answer: Answering, most_bytes: int = MAX_QUESTION_BYTES
) -> Iterator[None]:
    """Answer questions at the socket `place`, each in a thread of its own."""
    place.unlink(missing_ok=True)
    with _address(place) as address, _RpcServer(address, answer, most_bytes) as server:
        stop = threading.Event()
        thread = SupervisedThread(place.stem, partial(server.serve_until, stop), stop).start()
        log.debug("listening at %s", place)
        try:
            yield
        finally:
            stop.set()
            thread.join()
            place.unlink(missing_ok=True)


async def call_rpc(place: Path, question: bytes) -> tuple[int, bytes]:
    """Status and body of the answer; NotRunning when nothing listens at the socket `place`."""
    try:
        with _address(place) as address:
            reader, writer = await asyncio.open_unix_connection(address)
    except OSError as error:
        raise NotRunning(
            f"no running system listens in {place.parent}", "start one with 'hoursight up'"
        ) from error
    try:
        with suppress(ConnectionError):  # it hangs up when it has had enough; it says why
            writer.write(question)
            writer.write_eof()
            await writer.drain()
        whole = await reader.read()
    except ConnectionError:
        whole = b""
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    status, _, body = whole.partition(b"\n")
    if not status:
        raise NotRunning("the system was stopped before it answered", "ask again")
    return int(status), body


class _RpcServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 128
    timeout = STOP_WITHIN_S

    def __init__(self, address: str, answer: Answering, most_bytes: int) -> None:
        self.answer = answer
        self.most_bytes = most_bytes
        super().__init__(address, _RpcHandler)

    def serve_until(self, stop: threading.Event) -> None:
        """Take questions until `stop` is set."""
        while not stop.is_set():
            self.handle_request()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """A question whose answer could not be sent ends nothing else."""
        log.warning("a question was not answered", exc_info=True)

    def server_bind(self) -> None:
        super().server_bind()
        Path(str(self.server_address)).chmod(0o600)  # before it listens, nobody can connect


class _RpcHandler(socketserver.StreamRequestHandler):
    server: _RpcServer

    def handle(self) -> None:
        began = time.perf_counter()
        question = self.rfile.read(self.server.most_bytes + 1)
        if len(question) > self.server.most_bytes:
            status, body = 413, b'{"error":"the question is too large"}'
        else:
            status, body = self._answer(question)
        with suppress(BrokenPipeError):  # whoever asked has gone
            self.wfile.write(b"%d\n" % status + body)
        log.debug(
            "%s answered %d: %d bytes asked, %d answered, %.1f ms",
            threading.current_thread().name, status, len(question), len(body),
            1000 * (time.perf_counter() - began),
        )  # fmt: skip

    def _answer(self, question: bytes) -> tuple[int, bytes]:
        try:
            return self.server.answer(question)
        except Exception:  # whoever asked shall know that it is no fault of theirs
            log.exception("a question could not be answered")
            return 500, b'{"error":"this failed inside Hoursight: its log says where"}'


@contextmanager
def _address(place: Path) -> Iterator[str]:
    """A name of the socket that is short enough, wherever the data folder lies."""
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{place.name}"
    finally:
        os.close(folder)
