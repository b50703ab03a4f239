"""Start-up progress: what `up` and `demo` print until the first forecasts are on the site."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from pathlib import Path

from functions.engine.user_code import FUNCTIONS, SOURCES
from storage.config.folders import Folders
from storage.config.settings import SettingsError, SourceSettings, read_settings
from storage.inbox.notify import table_changes
from storage.query.reader import LakeMissing, LakeUnreadable, QueryFailed, Reader

__all__ = ["has_source", "report_startup"]

Print = Callable[[str], None]

# Commits may follow each other by the dozen while history is loaded.
LOOK_EVERY_S = 0.5
NOTHING = {"servers": 0, "samples": 0, "forecast": 0, "considered": 0}

PROGRESS = """
SELECT
    (SELECT count(*) FROM servers) AS servers,
    (SELECT coalesce(sum(rows_committed), 0) FROM segments WHERE table_name = 'metrics') AS samples,
    (
        SELECT count(DISTINCT server) FROM forecasts
        WHERE p50 IS NOT NULL AND issued_at > now() - INTERVAL 1 HOUR
    ) AS forecast,
    (
        SELECT count(DISTINCT server) FROM forecasts
        WHERE issued_at > now() - INTERVAL 1 HOUR
    ) AS considered
"""


async def report_startup(data: Path, url: str, say: Print, stop: asyncio.Event) -> None:
    """Say where the site is, how far the start is after each commit, and when the site is ready.

    Without a source there is nothing to wait for but the site.
    """
    say(f"The site: {url}  (Ctrl-C stops everything)")
    began = asyncio.get_running_loop().time()
    with_source = has_source(data)
    if with_source:
        await _first_forecasts(data, say, stop)
    await _site_answers(url, stop)
    if stop.is_set():
        return
    say(f"Ready after {asyncio.get_running_loop().time() - began:.0f} s: {url}")
    if not with_source:
        say(
            "No source is configured: write one with 'hoursight sources new KIND > "
            f"{data}/sources/NAME.toml' (KIND is mongodb, elasticsearch, prometheus or files), or "
            f"push rows to {url}/feed"
        )


def has_source(data: Path) -> bool:
    """Return True if anything in the data folder is configured that can bring samples."""
    folders = Folders.at(data)
    try:
        settings = read_settings(data).sources
    except SettingsError:  # it has just been made wrong, and the processes say so
        settings = SourceSettings()
    built_in = any(getattr(settings, name).enabled for name in settings.__struct_fields__)
    return bool(built_in or SOURCES.sources(folders) or FUNCTIONS.sources(folders))


async def _first_forecasts(data: Path, say: Print, stop: asyncio.Event) -> None:
    progress, said = _Progress(data), ""
    try:
        async with aclosing(_each_commit(data, stop)) as commits:
            async for _ in commits:
                done = await asyncio.to_thread(progress.read)
                line = "{servers} servers, {samples:,} samples, forecasts for {forecast}".format(
                    **done
                )
                if line != said:
                    say(f"   start │ {line}")
                    said = line
                if done["considered"]:
                    return
    finally:
        progress.close()


async def _each_commit(data: Path, stop: asyncio.Event) -> AsyncGenerator[None, None]:
    """Yield once at the start, and then after commits, until `stop` is set."""
    yield
    async with aclosing(table_changes(data, stop)) as commits:
        async for _ in commits:
            yield
            await _pause(LOOK_EVERY_S, stop)


class _Progress:
    """Counts what is in the lake, by one reader that stays open once there is a lake."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._reader: Reader | None = None

    def read(self) -> dict[str, int]:
        try:
            self._reader = self._reader or Reader.open(self._data)
            return dict(self._reader.query(PROGRESS).to_pylist()[0])
        except (LakeMissing, LakeUnreadable):
            return NOTHING
        except QueryFailed:  # the tables are being made
            self.close()
            return NOTHING

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


async def _site_answers(url: str, stop: asyncio.Event) -> None:
    while not stop.is_set() and not await asyncio.to_thread(_answers, url):
        await _pause(LOOK_EVERY_S, stop)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=2) as reply:  # noqa: S310 - our own site
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
