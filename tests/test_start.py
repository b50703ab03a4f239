"""`hoursight up` and its processes as a user starts them: wrong settings, folders in the way."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scripts.ports import free_port
from storage.config.api_keys import create_key
from storage.config.folders import Folders
from storage.lake.writer import Writer
from tests.start_scenes import Up, crowd, running

WRONG = "[web]\nport = 'x'\n"
SENTENCE = "hoursight.toml: web.port is 'x', expected `int`, got `str`; correct that file\n"
ROOMS = (["storage"], ["functions", "collector"], ["functions", "engine"], ["web"])
COMMAND = [sys.executable, "-P", "-m", "hoursight"]

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A working directory with modules of the names of ours, each of which raises."""
    return crowd(tmp_path)


@pytest.fixture
def up(crowded: Path) -> Iterator[Up]:
    with running(crowded, [*COMMAND, "up", "--port", str(free_port())]) as up:
        yield up


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=100, check=False,
        env=os.environ | environment,
    )  # fmt: skip


def test_up_runs_where_modules_have_the_names_of_ours_says_the_next_step_and_refuses_a_second(
    up: Up, crowded: Path
) -> None:
    up.until("The site: ")
    second = run(*COMMAND, "up", cwd=crowded)
    assert second.returncode == 1
    assert second.stdout == ""
    assert second.stderr.startswith(f"hoursight: {crowded}/var is in use by a running hoursight: ")
    demo = run(*COMMAND, "demo", "--scenario", "cascade", cwd=crowded)
    assert (demo.returncode, demo.stdout) == (1, "")
    up.until(" INFO web web.__main__ listening at http://127.0.0.1:")
    up.until("No source is configured: write one with 'hoursight sources new KIND")
    up.until(" INFO writer storage.__main__ writing to ")
    up.end()
    assert up.process.returncode == 0
    assert "the wrong" not in up.said
    assert "ended" not in up.said
    assert "Stopped. The data stays" in up.said


@pytest.mark.parametrize("command", ["up", "demo"])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (WRONG, SENTENCE),
        ("[web]\nhost = '0.0.0.0'\n", "no API key exists: create one with 'hoursight keys create"),
        (
            "[lake]\ndata_path = '/nonexistent/lake'\n",
            "lake.data_path '/nonexistent/lake' cannot be used",
        ),
    ],
)
def test_a_wrong_setting_ends_the_start_with_one_sentence(
    tmp_path: Path, command: str, text: str, says: str
) -> None:
    (tmp_path / "hoursight.toml").write_text(text)
    done = run(*COMMAND, command, "--data", str(tmp_path), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["up", "demo"])
def test_an_address_of_another_machine_is_a_wrong_setting(tmp_path: Path, command: str) -> None:
    create_key(Folders.at(tmp_path), "me", ["admin"], datetime.now(UTC))
    (tmp_path / "hoursight.toml").write_text("[web]\nhost = '192.0.2.1'\n")
    done = run(*COMMAND, command, "--data", str(tmp_path), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "web.host is '192.0.2.1' with port 8080, where this machine cannot" in done.stderr


@pytest.mark.parametrize("room", ROOMS)
def test_a_process_logs_a_wrong_setting_in_one_line_and_has_its_own_exit_code(
    tmp_path: Path, room: list[str]
) -> None:
    (tmp_path / "hoursight.toml").write_text(WRONG)
    module = [sys.executable, "-P", "-m", *room, "--data", str(tmp_path)]
    done = run(*module, cwd=tmp_path)
    assert done.returncode == os.EX_CONFIG
    time, _, rest = done.stderr.partition(" ")
    assert datetime.fromisoformat(time).tzinfo is not None
    head = f"CRITICAL {'writer' if room == ['storage'] else room[-1]} storage.config.process_setup "
    assert rest == f"{head}{tmp_path}/{SENTENCE}"


@pytest.mark.parametrize("room", ROOMS)
def test_a_wrong_setting_is_json_where_the_log_is(tmp_path: Path, room: list[str]) -> None:
    (tmp_path / "hoursight.toml").write_text(WRONG)
    module = [sys.executable, "-P", "-m", *room, "--data", str(tmp_path), "--log-format", "json"]
    done = run(*module, cwd=tmp_path)
    assert done.returncode == os.EX_CONFIG
    record = json.loads(done.stderr)
    assert (record["level"], record["message"]) == ("CRITICAL", f"{tmp_path}/{SENTENCE}".strip())


def test_a_second_writer_says_in_its_log_format_why_it_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "storage", "--data", str(tmp_path)]
    with closing(Writer.open(tmp_path)):
        done = run(*command, "--log-format", "json", cwd=tmp_path)
    assert done.returncode == 1
    assert json.loads(done.stderr)["level"] == "CRITICAL"


def test_a_wrong_port_in_the_environment_is_a_wrong_setting(tmp_path: Path) -> None:
    module = [sys.executable, "-P", "-m", "web", "--data", str(tmp_path)]
    done = run(*module, cwd=tmp_path, HOURSIGHT_PORT="80a")
    assert done.returncode == os.EX_CONFIG
    assert done.stderr.endswith(
        " HOURSIGHT_PORT is '80a', expected 1 to 65535: correct or unset it\n"
    )


CONNECT = """
import json, sys
import hoursight
hoursight.connect("var").close()
hoursight.Forecaster
hoursight.call
print(json.dumps([sys.modules[name].__file__ for name in ("storage", "functions")]))
"""


def test_connect_finds_our_packages_whatever_stands_in_the_working_directory(
    crowded: Path, empty_lake: Path
) -> None:
    data = crowded / "var"
    data.rename(crowded / "settings only")
    data.symlink_to(empty_lake)
    done = run(sys.executable, "-c", CONNECT, cwd=crowded)
    assert done.returncode == 0, done.stderr
    assert not [path for path in json.loads(done.stdout) if path.startswith(str(crowded))]


def test_a_module_of_the_users_that_is_imported_already_is_named(tmp_path: Path) -> None:
    (tmp_path / "storage.py").write_text("mine = 1\n")
    code = "import hoursight, storage; hoursight.connect('var')"
    done = run(sys.executable, "-c", code, cwd=tmp_path)
    error = done.stderr.splitlines()[-1]
    assert f"the module 'storage' of {tmp_path}/storage.py is imported already" in error
    assert error.endswith("rename yours, or use Hoursight in a Python that has not imported it")
