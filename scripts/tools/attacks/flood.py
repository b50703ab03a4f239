"""Floods: connections, uploads, readers and calls that stall or come at once."""

import http.client
import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from statistics import median

from scripts.tools.attacks.attack import Answer, Attack, Instance
from storage.platform.process import raise_descriptor_limit

__all__ = ["ATTACKS"]

IDLE, UPLOADS, STREAMS, READERS, PIPELINED, CALLS = 1300, 64, 400, 100, 50, 24
HONEST_S = 12.0
MAX_GROWTH_MB = 300
MAX_PROCESSES = 5  # the four calls that may run, and the spare worker of the file
SLOW_BYTES, SLOW_BYTES_PER_S = 1_000_000, 20_000
CALLED = """
import time
from hoursight import Batch, function, request

@function(on=request(), writes="server_facts")
def sleeper(): time.sleep(2); return Batch()
"""


@contextmanager
def _flood(instance: Instance, count: int, send: bytes, receive_buffer: int = 0) -> Iterator[None]:
    """So many connections that send these bytes, and neither more nor read."""
    raise_descriptor_limit()
    with ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.socket())
            if receive_buffer:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            connection.settimeout(5)
            with suppress(OSError):  # refused or ended: the flood goes on with the others
                connection.connect(instance.address)
                connection.sendall(send)
        yield


def _head(instance: Instance, line: str, *more: str) -> bytes:
    """The head of a request with all keys that it may need."""
    key = instance.keys["feed" if line.startswith("POST") else "read"]
    return "\r\n".join([line, "Host: 127.0.0.1", f"X-API-Key: {key}", *more, "", ""]).encode()


def _push(instance: Instance, server: str = "honest", pad: int = 0) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a push of one record, with so many bytes of white space."""
    record = {"server": server, "ts": datetime.now(UTC).isoformat(), "mem_used_pct": 50.0}
    headers = {"Content-Type": "application/json", "X-API-Key": instance.keys["feed"]}
    return json.dumps([record]).encode() + b" " * pad, headers


def _honest_push(instance: Instance) -> int:
    body, headers = _push(instance)
    return instance.request("POST", "/feed", body, headers)[0]


def _honest_page(instance: Instance) -> int:
    return instance.request("GET", "/", headers={"X-API-Key": instance.keys["read"]})[0]


def _honest(instance: Instance, what: str, ask: Callable[[Instance], int]) -> Answer:
    """Ask for HONEST_S; held if all are answered with 200 before the client gives up."""
    took_s, statuses, give_up = list[float](), Counter[str](), time.monotonic() + HONEST_S
    while time.monotonic() < give_up or not took_s:
        began = time.monotonic()
        try:
            statuses[str(ask(instance))] += 1
        except (OSError, http.client.HTTPException) as error:
            statuses[type(error).__name__] += 1
        took_s.append(time.monotonic() - began)
        time.sleep(0.1)
    answered = ", ".join(f"{count} x {status}" for status, count in statuses.items())
    text = f"{what}: {answered}; median {median(took_s):.2f} s, slowest {max(took_s):.2f} s"
    return Answer(text, set(statuses) == {"200"})


def _idle(instance: Instance) -> Answer:
    with _flood(instance, IDLE, b"GET / HTTP/1.1\r\nHo"):
        return _honest(instance, "pages", _honest_page)


def _stalled_uploads(instance: Instance) -> Answer:
    head = _head(
        instance, "POST /feed HTTP/1.1", "Content-Type: application/json", "Content-Length: 100000"
    )
    with _flood(instance, UPLOADS, head + b"["):
        return _honest(instance, "pushes", _honest_push)


def _live_streams(instance: Instance) -> Answer:
    with _flood(instance, STREAMS, _head(instance, "GET /live HTTP/1.1")):
        return _honest(instance, "pages", _honest_page)


def _slow_readers(instance: Instance) -> Answer:
    web = instance.process("web")
    before = web.memory_info().rss
    requests = _head(instance, "GET /fleet.json HTTP/1.1") * PIPELINED
    with _flood(instance, READERS, requests, receive_buffer=4096):
        answer = _honest(instance, "pages", _honest_page)
        grown_mb = (web.memory_info().rss - before) / 1e6
    text = f"{answer.text}; memory of the site +{grown_mb:.0f} MB"
    return Answer(text, answer.held and grown_mb < MAX_GROWTH_MB)


def _calls(instance: Instance) -> Answer:
    """Call a function many times at once, and count the processes of the engine meanwhile."""
    folder = instance.folders.functions
    folder.mkdir(exist_ok=True)
    (folder / "flood.py").write_text(CALLED)
    engine = instance.process("engine")
    call = partial(_call, instance)
    while call(0) == 404:  # until the file is loaded
        time.sleep(0.2)
    before, most = len(engine.children()), 0
    with ThreadPoolExecutor(CALLS) as callers:
        answers = [callers.submit(call, number) for number in range(CALLS)]
        while not all(answer.done() for answer in answers):
            most = max(most, len(engine.children()) - before)
            time.sleep(0.05)
    statuses = Counter(answer.result() for answer in answers)
    (folder / "flood.py").unlink()
    answered = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    held = most <= MAX_PROCESSES and set(statuses) <= {200, 503} and statuses[200] > 0
    return Answer(f"{answered}; {most} more processes", held)


def _call(instance: Instance, _number: int) -> int:
    headers = {"X-API-Key": instance.keys["admin"]}
    return instance.request("POST", "/api/v1/functions/sleeper", headers=headers)[0]


def _slow_link(instance: Instance) -> Answer:
    """Push 1 MB at 20 kB/s: no attack, and to be accepted."""
    body, headers = _push(instance, "far away", SLOW_BYTES)
    with socket.create_connection(instance.address, timeout=60) as connection:
        sent = [f"{name}: {value}" for name, value in headers.items() if name != "X-API-Key"]
        length = f"Content-Length: {len(body)}"
        connection.sendall(_head(instance, "POST /feed HTTP/1.1", length, *sent))
        began = time.monotonic()
        for start in range(0, len(body), SLOW_BYTES_PER_S // 10):
            connection.sendall(body[start : start + SLOW_BYTES_PER_S // 10])
            time.sleep(max(0.0, began + start / SLOW_BYTES_PER_S - time.monotonic()))
        status = connection.recv(64).partition(b"\r\n")[0].decode()
    return Answer(f"{status} after {time.monotonic() - began:.0f} s", " 200 " in status)


ATTACKS = (
    Attack(f"{IDLE} connections with half a head", "site", _idle),
    Attack(f"{UPLOADS} uploads that stop half way", "JSON feed", _stalled_uploads),
    Attack(f"{STREAMS} live streams", "live stream", _live_streams),
    Attack(f"{READERS} readers of {PIPELINED} exports that do not read", "exports", _slow_readers),
    Attack(f"{CALLS} calls at once", "function call", _calls),
    Attack("1 MB at 20 kB/s, to be accepted", "JSON feed", _slow_link),
)
