"""Trace of used API keys and refused requests: counters, lines of the log, a file of tallies.

The log has the first refusal of an address and reason at once, and then one line a minute with the
number of those in between, for at most 100 addresses and reasons, so that nobody can fill the disk.
"""

import asyncio
import ipaddress
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from litestar import Litestar

from storage.config.api_keys import ApiKey
from storage.config.folders import Folders
from storage.config.key_usage import KeyUsage, Tally, add_key_usage
from web.periodic import repeated

__all__ = ["AccessTrace", "address_of", "peer_of"]

log = logging.getLogger(__name__)

LOG_EVERY = timedelta(minutes=1)
MAX_LINES = 100
SAVE_EVERY_S = 5.0
MAX_DETAIL = 200
BY = " by "
FORWARDED = re.compile(r"[0-9A-Fa-f.:, ]{2,60}")


@dataclass(slots=True)
class _Quiet:
    """An address and reason that the log has had: when, and how many refusals since then."""

    since: datetime
    refusals: int = 0


def address_of(scope: Mapping[str, Any]) -> str:
    """Return the remote address, behind the one that a proxy states: `203.0.113.7 by 127.0.0.1`."""
    client = scope.get("client")
    address = str(client[0]) if client else "an unknown address"
    for name, value in scope.get("headers", ()):
        if name == b"x-forwarded-for" and FORWARDED.fullmatch(stated := value.decode("latin-1")):
            return f"{stated.strip()}{BY}{address}"
    return address


def peer_of(host: str) -> str:
    """Whose connections count together: an address, of IPv6 its /64 network; no header says it."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 4:
        return host
    mapped = address.ipv4_mapped
    return str(mapped or ipaddress.ip_network((address, 64), strict=False))


class AccessTrace:
    """What one site has counted since its start; all calls come from its event loop."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._used: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._unsaved = KeyUsage()
        self._quiet: dict[tuple[str, str], _Quiet] = {}
        self._failed = False

    def used(self, key: ApiKey, address: str, now: datetime) -> None:
        """Count a request that was let in by a key."""
        self._used[key.name] += 1
        self._unsaved.add(KeyUsage(used={key.id: Tally(1, now, address)}))

    def refused(self, reason: str, address: str, detail: str, now: datetime) -> None:
        """Count and log a request that was refused; `detail` says what was sent, and why."""
        self._refused[reason] += 1
        self._unsaved.add(KeyUsage(refused={reason: Tally(1, now, address)}))
        more = self._unlogged(address, reason, now)
        if more is not None:
            text = f" ({more} more since the last line)" if more else ""
            log.warning("refused from %s: %s%s", address, _printable(detail), text)

    def _unlogged(self, address: str, reason: str, now: datetime) -> int | None:
        """Return how many refusals the next line stands for besides its own; None for no line."""
        sender = address.rpartition(BY)[2], reason  # what a proxy states may be made up
        quiet = self._quiet.get(sender)
        if quiet is not None and now - quiet.since < LOG_EVERY:
            quiet.refusals += 1
            return None
        if quiet is None and len(self._quiet) >= MAX_LINES:
            self._quiet = {k: v for k, v in self._quiet.items() if now - v.since < LOG_EVERY}
            if len(self._quiet) >= MAX_LINES:
                return None
        self._quiet[sender] = _Quiet(now)
        return quiet.refusals if quiet else 0

    def counters(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Return the counters since the start, as `/metrics` exposes them."""
        return {
            "hoursight_key_requests_total": {(name,): n for name, n in self._used.items()},
            "hoursight_refused_requests_total": {(name,): n for name, n in self._refused.items()},
        }

    @asynccontextmanager
    async def saving(self, _: Litestar) -> AsyncIterator[None]:
        """Lifespan context: write the tallies to their file while the site is running."""
        async with repeated(self._save, SAVE_EVERY_S):
            yield

    async def _save(self) -> None:
        usage, self._unsaved = self._unsaved, KeyUsage()
        if not usage.used and not usage.refused:
            return
        try:
            await asyncio.to_thread(add_key_usage, self._folders, usage)
            self._failed = False
        except OSError as error:  # a folder that is missing, full or read-only
            self._unsaved.add(usage)
            if not self._failed:
                log.warning("the use of API keys cannot be recorded: %s", error)
            self._failed = True


def _printable(detail: str) -> str:
    """Return text of a sender for one line of the log."""
    return detail.encode("unicode_escape").decode("ascii")[:MAX_DETAIL]
