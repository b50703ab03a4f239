"""Stop events for the commit loop, so that no test waits for a retry."""

import threading


class NoWait(threading.Event):
    """Never set, and returns from a wait at once."""

    def wait(self, timeout: float | None = None) -> bool:
        """Return at once."""
        return timeout is None
