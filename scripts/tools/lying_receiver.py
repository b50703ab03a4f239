"""Lying receiver: a webhook's receiver that answers 500, then takes a message and says nothing.

It keeps each message that it took once, by its Idempotency-Key, as a faithful receiver does.
"""

import itertools
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["LyingReceiver", "lying_receiver"]

FAIL, SILENT, ANSWER = "fail", "silent", "answer"
MANNERS = (ANSWER, FAIL, SILENT, ANSWER, ANSWER)


class LyingReceiver:
    """The messages that were taken: the Idempotency-Keys of each (delivery, action)."""

    def __init__(self) -> None:
        self.taken: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.url = ""
        self._manners = itertools.cycle(MANNERS)
        self._lock = threading.Lock()

    def take(self, key: str, body: bytes) -> str:
        """Take a message or not; return how to answer."""
        message = json.loads(body)
        with self._lock:
            manner = next(self._manners)
            if manner != FAIL:
                self.taken[message["delivery"], message["action"]].add(key)
        return manner


@contextmanager
def lying_receiver() -> Iterator[LyingReceiver]:
    """Context: a receiver that serves on a loopback port."""
    receiver = LyingReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            manner = receiver.take(self.headers["Idempotency-Key"], body)
            if manner != SILENT:
                self.send_response(500 if manner == FAIL else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
