"""History of a fleet as one dense array: servers × 5-minute steps × 14 metrics, gaps NaN."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from storage.errors import HoursightError
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, STEP, STEP_MINUTES
from storage.model.profiles import GENERIC, PROFILE_NAMES, stated_profile
from storage.query import windows
from storage.query.reader import Reader

__all__ = [
    "STEP_S",
    "WINDOW_STEPS",
    "History",
    "HistoryError",
    "cores_of",
    "from_lake",
    "week_minute",
]

WINDOW_STEPS = CONTEXT_STEPS + HORIZON_STEPS
STEP_S = STEP_MINUTES * 60
_MONDAY_S = 4 * 86_400  # 1970-01-05, the first Monday of the epoch


class HistoryError(HoursightError, ValueError):
    """A history cannot be used; the message names the file or the lake, and the remedy."""


@dataclass(frozen=True, slots=True)
class History:
    """`values` [S, T, 14] from `start_s` (epoch seconds, a multiple of 300) in 5-minute steps.

    `anomalous` [S, T] marks steps that the data's authors labelled; training leaves them out.
    """

    servers: tuple[str, ...]
    profiles: NDArray[np.int64]  # [S], indices into PROFILE_NAMES
    start_s: int
    values: NDArray[np.float32]  # [S, T, 14]
    anomalous: NDArray[np.bool_] | None = None

    @property
    def steps(self) -> int:
        """Number of 5-minute steps."""
        return int(self.values.shape[1])

    @property
    def span(self) -> tuple[datetime, datetime]:
        """Start of the first step and end of the last, UTC."""
        end_s = self.start_s + self.steps * STEP_S
        return datetime.fromtimestamp(self.start_s, UTC), datetime.fromtimestamp(end_s, UTC)

    def only(self, rows: Sequence[int] | NDArray[np.int64]) -> "History":
        """The history of some servers, by their index."""
        places = np.asarray(rows, np.int64)
        return replace(
            self,
            servers=tuple(self.servers[i] for i in places),
            profiles=self.profiles[places],
            values=self.values[places],
            anomalous=None if self.anomalous is None else self.anomalous[places],
        )

    def last(self, steps: int) -> "History":
        """The last `steps` steps, or all if there are fewer."""
        left_out = max(self.steps - steps, 0)
        marks = None if self.anomalous is None else self.anomalous[:, left_out:]
        start_s = self.start_s + left_out * STEP_S
        return replace(self, start_s=start_s, values=self.values[:, left_out:], anomalous=marks)

    def before(self, step: int) -> "History":
        """The history up to (not including) `step`; negative counts from the end."""
        marks = None if self.anomalous is None else self.anomalous[:, :step]
        return replace(self, values=self.values[:, :step], anomalous=marks)


def week_minute(start_s: int | NDArray[np.int64]) -> NDArray[np.float32]:
    """Minutes after Monday 00:00 UTC of epoch seconds: the calendar input of the network."""
    seconds = (np.asarray(start_s, np.int64) - _MONDAY_S) % (7 * 86_400)
    return (seconds / 60).astype(np.float32)


def from_lake(reader: Reader, steps: int) -> History:
    """The last `steps` steps of every server of a lake; raises HistoryError if it has none yet."""
    span = reader.query("SELECT min(ts) AS first, max(ts) AS last FROM metrics_5m").to_pylist()[0]
    if span["first"] is None:
        raise HistoryError(
            "the lake has no complete 5-minute step yet: let the system run, or name files"
        )
    available = (span["last"] - span["first"]) // STEP + 1
    contexts = windows.contexts(reader, span["last"] + STEP, min(steps, available))
    profiles = np.array(
        [PROFILE_NAMES.index(stated_profile(p) or GENERIC) for p in contexts.profiles], np.int64
    )
    return History(contexts.servers, profiles, int(contexts.start.timestamp()), contexts.values)


def cores_of(reader: Reader, history: History) -> tuple[int | None, ...]:
    """Return the cores of a history's servers; None where they are not known."""
    rows = reader.query("SELECT server, cores FROM servers").to_pylist()
    known = {row["server"]: row["cores"] for row in rows}
    return tuple(known.get(server) for server in history.servers)
