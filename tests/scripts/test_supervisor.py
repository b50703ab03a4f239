import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from scripts.supervisor import AlreadyRunning, Part, Supervisor, claim
from storage.config.folders import Folders
from storage.lake.writer import Writer
from storage.query.reader import Reader

Parts = Mapping[str, Part] | None

PROCFILE = "first: echo up $$; exec sleep 100\nsecond: echo up $$; exec sleep 100\n"


class SupervisorScene:
    """A supervisor of two sleepers, and what was said of them."""

    def __init__(self, data: Path, procfile: str = PROCFILE, parts: Parts = None) -> None:
        self.folders = Folders.at(data)
        (data / "Procfile").write_text(procfile)
        self.lines: list[tuple[str, str]] = []
        self.news = asyncio.Event()
        self.supervisor = Supervisor(self.folders, {}, self.note, data / "Procfile", parts=parts)

    def said(self, text: str) -> bool:
        return any(text in line for _, line in self.lines)

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


def test_a_system_whose_python_is_called_python3_runs_ours(tmp_path: Path) -> None:
    async def play() -> SupervisorScene:
        scene = SupervisorScene(tmp_path, 'only: exec "${PYTHON:-python}" -c "print(\'up 1\')"\n')
        scene.supervisor._environment["PATH"] = str(tmp_path)
        running = asyncio.create_task(scene.supervisor.run())
        await scene.until(lambda: len(scene.lines) > 0)
        scene.supervisor.stop()
        await running
        return scene

    assert asyncio.run(play()).pids("only") == [1]


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


def test_every_start_and_end_is_recorded(tmp_path: Path) -> None:
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


def play(
    scene_of: Callable[[], SupervisorScene], condition: Callable[[SupervisorScene], bool]
) -> SupervisorScene:
    """Run a supervisor until the condition holds, and stop it."""

    async def run() -> SupervisorScene:
        scene = scene_of()
        running = asyncio.create_task(scene.supervisor.run())
        await scene.until(lambda: condition(scene))
        scene.supervisor.stop()
        await running
        return scene

    return asyncio.run(run())


def test_a_long_line_is_cut_and_ends_no_process(tmp_path: Path) -> None:
    long = f"{sys.executable} -c \"print(300000 * 'x')\""
    procfile = f"loud: {long}; echo after; exec sleep 100\nother: echo up $$; exec sleep 100\n"
    scene = play(
        lambda: SupervisorScene(tmp_path, procfile), lambda s: s.said("after") and s.said("up ")
    )
    (line,) = [line for _, line in scene.lines if line.startswith("xxx")]
    assert line.endswith("… (cut, 283,616 more bytes)")
    assert len(scene.pids("other")) == 1


def test_a_part_that_raises_is_told_and_started_again(tmp_path: Path) -> None:
    scenes: list[SupervisorScene] = []

    async def part(stop: asyncio.Event) -> None:
        first = not scenes[0].said("a part starts")
        scenes[0].note("part", "a part starts")
        if first:
            raise RuntimeError("a fault of a part")
        await stop.wait()

    def scene_of() -> SupervisorScene:
        scenes.append(SupervisorScene(tmp_path, parts={"part": part}))
        return scenes[0]

    scene = play(
        scene_of,
        lambda s: s.lines.count(("part", "a part starts")) == 2 and len(s.pids("second")) == 1,
    )
    assert ("part", "ERROR internal error of the supervisor; tries again in 1 s") in scene.lines
    assert ("part", "RuntimeError: a fault of a part") in scene.lines
    assert not [line for name, line in scene.lines if name == "first" and "ended" in line]


def test_a_process_that_leaves_a_child_behind_is_started_again(tmp_path: Path) -> None:
    procfile = "parent: sleep 300 & echo up $!; exit 1\n"
    scene = play(lambda: SupervisorScene(tmp_path, procfile), lambda s: len(s.pids("parent")) == 2)
    gone, alive = psutil.wait_procs(
        [psutil.Process(p) for p in scene.pids("parent") if psutil.pid_exists(p)], timeout=20
    )
    assert not alive, gone


def test_a_process_with_a_wrong_setting_is_restarted_when_the_file_changes(tmp_path: Path) -> None:
    procfile = (
        f"picky: test -e {tmp_path}/hoursight.toml && echo up $$ && exec sleep 100; exit 78\n"
    )

    async def run() -> SupervisorScene:
        scene = SupervisorScene(tmp_path, procfile + "other: sleep 1; echo up $$; exec false\n")
        running = asyncio.create_task(scene.supervisor.run())
        await scene.until(lambda: len(scene.pids("other")) == 2)  # longer than a first back-off
        assert not scene.pids("picky")
        (tmp_path / "hoursight.toml").write_text("[web]\nport = 8080\n")
        await scene.until(lambda: len(scene.pids("picky")) == 1)
        scene.supervisor.stop()
        await running
        return scene

    lines = [line for name, line in asyncio.run(run()).lines if name == "picky" and "ended" in line]
    assert lines == [f"ended (wrong setting); starts again when {tmp_path}/hoursight.toml changes"]


def test_a_supervisor_goes_on_when_its_output_is_closed(tmp_path: Path) -> None:
    def scene_of() -> SupervisorScene:
        scene = SupervisorScene(tmp_path, "chatty: echo up $$; exec sleep 100\n")

        def say(process: str, line: str) -> None:
            scene.note(process, line)
            raise BrokenPipeError

        scene.supervisor._say = say
        return scene

    assert len(play(scene_of, lambda s: bool(s.pids("chatty"))).pids("chatty")) == 1


RUN = """
import asyncio, sys
from pathlib import Path
from scripts.supervisor import Supervisor
from storage.config.folders import Folders

data = Path(sys.argv[1])
say = lambda process, line: print(line, flush=True)
asyncio.run(Supervisor(Folders.at(data), {}, say, data / "Procfile").run())
"""


def test_when_the_supervisor_is_killed_its_processes_end(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("only: echo up $$; exec sleep 300\n")
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        child = psutil.Process(int(supervisor.stdout.readline()[3:]))
        supervisor.kill()
    child.wait(timeout=20)


def test_the_lock_of_a_data_folder_can_be_taken_before_anything_starts(tmp_path: Path) -> None:
    with claim(Folders.at(tmp_path)), pytest.raises(AlreadyRunning, match="in use by a running"):
        claim(Folders.at(tmp_path))
    claim(Folders.at(tmp_path)).close()
