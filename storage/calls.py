"""How one process of the house asks another to run a function: a socket in the data folder.

A question is the bytes up to the end of the sending side; the answer is a status in the manner of
HTTP, a line feed and the body. Only who may write the data folder can ask.
"""

import asyncio
import os
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from storage.folders import Folders

__all__ = ["NobodyThere", "answering", "ask"]

MAX_QUESTION_BYTES = 16 << 20

Answering = Callable[[bytes], tuple[int, bytes]]


class NobodyThere(Exception):
    """No running system takes calls for this data folder."""


@contextmanager
def answering(folders: Folders, answer: Answering) -> Iterator[None]:
    """Answer questions, each in a thread of its own, while the context lasts."""
    folders.calls.unlink(missing_ok=True)
    with _address(folders) as address, _Server(address, answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True, name="calls")
        thread.start()
        yield
        server.shutdown()
        thread.join()
    folders.calls.unlink(missing_ok=True)


async def ask(data: Path, question: bytes) -> tuple[int, bytes]:
    """Status and body of the answer; NobodyThere when nothing listens."""
    with _address(Folders.at(data)) as address:
        try:
            reader, writer = await asyncio.open_unix_connection(address)
        except OSError as error:
            raise NobodyThere(
                f"no running system takes calls in {data}: start one with 'hoursight up'"
            ) from error
    try:
        writer.write(question)
        writer.write_eof()
        whole = await reader.read()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    status, _, body = whole.partition(b"\n")
    if not status:
        raise NobodyThere("the system was stopped before it answered: ask again")
    return int(status), body


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, address: str, answer: Answering) -> None:
        self.answer = answer
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        super().server_bind()
        Path(str(self.server_address)).chmod(0o600)  # before it listens, nobody can connect


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        question = self.rfile.read(MAX_QUESTION_BYTES + 1)
        if len(question) > MAX_QUESTION_BYTES:
            status, body = 413, b'{"error":"the question is too large"}'
        else:
            status, body = self.server.answer(question)
        with suppress(BrokenPipeError):  # whoever asked has gone
            self.wfile.write(b"%d\n" % status + body)


@contextmanager
def _address(folders: Folders) -> Iterator[str]:
    """A name of the socket that is short enough, wherever the data folder lies."""
    folder = os.open(folders.data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{folders.calls.name}"
    finally:
        os.close(folder)
