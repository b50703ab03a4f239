import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scripts.cli import launch
from scripts.cli.launch import PortTaken, _line_printer, set_scenario
from storage.config.folders import Folders
from storage.config.settings import SettingsError, WebSettings
from storage.platform import logs
from tests.conftest import LakeFixture


def test_a_quiet_command_holds_back_routine_lines_only() -> None:
    said: list[str] = []
    tell = _line_printer(said.append, quiet=True)
    head = "2026-05-06T12:00:00.123Z"
    tell("writer", f"{head} INFO writer storage.lake.writer committed")
    tell("writer", f"{head} ERROR writer storage.lake.writer failed")
    tell("writer", "    | ValueError: wrong")
    tell("web", f"{head} CRITICAL web storage.config.process_setup web.port is 'x'")
    tell("web", '{"ts":"2026-05-06T12:00:00.123Z","level":"INFO","process":"web"}')
    tell("writer", "printed")
    assert [line.partition("│ ")[2].partition(" ")[2] for line in said] == [
        "ERROR writer storage.lake.writer failed", "   | ValueError: wrong",
        "CRITICAL web storage.config.process_setup web.port is 'x'", "",
    ]  # fmt: skip


def test_in_json_every_line_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_options", logs.LogOptions("supervisor", "info", "json"))
    said: list[str] = []
    _line_printer(said.append, quiet=False)("engine", "ended (exit code 1); starts again in 1 s")
    assert json.loads(said[0])["process"] == "engine"


def test_in_json_a_forged_line_with_control_characters_is_a_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "_options", logs.LogOptions("supervisor", "info", "json"))
    said: list[str] = []
    forged = '{"ts":"2026-05-06T12:00:00.123Z","level":"INFO","message":"\x1b[2J"}'
    _line_printer(said.append, quiet=False)("engine", forged)
    assert json.loads(said[0])["message"] == forged
    assert said[0].isprintable()


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which something listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_that_is_named_and_taken_is_an_error_with_the_remedy(
    tmp_path: Path, taken_port: int
) -> None:
    with pytest.raises(PortTaken, match=f"port {taken_port} of 127.0.0.1 is taken: name a free"):
        launch._port(tmp_path, WebSettings(), taken_port, launch.PORTS_TRIED)


def test_the_demo_takes_the_next_free_port(tmp_path: Path, taken_port: int) -> None:
    port = launch._port(tmp_path, WebSettings(port=taken_port), None, launch.PORTS_TRIED)
    assert taken_port < port < taken_port + launch.PORTS_TRIED


def test_an_address_of_another_machine_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match=r"web.host is '192.0.2.1' with port 8080"):
        launch._is_free("192.0.2.1", 8080)


def test_a_scenario_is_a_row_for_the_simulator(house: LakeFixture) -> None:
    set_scenario(house.folders.data, "cascade")
    house.commit(datetime.now(UTC))
    assert house.one("SELECT scenario FROM scenarios") == "cascade"


def test_a_new_demo_has_a_simulated_fleet_and_an_old_one_keeps_its_settings(
    tmp_path: Path,
) -> None:
    lines: list[str] = []
    for servers in (7, 9):
        settings = launch._settings(tmp_path, servers, lines.append)
        assert settings.sources.simulator.servers == 7
    assert lines == [f"New data folder {tmp_path}: 7 simulated servers with 8 days of history."]
    assert Folders.at(tmp_path).settings.exists()
