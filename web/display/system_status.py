"""How the system itself fares: what is down, what was down, and what to do about it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from storage.config.folders import Folders
from storage.inbox import notify
from storage.query.reader import Reader
from web.display import formatting
from web.lake_session import sql

__all__ = ["STALE_SECONDS", "Outage", "Problem", "SystemStatus", "system_status", "writer_problem"]

STALE_SECONDS = 60
SILENT_WRITER = timedelta(seconds=30)
# A segment that the writer has not taken after this long is not just about to be taken.
UNTAKEN = timedelta(seconds=5)
MAX_OUTAGES = 5

MISSED = {
    "writer": "segments waited in the inbox and nothing was lost",
    "collector": "no samples came in meanwhile",
    "engine": "no roll-ups, forecasts and risks were made meanwhile",
    "learn": "drift was not measured and no model was trained meanwhile",
    "web": "this site could not be reached meanwhile",
}
MISSING = {
    "writer": "nothing is committed; segments wait in the inbox and nothing is lost",
    "collector": "no samples come in",
    "engine": "roll-ups, forecasts and risks are not renewed: what you see grows old",
    "learn": "drift is not measured and no model is trained",
    "web": "this site was started by itself",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something an operator must know before trusting the page: what, why, and what to do."""

    kind: str
    level: Literal["critical", "warning"]
    headline: str
    remedy: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Outage:
    """A process that ended, and came back at `back_at` unless it is still down."""

    process: str
    ended_at: datetime
    back_at: datetime | None
    detail: str

    def words(self, now: datetime) -> str:
        """The outage in one sentence."""
        when = formatting.clock(self.ended_at, now)
        how = f" ({self.detail})" if self.detail else ""
        if self.back_at is None:
            return f"{self.process} is down since {when}{how}"
        lasted = formatting.span((self.back_at - self.ended_at).total_seconds())
        missed = MISSED.get(self.process, "its work waited meanwhile")
        return f"{self.process} was down for {lasted} at {when}{how}: {missed}"


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """The system as of `now`."""

    now: datetime
    newest_sample: datetime | None
    last_commit: datetime | None
    waiting: int
    troubles: tuple[Problem, ...]
    outages: tuple[Outage, ...]
    model_refused: bool

    @property
    def outages_shown(self) -> tuple[str, ...]:
        """The newest outages in words, and how many more there were."""
        lines = tuple(outage.words(self.now) for outage in self.outages[:MAX_OUTAGES])
        more = len(self.outages) - MAX_OUTAGES
        return (*lines, f"and {more} more") if more > 0 else lines

    @property
    def word(self) -> str:
        """The system's state in a word or two."""
        if not self.troubles:
            return "All systems run"
        return "1 trouble" if len(self.troubles) == 1 else f"{len(self.troubles)} troubles"


def system_status(reader: Reader, folders: Folders, now: datetime) -> SystemStatus:
    """Ask the lake and the data folder how the system fares."""
    newest = _scalar(reader, "newest_sample", now)
    outages = [_outage(row) for row in reader.query(sql("outages"), now=now).to_pylist()]
    refusal = _refusal(reader, now)
    troubles = [
        *_model_trouble(refusal),
        *_down(outages, now),
        *writer_problem(folders, now),
        *_stale(newest, now),
    ]
    return SystemStatus(
        now, newest, notify.last_commit(folders.data), notify.pending_segments(folders.data),
        tuple(troubles), tuple(o for o in outages if o.back_at), refusal is not None,
    )  # fmt: skip


def writer_problem(folders: Folders, now: datetime) -> Iterator[Problem]:
    """Trouble when segments wait and nobody commits them; needs no lake."""
    waiting = notify.pending_segments(folders.data)
    committed = notify.last_commit(folders.data)
    if not waiting or (committed is not None and now - committed <= SILENT_WRITER):
        return
    if now - _oldest_segment(folders, now) < UNTAKEN:
        return
    since = formatting.span((now - committed).total_seconds()) if committed else ""
    never = "Nothing has ever been committed"
    noun = "segment waits" if waiting == 1 else "segments wait"
    yield Problem(
        "writer", "critical",
        f"{f'Nothing has been committed for {since}' if since else never}; "
        f"{waiting} {noun} in the inbox",
        "See whether the process writer runs and what it says. Nothing is lost: "
        "the segments are committed when it is back.",
    )  # fmt: skip


def _oldest_segment(folders: Folders, now: datetime) -> datetime:
    times = [now.timestamp()]
    for segment in folders.inbox.glob("*.parquet"):
        try:
            times.append(segment.stat().st_mtime)
        except FileNotFoundError:  # the writer has just taken it
            continue
    return datetime.fromtimestamp(min(times), UTC)


def _model_trouble(refusal: dict[str, Any] | None) -> Iterator[Problem]:
    if refusal is None:
        return
    yield Problem(
        "model", "critical",
        f"No forecasts: the model {refusal['path'] or refusal['model'] or 'file'} was refused",
        "Put a model that fits in its place, or remove the file so that the model shipped with "
        "Hoursight serves. Until then every score tells the present only.",
        refusal["detail"] or "no reason was given",
    )  # fmt: skip


def _down(outages: Iterable[Outage], now: datetime) -> Iterator[Problem]:
    for outage in outages:
        if outage.back_at is None:
            missing = MISSING.get(outage.process, "its work waits")
            yield Problem(
                f"process-{outage.process}", "critical", outage.words(now),
                f"Meanwhile {missing}. It is started again by itself when the system runs by "
                "'hoursight up' or 'hoursight demo'; if it stays down, read its output there.",
            )  # fmt: skip


def _stale(newest: datetime | None, now: datetime) -> Iterator[Problem]:
    if newest is None or (now - newest).total_seconds() <= STALE_SECONDS:
        return
    yield Problem(
        "stale",
        "warning",
        f"The newest sample is {formatting.span((now - newest).total_seconds())} old "
        f"({formatting.clock(newest, now)}): this is not the present",
        "See whether the process collector runs and whether its sources answer.",
    )


def _refusal(reader: Reader, now: datetime) -> dict[str, Any] | None:
    told: dict[str, Any] | None = reader.query(sql("model"), now=now).column("told")[0].as_py()
    return told if told and told["event"] == "refused" else None


def _outage(row: dict[str, Any]) -> Outage:
    return Outage(row["process"], row["ended_at"], row["back_at"], row["detail"] or "")


def _scalar(reader: Reader, name: str, now: datetime) -> datetime | None:
    value: datetime | None = reader.query(sql(name), now=now).column(0)[0].as_py()
    return value
