import asyncio
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from scripts.startup import has_source, report_startup
from storage.config.settings import (
    HostSettings,
    Settings,
    SimulatorSettings,
    SourceSettings,
    write_settings,
)
from tests.conftest import NOW, LakeFixture

NONE = Settings(sources=SourceSettings(HostSettings(False), SimulatorSettings(False)))


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    """Something that answers as the site does."""
    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_without_a_source_it_ends_with_the_next_step(tmp_path: Path, site: str) -> None:
    write_settings(tmp_path, NONE)
    lines: list[str] = []
    asyncio.run(report_startup(tmp_path, site, lines.append, asyncio.Event()))
    assert lines[0] == f"The site: {site}  (Ctrl-C stops everything)"
    assert lines[1].startswith("Ready after ")
    assert lines[2].startswith("No source is configured: write one with 'hoursight sources new ")
    assert len(lines) == 3


def test_with_a_source_each_commit_is_a_step_until_there_are_forecasts(
    house: LakeFixture, site: str
) -> None:
    lines: list[str] = []
    reported = asyncio.Event()

    def say(line: str) -> None:
        lines.append(line)
        reported.set()

    async def play() -> None:
        startup = asyncio.create_task(
            report_startup(house.folders.data, site, say, asyncio.Event())
        )
        while not any("0 servers" in line for line in lines):
            reported.clear()
            await reported.wait()
        house.put("metrics", [{"server": "a", "ts": NOW, "mem_used_pct": 61.5}])
        now = house.one("SELECT now()")
        about = {"server": "a", "metric": "mem_used_pct", "state": "abstained", "why": "collecting"}
        house.put("forecasts", [{**about, "issued_at": now, "made_at": now}])
        while not startup.done():  # the watch begins after the first look
            house.commit()
            house.put("metrics", [{"server": "a", "ts": NOW, "mem_used_pct": 61.5}])
            await asyncio.wait([startup], timeout=0.2)
        await startup

    asyncio.run(asyncio.wait_for(play(), 60))
    assert lines[-2] == "    start │ 1 servers, 1 samples, forecasts for 0"
    assert re.match(r"Started after \d+ s: .*\. No forecasts yet: collecting$", lines[-1])


def test_a_stop_ends_it_while_nothing_comes(tmp_path: Path) -> None:
    async def play() -> None:
        stop = asyncio.Event()
        startup = asyncio.create_task(report_startup(tmp_path, "http://127.0.0.1:9", print, stop))
        await asyncio.sleep(0)
        stop.set()
        await startup

    asyncio.run(asyncio.wait_for(play(), 60))


def test_a_source_file_or_a_function_of_the_users_may_bring_samples(tmp_path: Path) -> None:
    assert has_source(tmp_path)  # this host, which is on by default
    write_settings(tmp_path, NONE)
    assert not has_source(tmp_path)
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "a.toml").write_text("enabled = false\n")
    assert not has_source(tmp_path)
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "mine.py").write_text("pass\n")
    assert has_source(tmp_path)
    (tmp_path / "functions" / "mine.py").unlink()
    (tmp_path / "sources" / "a.toml").write_text("kind = 'files'\n")
    assert has_source(tmp_path)
