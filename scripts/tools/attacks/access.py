"""Attacks on access: requests that pass for local ones, wrong keys, bytes that are not HTTP."""

import socket
import time
from datetime import UTC, datetime

from scripts.tools.attacks.attack import TIMEOUT_S, Answer, Attack, Instance
from storage.config.api_keys import create_key, revoke_key
from web.security_headers import HEADERS

__all__ = ["ATTACKS"]

PATHS = ("/", "/fleet.json", "/servers/a.csv", "/metrics", "/schema", "/settings")
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via", "CF-Connecting-IP")
CHUNKED = b"POST /feed HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
MALFORMED = (
    b"GET / HTTP/1.1\r\nHost: [\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: \xe6\x9c\x8d\r\n\r\n",
    b"POST /feed HTTP/1.1\r\nHost: localhost\r\nOrigin: http://[\r\nConnection: close\r\n\r\n",
    b"GET /static/%00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET /static/" + 300 * b"a" + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "GET /servers/服务器.csv HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
    b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic \xff\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + 99_999 * b"a" + b"\r\n\r\n",
    CHUNKED + b"zz\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
)
STREAM_ENDS_WITHIN_S = 10.0
WRONG_KEYS = 200


def _statuses(statuses: set[int], allowed: set[int]) -> Answer:
    return Answer(f"answered {', '.join(map(str, sorted(statuses)))}", held=statuses <= allowed)


def _local_without_key(instance: Instance) -> Answer:
    statuses = {instance.request("GET", path)[0] for path in PATHS}
    statuses |= {instance.request("POST", "/api/v1/functions/risk")[0]}
    return _statuses(statuses, {401})


def _plain_proxy_pass(instance: Instance) -> Answer:
    """What nginx sends for `proxy_pass http://127.0.0.1:PORT`, from anywhere."""
    host = "{}:{}".format(*instance.address).encode()
    request = b"GET %s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n"
    answers = [instance.send_raw(request % (path.encode(), host)) for path in PATHS]
    return _statuses({int(answer.split()[1]) for answer in answers}, {401})


def _forwarding_headers(instance: Instance) -> Answer:
    statuses = {
        instance.request("GET", path, headers={name: "127.0.0.1", "Host": "localhost"})[0]
        for path in PATHS
        for name in FORWARDED
    }
    return _statuses(statuses, {401})


def _malformed(instance: Instance) -> Answer:
    """Bytes before any key: each gets 4xx in words, all headers, and no path of the machine."""
    answers = [instance.send_raw(data, timeout_s=2.0) for data in MALFORMED]
    text = b"".join(answers).lower().decode("latin-1")
    statuses = {int(answer.split()[1]) for answer in answers}
    complete = all(text.count(f"{name.lower()}:") == len(MALFORMED) for name in HEADERS)
    leaks = str(instance.folders.data).lower() in text or "traceback" in text
    held = complete and not leaks and all(400 <= status < 500 for status in statuses)
    return Answer(f"{_statuses(statuses, set()).text}, headers on all: {complete}", held)


def _stream_of_revoked_key(instance: Instance) -> Answer:
    """An open /live of a key that is revoked ends by itself."""
    folders = instance.folders
    key = create_key(folders, "attack", ["read"], datetime.now(UTC))
    request = f"GET /live HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n\r\n"
    try:
        with socket.create_connection(instance.address, timeout=TIMEOUT_S) as connection:
            connection.sendall(request.encode())
            opened = connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
            revoke_key(folders, "attack")
            began = time.monotonic()
            received = b""
            while not received.endswith(b"0\r\n\r\n") and (part := connection.recv(1 << 16)):
                received += part
    except TimeoutError:
        return Answer("the stream goes on", held=False)
    took_s = time.monotonic() - began
    return Answer(f"it ended after {took_s:.1f} s", opened and took_s < STREAM_ENDS_WITHIN_S)


def _wrong_keys(instance: Instance) -> Answer:
    statuses = {
        instance.request("GET", "/", headers={"X-API-Key": f"hs_{n:012x}_{'a' * 43}"})[0]
        for n in range(WRONG_KEYS)
    }
    return _statuses(statuses, {403})


ATTACKS = (
    Attack("this machine without a key", "site", _local_without_key),
    Attack("plain proxy_pass", "site", _plain_proxy_pass),
    Attack("forwarding headers", "site", _forwarding_headers),
    Attack("bytes that are not HTTP", "site", _malformed),
    Attack("stream of a revoked key", "live", _stream_of_revoked_key),
    Attack(f"{WRONG_KEYS} wrong keys", "site", _wrong_keys),
)
