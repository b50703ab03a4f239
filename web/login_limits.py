"""Limits on failed logins: so many of an address, and of an account, within some minutes.

Nobody is locked out by the failures of others: an account that is guessed at from many addresses
stays open from those at which its owner has logged in.
"""

from collections import deque
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

__all__ = ["LoginLimits"]

WITHIN = timedelta(minutes=10)
MAX_OF_ADDRESS, MAX_OF_ACCOUNT = 10, 30
MAX_KEPT = 10_000


class LoginLimits:
    """Failed logins of the last minutes; all calls come from one event loop."""

    def __init__(self) -> None:
        self._failures: dict[tuple[str, str], deque[datetime]] = {}

    def wait(
        self, address: str, account: str, known: AbstractSet[str], now: datetime
    ) -> timedelta | None:
        """Return how long `address` has to wait before it tries `account`; None if it may now.

        `known` are the addresses from which the account has logged in.
        """
        waits = [self._wait(("address", address), MAX_OF_ADDRESS, now)]
        if address not in known:
            waits.append(self._wait(("account", account), MAX_OF_ACCOUNT, now))
        return max((each for each in waits if each is not None), default=None)

    def attempted(self, address: str, account: str, now: datetime) -> None:
        """Count a login as failed until it succeeds: there may be many at once."""
        counted = (
            (("address", address), MAX_OF_ADDRESS), (("account", account), MAX_OF_ACCOUNT)
        )  # fmt: skip
        for key, limit in counted:
            times = self._failures.pop(key, None) or deque(maxlen=limit)
            times.append(now)
            self._failures[key] = times  # the last of the order
        while len(self._failures) > MAX_KEPT:
            del self._failures[next(iter(self._failures))]

    def succeeded(self, address: str, account: str) -> None:
        """Forget the failures of an address, and take this one off the account."""
        self._failures.pop(("address", address), None)
        if times := self._failures.get(("account", account)):
            times.pop()

    def _wait(self, key: tuple[str, str], limit: int, now: datetime) -> timedelta | None:
        times = self._failures.get(key)
        if times is None or len(times) < limit or now - times[0] >= WITHIN:
            return None
        return times[0] + WITHIN - now
