"""`hoursight functions`: the list, the runs, why one failed, a new one, a suspended one."""

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import hoursight
from functions.engine.caller import FunctionCaller
from functions.engine.executors.executor import RunStopped
from functions.engine.executors.function_call import CallResult
from functions.engine.executors.subprocess_executor import WorkerFactory
from functions.engine.listeners import CommitListener
from functions.engine.runner import Runner
from functions.engine.user_code import UserCode
from scripts.cli.function_list import NOT_LOADED, why
from storage.config.settings import Settings
from tests.conftest import NOW, LakeFixture
from tests.functions.engine.engine_scenes import save

Run = Callable[..., tuple[int, str, str]]

CASES = """
SHORT = dict(on=every("1m"), writes="server_facts", deadline="1s", memory_mb=250)

@function(**SHORT)
def good(now): return facts(now)
@function(**SHORT)
def raises(): return {}["key"]
@function(**SHORT)
def crashes(): os._exit(3)
@function(**SHORT)
def hangs():
    while True: time.sleep(60)
@function(**SHORT)
def leaks():
    held = []
    while True: held.append(os.urandom(1000) * 1000)
"""

SAMPLE = """
@function(on=every("1m"), writes="metrics")
def sample():
    noon = pa.array([datetime(2026, 5, 6, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    return pa.table({"server": ["a"], "ts": noon, "mem_used_pct": [1.0]})
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], house: LakeFixture) -> Run:
    """Runs the command on the house's folder; gives exit code, output and errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            hoursight.main([*arguments, "--data", str(house.folders.data)])
        except SystemExit as leave:
            code = int(leave.code or 0)
        return code, *capsys.readouterr()

    return call


@pytest.mark.parametrize(
    ("name", "outcome", "error", "remedy"),
    [
        ("raises", "failed after", r"KeyError: 'key' (line", "mend"),
        ("crashes", "crashed after", "its process ended with exit code 3", "os._exit"),
        ("hangs", "timed out after", "it still ran at its deadline of 1 s; it was at", "deadline="),
        ("leaks", "out of memory after", "more than its limit of 250 MB", "memory_mb="),
    ],
)
def test_why_tells_when_how_and_what_to_do(
    run: Run, house: LakeFixture, name: str, outcome: str, error: str, remedy: str
) -> None:
    path = save(house.folders, "cases", CASES)
    assert run("call", name)[0] == 1
    code, out, _ = run("functions", "why", name)
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert code == 0
    assert lines["failed"].endswith("set off by command")
    assert lines["outcome"].startswith(outcome)
    assert error in lines["error"]
    assert remedy in out
    assert str(path) in out


def test_why_of_a_function_that_is_well_says_so(run: Run, house: LakeFixture) -> None:
    save(house.folders, "cases", CASES)
    run("call", "good", "--dry-run")
    assert "it has not run yet" in run("functions", "why", "good")[1]
    run("call", "good")
    assert "the last 1 runs went well" in run("functions", "why", "good")[1]
    known = run("functions", "why", "nobody")[2]
    assert re.search(r"there are .*\bcrashes, .*\bforecast, .*\bgood", known)


class Failing:
    def call(self, *_: object) -> CallResult:
        raise RunStopped("crashed", "its process was killed by signal 11 (SIGSEGV)")


@pytest.fixture
def suspended(house: LakeFixture) -> Runner:
    """The runner of a function that has failed five times in a row."""
    save(house.folders, "cases", CASES)
    runner = Runner(house.folders, Settings(), clock=lambda: NOW)
    function = FunctionCaller(runner).find("good").function
    for i in range(5):
        runner.run(function, "t", NOW - timedelta(seconds=10 - i), executor=Failing())
    runner.flush()
    return runner


def test_a_suspended_function_is_shown_until_it_is_resumed(run: Run, suspended: Runner) -> None:
    assert "suspended: its process was killed" in run("functions", "list")[1]
    reported = "\n".join(why(suspended, "good"))
    assert (
        "suspended after 5 failures in a row: it is tried again about 2026-05-06 12:10:24Z"
        in reported
    )
    assert "'hoursight functions resume good'" in reported
    assert "good runs again" in run("functions", "resume", "good")[1]
    assert "suspended:" not in run("functions")[1]
    assert "good is not suspended" in run("functions", "resume", "good")[1]


