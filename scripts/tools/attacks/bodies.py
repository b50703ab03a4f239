"""Attacks by the body of a push: a few bytes that take much time or memory to read."""

import gzip
import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from scripts.tools.attacks.attack import Answer, Attack, Instance

__all__ = ["ATTACKS"]

MIB = 1 << 20
AT_ONCE = 64
# The budget of all bodies and what is built of them, and as much again for what Python keeps.
MOST_GROWTH_MB = 700
SAMPLE_S = 0.02
WATCHED_S = 12.0  # samples wait up to 10 s before they are rows
MOST_S = 10.0


def _open_quote() -> bytes:
    return b'm,host=a text="x\n' + b"m,host=attack1 load_average=1\n" * 35_000


def _links() -> bytes:
    now_s = int(time.time())
    lines = (
        f"net,host=attack2,interface=eth{n} bytes_recv=1i {now_s - n}\n" for n in range(30_000)
    )
    return gzip.compress("".join(lines).encode())


def _digits() -> bytes:
    digits = b"1" * 300_000
    return b'[{"server":"attack3","timestamp":1778068800,"cpu_idle_pct":"' + digits + b'x"}]'


def _bomb() -> bytes:
    return gzip.compress(b"[" + b"[]," * (10 * MIB) + b"[]]", mtime=0)


def _nearly() -> bytes:
    """As many values as one body may have."""
    return gzip.compress(b"[" + b"[]," * 600_000 + b"[]]", mtime=0)


def _members() -> bytes:
    return gzip.compress(b"", mtime=0) * (4 * MIB // 20)


def _push(instance: Instance, path: str, body: bytes, packed: bool) -> str:
    """The status of a push, or the name of the error without one."""
    headers = {"X-API-Key": instance.keys["feed"], "Content-Type": "application/json"}
    if packed:
        headers["Content-Encoding"] = "gzip"
    try:
        return str(instance.request("POST", path, body, headers)[0])
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__


def _one(path: str, make: Callable[[], bytes], packed: bool, instance: Instance) -> Answer:
    body = make()
    began = time.perf_counter()
    status = _push(instance, path, body, packed)
    took_s = time.perf_counter() - began
    text = f"{len(body) / 1000:.0f} kB: {status} after {took_s:.1f} s"
    return Answer(text, held=status.isdigit() and took_s < MOST_S)


def _many(
    path: str, make: Callable[[], bytes], count: int, watched_s: float, instance: Instance
) -> Answer:
    """Send a body `count` times at once, and watch the memory of the collector."""
    body, collector = make(), instance.process("collector")
    before = peak = collector.memory_info().rss
    statuses: Counter[str] = Counter()

    def send() -> None:
        statuses[_push(instance, path, body, packed=True)] += 1

    threads = [threading.Thread(target=send) for _ in range(count)]
    for thread in threads:
        thread.start()
    give_up = time.monotonic() + watched_s
    while time.monotonic() < give_up or any(thread.is_alive() for thread in threads):
        peak = max(peak, collector.memory_info().rss)
        time.sleep(SAMPLE_S)
    growth_mb = (peak - before) / MIB
    seen = ", ".join(f"{number} x {status}" for status, number in statuses.most_common())
    text = f"{count} of {len(body) / 1000:.0f} kB: {seen}; the collector grew by {growth_mb:.0f} MB"
    return Answer(text, held=growth_mb < MOST_GROWTH_MB and all(map(str.isdigit, statuses)))


ATTACKS = (
    Attack(
        "one open quote", "line protocol", partial(_one, "/api/v2/write", _open_quote, False)
    ),
    Attack("digits before a letter", "JSON", partial(_one, "/feed", _digits, False)),
    Attack("gzip of empty members", "JSON", partial(_one, "/feed", _members, True)),
    Attack("one gzip bomb of values", "JSON", partial(_many, "/feed", _bomb, 1, 2.0)),
    Attack("64 gzip bombs at once", "JSON", partial(_many, "/feed", _bomb, AT_ONCE, 2.0)),
    Attack(
        "64 bodies of as much as is allowed", "JSON",
        partial(_many, "/feed", _nearly, AT_ONCE, 2.0),
    ),
    Attack(
        "links at other times", "line protocol",
        partial(_many, "/api/v2/write?precision=s", _links, 1, WATCHED_S),
    ),
)  # fmt: skip
