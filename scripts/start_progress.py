"""Progress of a start: servers, samples, history that is being loaded, forecasts."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from storage.config.settings import SettingsError, read_settings
from storage.model.grid import MIN_CONTEXT_STEPS
from storage.model.severity import AlertLevel
from storage.query.reader import LakeMissing, LakeUnreadable, QueryFailed, Reader
from web.display import formatting
from web.display.source_status import SourceStatus, read_sources

__all__ = ["ProgressReader", "StartProgress"]

COUNTS = """
SELECT
    (SELECT count(*) FROM servers) AS servers,
    (SELECT coalesce(sum(rows_committed), 0) FROM segments WHERE table_name = 'metrics') AS samples,
    (
        SELECT count(DISTINCT server) FROM forecasts
        WHERE p50 IS NOT NULL AND state != 'abstained'
            AND issued_at > $now - INTERVAL 1 HOUR AND issued_at <= $now
    ) AS forecasts
"""
# Why the newest forecasts abstained; no row before the forecast function has run.
ABSTAINED = """
SELECT mode(why) AS why
FROM forecasts
WHERE issued_at = (
    SELECT max(issued_at) FROM forecasts
    WHERE issued_at > $now - INTERVAL 1 HOUR AND issued_at <= $now
)
HAVING count(*) > 0
"""
REFUSED = """
SELECT arg_max({'event': event, 'detail': detail}, ts) AS newest
FROM models WHERE event IN ('serving', 'refused') AND ts <= $now
"""
# Servers whose samples suffice for a forecast, which is made once they are rolled up.
SUFFICIENT = """
SELECT count(*) AS servers FROM (
    SELECT server FROM metrics
    WHERE ts > $now - INTERVAL 24 HOUR AND ts <= $now
    GROUP BY server
    HAVING max(ts) > $now - INTERVAL 30 MINUTE
        AND count(DISTINCT time_bucket(INTERVAL 5 MINUTE, ts)) > $least
)
"""


@dataclass(frozen=True, slots=True)
class StartProgress:
    """Counts of a lake; `forecasts` is the number of servers that have one.

    `loading` has a sentence for each source that loads history. `obstacle` says why no forecast can
    be made yet; it is None while one is possible.
    """

    servers: int = 0
    samples: int = 0
    forecasts: int = 0
    loading: tuple[str, ...] = field(default=())
    obstacle: str | None = None

    def __str__(self) -> str:
        """Return the counts in one line."""
        counts = f"{self.servers} servers, {self.samples:,} samples, forecasts for {self.forecasts}"
        return "; ".join([counts, *self.loading])

    @property
    def ended(self) -> bool:
        """True if there are forecasts, or none can be made yet."""
        return bool(self.forecasts or self.obstacle is not None)

    def outcome(self, url: str, seconds: float) -> str | None:
        """Return the last sentence of the start; None while forecasts are still expected."""
        if self.forecasts:
            return f"Ready after {seconds:.0f} s: {url}"
        if self.obstacle is not None:
            return f"Started after {seconds:.0f} s: {url}. No forecasts yet: {self.obstacle}"
        return None


class ProgressReader:
    """Reads the progress of a start with one reader, which stays open once there is a lake."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._reader: Reader | None = None

    def read(self) -> StartProgress:
        """Return the progress as of now; all counts are 0 while there is no lake to read."""
        try:
            self._reader = self._reader or Reader.open(self._data)
            return _progress(self._reader, self._data, datetime.now(UTC))
        except (LakeMissing, LakeUnreadable):
            return StartProgress()
        except QueryFailed:  # the writer is creating the tables
            self.close()
            return StartProgress()

    def close(self) -> None:
        """Close the reader; the next read opens it again."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _progress(reader: Reader, data: Path, now: datetime) -> StartProgress:
    counts = reader.query(COUNTS, now=now).to_pylist()[0]
    if counts["forecasts"]:
        return StartProgress(**counts)
    sources = read_sources(reader, now)
    loading = tuple(_loading(each, now) for each in sources if each.backfill and _is_healthy(each))
    obstacle = None
    if not loading and not _waits_for_source(data, sources):
        obstacle = _obstacle(reader, sources, now)
    return StartProgress(**counts, loading=loading, obstacle=obstacle)


def _loading(source: SourceStatus, now: datetime) -> str:
    assert source.backfill is not None
    reached = formatting.clock_minutes(source.backfill.reached, now)
    share = formatting.percent(source.backfill.share(now))
    return f"{source.source} loads history, up to {reached} ({share})"


def _is_healthy(source: SourceStatus) -> bool:
    return source.level != AlertLevel.CRITICAL


def _waits_for_source(data: Path, sources: tuple[SourceStatus, ...]) -> bool:
    """Return True if a source has not delivered anything yet."""
    try:
        simulated = read_settings(data).sources.simulator.enabled
    except SettingsError:  # its own process reports it
        simulated = False
    if simulated and "simulator" not in {each.source for each in sources}:
        return True
    return any(
        each.event == "live" and each.last_sample is None and each.outcome is None
        for each in sources
    )


def _obstacle(reader: Reader, sources: tuple[SourceStatus, ...], now: datetime) -> str | None:
    abstained = reader.query(ABSTAINED, now=now)["why"].to_pylist()
    if not abstained:
        return None
    newest = reader.query(REFUSED, now=now)["newest"][0].as_py()
    if newest and newest["event"] == "refused":
        return f"the model was refused: {newest['detail']}"
    if reader.query(SUFFICIENT, now=now, least=MIN_CONTEXT_STEPS)["servers"][0].as_py():
        return None
    failing = [f"{each.source}: {each.summary}" for each in sources if not _is_healthy(each)]
    return "; ".join(failing) or abstained[0]
