"""`hoursight up` while somebody edits its settings: a new metric, a wrong one, another port."""

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import hoursight
from scripts.ports import free_port
from storage.query.reader import LakeMissing, QueryFailed

WITHIN_S = 120.0
PROCESSES = ("writer", "collector", "engine", "web")  # the trainer has no settings
KEPT = "the previous settings stay in force"

pytestmark = pytest.mark.timeout(600)


class Running:
    """A running `hoursight up` whose only samples are those that the test pushes."""

    def __init__(self, data: Path) -> None:
        self.data, self.port, self.said = data, free_port(), list[str]()
        self.settings()
        command = [sys.executable, "-m", "hoursight", "up", "--data", str(data)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def settings(self, *more: str) -> None:
        ours = f"[web]\nport = {self.port}\n[sources.host]\nenabled = false\n"
        (self.data / "hoursight.toml").write_text("\n".join([ours, *more]))

    def _read(self) -> None:
        with self.process.stdout as output:
            self.said.extend(line.rstrip() for line in output)

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            self._reader.join()

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        give_up = time.monotonic() + WITHIN_S
        while time.monotonic() < give_up:
            try:
                if result := condition():
                    return result
            except (OSError, LakeMissing, QueryFailed):
                pass
            time.sleep(0.2)
        pytest.fail(f"not within {WITHIN_S:g} s: {what}\n" + "\n".join(self.said))

    def push(self, **values: float) -> dict[str, Any]:
        """Push a sample of ten minutes ago; what the site answers."""
        record = {
            "server": "a",
            "timestamp": (datetime.now(UTC) - timedelta(minutes=10)).isoformat(),
        }
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/feed", json.dumps([record | values]).encode(),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return dict(json.load(reply))
        except urllib.error.HTTPError as error:  # 503 while the process starts again
            with error:
                return {"accepted": 0, "status": error.code}

    def takes(self, name: str) -> bool:
        answer = self.push(mem_used_pct=50.0, **{name: 7.0})
        return bool(answer["accepted"]) and name not in answer["fields_ignored"]

    def sql(self, text: str) -> list[dict[str, Any]]:
        with hoursight.connect(self.data) as lake:
            return list(lake.sql(text).to_pylist())

    def pids(self) -> list[dict[str, Any]]:
        return self.sql("SELECT process, event, pid FROM processes ORDER BY ALL")

    def reported(self, text: str) -> set[str]:
        return {line.split("│")[0].strip() for line in list(self.said) if text in line}


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    running.end()


def test_everything_follows_an_edit_of_the_settings_and_nothing_dies_of_a_wrong_one(
    system: Running,
) -> None:
    system.until(lambda: system.push(mem_used_pct=1.0)["accepted"], "a sample is taken")
    assert not system.takes("gpu_used_pct")
    system.until(lambda: len(system.pids()) == len(PROCESSES) + 1, "the starts are written down")
    before = system.pids()

    gpu = '[[metrics]]\nname = "gpu_used_pct"\nhighest = 100\n'
    system.settings(gpu)
    system.until(lambda: system.takes("gpu_used_pct"), "the new metric is accepted")
    stored = "SELECT 1 FROM metrics WHERE gpu_used_pct = 7"
    system.until(lambda: system.sql(stored), "it is stored")
    rolled_up = "SELECT 1 FROM metrics_5m WHERE gpu_used_pct_mean = 7"
    system.until(lambda: system.takes("gpu_used_pct") and system.sql(rolled_up), "it is rolled up")

    system.settings(gpu, '[[metrics]]\nname = "GPU %"')
    system.until(lambda: system.reported(KEPT) == set(PROCESSES), "the wrong setting is reported")
    assert all("expected lower-case letters" in line for line in system.said if KEPT in line)
    assert system.takes("gpu_used_pct")
    with urllib.request.urlopen(f"http://127.0.0.1:{system.port}/", timeout=30) as page:
        assert page.status == 200

    system.port = free_port()
    system.settings(gpu, '[[metrics]]\nname = "fans"\n')
    system.until(lambda: system.takes("fans"), "the mended settings are followed, at the new port")
    assert not any("Traceback" in line for line in system.said)
    assert system.pids() == before
