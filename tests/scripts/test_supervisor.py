import asyncio
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scripts.supervisor import AlreadyRunning, Supervisor
from storage.config.folders import Folders
from storage.lake.writer import Writer
from storage.query.reader import Reader

PROCFILE = "first: echo up $$; exec sleep 100\nsecond: echo up $$; exec sleep 100\n"


class SupervisorScene:
    """A supervisor of two sleepers, and what was said of them."""

    def __init__(self, data: Path, procfile: str = PROCFILE) -> None:
        self.folders = Folders.at(data)
        (data / "Procfile").write_text(procfile)
        self.lines: list[tuple[str, str]] = []
        self.news = asyncio.Event()
        self.supervisor = Supervisor(self.folders, {}, self.note, data / "Procfile")

    def note(self, process: str, line: str) -> None:
        self.lines.append((process, line))
        self.news.set()

    def pids(self, process: str) -> list[int]:
        return [int(line[3:]) for name, line in self.lines if name == process and line[:3] == "up "]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.news.clear()
                await self.news.wait()

    def events(self) -> list[tuple[str, str, str | None]]:
        writer = Writer.open(self.folders.data)
        writer.commit_waiting(datetime.now(UTC))
        writer.close()
        reader = Reader.open(self.folders.data)
        rows = reader.query("SELECT process, event, detail FROM processes ORDER BY ts").to_pylist()
        reader.close()
        return [(row["process"], row["event"], row["detail"]) for row in rows]


async def kill_the_first(scene: SupervisorScene) -> None:
    running = asyncio.create_task(scene.supervisor.run())
    await scene.until(lambda: bool(scene.pids("first") and scene.pids("second")))
    os.kill(scene.pids("first")[0], signal.SIGKILL)
    await scene.until(lambda: len(scene.pids("first")) == 2)
    scene.supervisor.stop()
    await running


def test_a_killed_process_comes_back_and_the_others_go_on(tmp_path: Path) -> None:
    async def play() -> SupervisorScene:
        scene = SupervisorScene(tmp_path)
        await kill_the_first(scene)
        return scene

    scene = asyncio.run(play())
    assert len(scene.pids("second")) == 1
    assert ("first", "ended (killed, signal 9); starts again in 1 s") in scene.lines


def test_every_end_and_start_is_written_down(tmp_path: Path) -> None:
    async def play() -> SupervisorScene:
        scene = SupervisorScene(tmp_path)
        await kill_the_first(scene)
        return scene

    events = asyncio.run(play()).events()
    assert [e[1:] for e in events if e[0] == "first"] == [
        ("started", None),
        ("ended", "killed, signal 9"),
        ("started", None),
        ("ended", "stopped with the system"),
    ]


def test_no_process_outlives_the_supervisor(tmp_path: Path) -> None:
    async def play() -> SupervisorScene:
        scene = SupervisorScene(tmp_path)
        await kill_the_first(scene)
        return scene

    scene = asyncio.run(play())
    for pid in scene.pids("first") + scene.pids("second"):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_process_that_ends_at_once_waits_longer_each_time(tmp_path: Path) -> None:
    async def play() -> SupervisorScene:
        scene = SupervisorScene(tmp_path, "brief: exec false\n")
        running = asyncio.create_task(scene.supervisor.run())
        await scene.until(lambda: len(scene.lines) == 2)
        scene.supervisor.stop()
        await running
        return scene

    assert [line for _, line in asyncio.run(play()).lines] == [
        "ended (exit code 1); starts again in 1 s",
        "ended (exit code 1); starts again in 2 s",
    ]


def test_a_second_supervisor_on_one_folder_is_refused(tmp_path: Path) -> None:
    async def play() -> None:
        scene = SupervisorScene(tmp_path)
        running = asyncio.create_task(scene.supervisor.run())
        await scene.until(lambda: bool(scene.pids("first")))
        with pytest.raises(AlreadyRunning, match="in use by a running hoursight"):
            await Supervisor(scene.folders, {}, scene.note, tmp_path / "Procfile").run()
        scene.supervisor.stop()
        await running

    asyncio.run(play())
