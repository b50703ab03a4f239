"""Start-up report: what `up` and `demo` print until the first forecasts are on the site."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from pathlib import Path

from functions.engine.user_files import FUNCTIONS, SOURCES
from scripts.start_progress import ProgressReader, StartProgress
from storage.config.folders import Folders
from storage.config.settings import SettingsError, SourceSettings, read_settings
from storage.inbox.notify import table_changes

__all__ = ["has_source", "report_startup"]

Print = Callable[[str], None]

# While history is loaded there are dozens of commits a second.
CHECK_EVERY_S = 0.5


async def report_startup(data: Path, url: str, say: Print, stop: asyncio.Event) -> None:
    """Print the address of the site, the progress after each commit, and when the site is ready.

    It is ready with the first forecasts. When none can be made yet, the last line says why. Without
    a source it is ready when the site answers.
    """
    say(f"The site: {url}  (Ctrl-C stops everything)")
    began = asyncio.get_running_loop().time()
    with_source = has_source(data)
    progress = await _first_forecasts(data, say, stop) if with_source else StartProgress()
    await _site_answers(url, stop)
    if stop.is_set():
        return
    seconds = asyncio.get_running_loop().time() - began
    say(progress.outcome(url, seconds) or f"Ready after {seconds:.0f} s: {url}")
    if not with_source:
        say(
            "No source is configured: write one with 'hoursight sources new KIND > "
            f"{data}/sources/NAME.toml' (KIND is mongodb, elasticsearch, prometheus or files), or "
            f"push rows to {url}/feed"
        )


def has_source(data: Path) -> bool:
    """Return True if a source, or a function that may be one, is configured in the data folder."""
    folders = Folders.at(data)
    try:
        settings = read_settings(data).sources
    except SettingsError:  # edited since the start; the processes report it
        settings = SourceSettings()
    built_in = any(getattr(settings, name).enabled for name in settings.__struct_fields__)
    return bool(built_in or SOURCES.sources(folders) or FUNCTIONS.sources(folders))


async def _first_forecasts(data: Path, say: Print, stop: asyncio.Event) -> StartProgress:
    """Print the progress until there are forecasts, or none can be made yet."""
    reader, progress = ProgressReader(data), StartProgress()
    said = ""
    try:
        async with aclosing(_each_commit(data, stop)) as commits:
            async for _ in commits:
                progress = await asyncio.to_thread(reader.read)
                if str(progress) != said:
                    said = str(progress)
                    say(f"{'start':>9} │ {said}")
                if progress.ended:
                    break
    finally:
        reader.close()
    return progress


async def _each_commit(data: Path, stop: asyncio.Event) -> AsyncGenerator[None, None]:
    """Yield once at the start, and then after commits, until `stop` is set."""
    yield
    async with aclosing(table_changes(data, stop)) as commits:
        async for _ in commits:
            yield
            await _pause(CHECK_EVERY_S, stop)


async def _site_answers(url: str, stop: asyncio.Event) -> None:
    while not stop.is_set() and not await asyncio.to_thread(_answers, url):
        await _pause(CHECK_EVERY_S, stop)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=2) as reply:  # noqa: S310 - our own site
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
