"""The log of the real processes: options, formats, and the run that a line belongs to."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage.config.folders import Folders
from storage.config.settings import HostSettings, Settings, SourceSettings, write_settings

FUNCTION = """
import logging
from functions.engine.function import Batch, function
from functions.engine.triggers import request
log = logging.getLogger(__name__)

@function(on=request(), writes="server_facts")
def chatty(now):
    log.info("hello from within\\na run")
    print("printed, not logged")
    return Batch()
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=100,
        check=False, env=os.environ | environment,
    )  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_settings(tmp_path, Settings(sources=SourceSettings(HostSettings(False))))
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "chatty.py").write_text(FUNCTION)
    return tmp_path


def test_what_a_function_logs_in_its_child_carries_the_run(data: Path) -> None:
    done = run(
        "hoursight", "--log-format", "json", "--log-level", "info", "call", "chatty",
        "--data", str(data), HOURSIGHT_LOG_LEVEL="error",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    (reported,) = [line for line in lines if line["logger"] == "users.chatty"]
    assert reported["message"] == "hello from within\na run"
    assert reported["process"] == "command/chatty"
    assert len(reported["run_id"]) == 32


def test_the_run_of_a_line_is_the_run_of_the_ledger(data: Path) -> None:
    done = run("hoursight", "--log-level", "debug", "call", "chatty", "--data", str(data))
    runs = {part.split("]")[0] for part in done.stderr.split("[run ")[1:]}
    (run_id,) = runs
    (segment,) = Folders.at(data).inbox.glob("*-runs-*.parquet")
    assert run_id.encode() in segment.read_bytes()


@pytest.mark.parametrize(
    "module", [("storage",), ("functions", "collect"), ("functions", "think"), ("web",)]
)
def test_every_process_refuses_a_level_that_is_none(data: Path, module: tuple[str, ...]) -> None:
    done = run(*module, "--data", str(data), HOURSIGHT_LOG_LEVEL="loud")
    assert done.returncode == 2
    assert "'loud' is not a log level (expected debug, info" in done.stderr


def test_the_writer_logs_as_it_is_told(data: Path) -> None:
    command = [sys.executable, "-m", "storage", "--data", str(data)]
    with subprocess.Popen(
        [*command, "--log-level", "debug", "--log-format", "json"], stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        first = [json.loads(process.stderr.readline())]
        while first[-1]["logger"] != "storage.__main__":
            first.append(json.loads(process.stderr.readline()))
        process.terminate()
        rest = [json.loads(line) for line in process.stderr]
    assert {line["process"] for line in first + rest} == {"writer"}
    assert {"DEBUG", "INFO"} <= {line["level"] for line in first + rest}