def test_a_changed_source_is_no_longer_suspended(
    run: Run, house: LakeFixture, suspended: Runner, engine: UserCode
) -> None:
    assert suspended.run_log.state(FunctionCaller(suspended).find("good").function).suspended
    save(house.folders, "cases", CASES + "# mended\n")
    assert "suspended:" not in run("functions")[1]
    engine.refresh()
    assert "suspended:" not in run("functions")[1]
    assert NOT_LOADED not in run("functions")[1]


@pytest.fixture
def engine(house: LakeFixture) -> Iterator[UserCode]:
    """What loads the user's files in the running system; a test has it look at the folder."""
    stop = threading.Event()
    runner = Runner(house.folders, Settings())
    users = UserCode(
        runner, WorkerFactory(house.folders, Settings()), CommitListener(house.folders, stop)
    )
    yield users
    stop.set()
    for source_worker in users.source_workers.values():
        source_worker.stop()


def test_a_file_with_an_error_is_listed_with_what_runs_in_its_place(
    run: Run, house: LakeFixture, engine: UserCode
) -> None:
    save(house.folders, "broken", "def f(:\n")
    engine.refresh()
    assert "cannot be loaded: SyntaxError" in run("functions")[1]
    assert "nothing runs" in run("functions", "why", "broken")[1]
    code, _, err = run("call", "broken")
    assert (code, "SyntaxError" in err) == (1, True)
    save(house.folders, "cases", CASES)
    engine.refresh()
    save(house.folders, "cases", CASES + "1 / 0\n")
    engine.refresh()
    assert "its last good version runs: ZeroDivisionError" in run("functions")[1]
    assert "its last good version runs on until" in run("functions", "why", "good")[1]
    assert run("call", "good")[0] == 0


MARKS = """
from pathlib import Path
Path(__file__).with_name("marker").touch()

@function(on=request(), writes="server_facts")
def marks(now): return facts(now)
"""


READING = [
    ("list",),
    ("runs",),
    ("why", "side_effect"),
    ("why", "marks"),
    ("resume", "marks"),
    ("revive", "marks"),
]


@pytest.mark.parametrize("command", READING)
def test_no_command_but_call_runs_or_keeps_what_is_saved(
    run: Run, house: LakeFixture, command: tuple[str, ...]
) -> None:
    path = save(house.folders, "side_effect", MARKS)
    run("functions", *command)
    assert list(house.folders.functions.iterdir()) == [path]
    assert run("call", "marks")[0] == 0
    assert (house.folders.functions / "marker").exists()


def test_a_file_that_is_not_loaded_yet_says_so(run: Run, house: LakeFixture) -> None:
    save(house.folders, "side_effect", MARKS)
    assert re.search(rf"^side_effect +{re.escape(NOT_LOADED)}", run("functions")[1], re.MULTILINE)
    assert f"side_effect is {NOT_LOADED}" in run("functions", "why", "side_effect")[1]
    assert "not loaded yet: side_effect.py" in run("functions", "why", "marks")[2]


def test_a_new_function_is_made_without_loading_the_others(run: Run, house: LakeFixture) -> None:
    save(house.folders, "side_effect", MARKS)
    assert run("functions", "new", "another")[0] == 0
    names = {path.name for path in house.folders.functions.iterdir()}
    assert names == {"side_effect.py", "another.py", "test_another.py"}


def test_a_changed_file_is_not_loaded_to_be_listed(run: Run, house: LakeFixture) -> None:
    path = save(house.folders, "cases", CASES)
    run("call", "good")
    path.write_text(path.read_text() + MARKS)
    assert f"its last good version runs: the saved one is {NOT_LOADED}" in run("functions")[1]
    assert NOT_LOADED in run("functions", "why", "good")[1]
    assert not (house.folders.functions / "marker").exists()


