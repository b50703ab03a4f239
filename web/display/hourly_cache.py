"""Hourly cache: results that are slow to compute and change when an hour is scored."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["HourlyCache"]

Value = TypeVar("Value")
KEPT = 8


class HourlyCache(Generic[Value]):
    """Keeps the newest results by key; safe to share between threads.

    A result is computed once: who wants it meanwhile waits for it.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the result of `make` for a key, computed now or before."""
        with self._lock:
            if key not in self._values:
                self._values[key] = make()
                while len(self._values) > self._kept:
                    self._values.popitem(last=False)
            self._values.move_to_end(key)
            return self._values[key]