def test_a_call_loads_no_file_that_has_nothing_to_do_with_it(run: Run, house: LakeFixture) -> None:
    save(house.folders, "cases", CASES)
    run("call", "good")
    save(house.folders, "side_effect", MARKS)
    assert run("call", "good")[0] == 0
    assert not (house.folders.functions / "marker").exists()


def test_runs_lists_the_ledger(run: Run, house: LakeFixture) -> None:
    save(house.folders, "cases", CASES)
    run("call", "good")
    run("call", "raises")
    house.commit(datetime.now(UTC))
    assert "server_facts" not in run("functions", "runs", "raises")[1]
    out = run("functions", "runs", "--last", "2")[1]
    assert [line.split()[2] for line in out.splitlines()[1:]] == ["raises", "good"]


def test_runs_of_a_clock_that_was_ahead_do_not_hide_the_present(
    run: Run, house: LakeFixture
) -> None:
    now = datetime.now(UTC)
    rows = [
        {"run_id": name, "function": name, "ts": now + timedelta(hours=hours), "outcome": "ok"}
        for name, hours in (("ahead", 2), ("present", 0))
    ]
    house.put("runs", rows, created_at=now)
    house.commit(now)
    out = run("functions", "runs", "--last", "2")[1]
    assert [line.split()[2] for line in out.splitlines()[1:]] == ["present", "ahead"]


def test_a_new_function_runs_and_its_test_passes_as_they_are(run: Run, house: LakeFixture) -> None:
    code, out, _ = run("functions", "new", "spare_disk")
    assert code == 0
    assert "spare_disk.py" in out
    assert "nothing to do" in run("call", "spare_disk")[1]
    body = '{"server": "web1", "mem_used_pct": 61.5}'
    assert "1 rows for metrics" in run("call", "spare_disk", "--body", body, "--verbose")[1]
    house.commit(datetime.now(UTC))
    assert house.one("SELECT mem_used_pct FROM metrics WHERE server = 'web1'") == 61.5
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=house.folders.functions, capture_output=True, text=True,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout
    assert "2 passed" in tested.stdout


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("forecast", "there is a function 'forecast' already"),
        ("simulator", "there is a function 'simulator' already"),
        ("No-Name", "'No-Name' is not a valid name"),
        ("../up", "is not a valid name"),
    ],
)
def test_a_name_that_will_not_do_is_told(run: Run, name: str, says: str) -> None:
    code, _, err = run("functions", "new", name)
    assert (code, says in err) == (1, True)


def test_the_folder_may_stand_before_the_word(tmp_path: Path) -> None:
    hoursight.main(["functions", "--data", str(tmp_path), "new", "mine"])
    assert (tmp_path / "functions" / "mine.py").exists()


def test_wrong_json_is_told(run: Run, house: LakeFixture) -> None:
    save(house.folders, "cases", CASES)
    assert "--body '{' is not valid JSON" in run("call", "good", "--body", "{")[2]


PORTIONS = """
from hoursight import Batch, every, function, table


@function(on=every("5m"), writes="metrics")
def portions(now, cursor: str | None) -> Batch:
    "Three portions."
    at = int(cursor or 0) + 1
    rows = table("metrics").rows([{"server": f"s{at}", "ts": now}])
    return Batch({"metrics": rows}, cursor=str(at), more=at < 3)
"""


def test_a_call_goes_on_while_there_is_more_and_a_dry_run_shows_one_portion(
    run: Run, house: LakeFixture
) -> None:
    save(house.folders, "portions", PORTIONS)
    assert run("call", "portions", "--dry-run")[1].count("1 rows for metrics") == 1
    assert run("call", "portions")[1].count("1 rows for metrics, in the inbox") == 3


def test_runs_lists_what_became_of_the_rows(run: Run, house: LakeFixture) -> None:
    """The rows of the second run are in the lake already."""
    save(house.folders, "sample", SAMPLE)
    for _ in range(2):
        run("call", "sample")
        house.commit(datetime.now(UTC))
    listed = run("functions", "runs")[1]
    assert re.search("rows_out +new +refused +repeated", listed)
    assert re.findall(r"ok +1 +(\d+) +0 +(\d+)", listed) == [("0", "1"), ("1", "0")]
