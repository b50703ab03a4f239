import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from functions.engine.executors.executor import RunStopped
from functions.engine.executors.function_call import CallRequest, CallResult
from functions.engine.executors.subprocess_executor import (
    LoadFailed,
    SubprocessExecutor,
    WorkerFactory,
)
from functions.engine.executors.worker_protocol import CodeSource
from functions.engine.listeners import CommitListener
from functions.engine.scheduler import SourceWorker
from storage.config.folders import Folders
from storage.config.settings import Settings
from tests.conftest import NOW, LakeFixture
from tests.functions.engine.engine_scenes import HEAD, Watched, save

MISCHIEF = """
SHORT = dict(on=request(), writes="server_facts", deadline="1s", memory_mb=250)

@function(**SHORT)
def good(now, body, cursor): return Batch({"server_facts": facts(now)}, cursor=f"{cursor}+1")
@function(**SHORT)
def raises(): return {}["key"]
@function(**SHORT)
def shouts(): raise ValueError(100_000 * "x")
@function(**SHORT)
def leaves(): sys.exit(4)
@function(**SHORT)
def exits(): print("goodbye"); os._exit(3)
@function(**SHORT)
def segfaults(): ctypes.string_at(0)
@function(**SHORT)
def leaks():
    held = []
    while True: held.append(os.urandom(1000) * 1000)
@function(**SHORT)
def hangs():
    while True: time.sleep(60)
@function(**SHORT)
def spins():
    while True: pass
@function(**SHORT)
def babbles(now): sys.stdout.buffer.write(os.urandom(3_000_000)); return facts(now)
@function(**SHORT)
def interrupts():
    for handle in range(3, 300):
        try: os.write(handle, b"garbage" * 100)
        except OSError: pass
    time.sleep(60)
@function(**SHORT)
def mistaken(): return 42
@function(**SHORT)
def offline(): raise Unreachable("the database is away")
@function(**SHORT)
def pid(now): return facts(now, str(os.getpid()))
@function(**SHORT)
def litters():
    import subprocess
    print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid)
    os._exit(1)
"""


def source(folders: Folders, body: str = MISCHIEF, name: str = "mischief") -> CodeSource:
    path = save(folders, name, body)
    return CodeSource(path=str(path), text=path.read_bytes())


@pytest.fixture(scope="module")
def worker_factory(tmp_path_factory: pytest.TempPathFactory) -> WorkerFactory:
    return WorkerFactory(Folders.at(tmp_path_factory.mktemp("var")).create(), Settings())


@pytest.fixture(scope="module")
def executor(worker_factory: WorkerFactory) -> Iterator[SubprocessExecutor]:
    executor = SubprocessExecutor(worker_factory, source(worker_factory.folders)).load()
    yield executor
    executor.close()


Call = Callable[..., CallResult]


@pytest.fixture(scope="module")
def call(executor: SubprocessExecutor) -> Call:
    functions = {f.name: f for f in executor.functions}
    return lambda name, **options: executor.call(functions[name], CallRequest(NOW, **options))


def server(answer: CallResult) -> str:
    return str(answer.batch.rows["server_facts"]["server"][0].as_py())


def test_a_child_answers_with_rows_and_cursor(call: Call) -> None:
    answer = call("good", cursor="1")
    assert answer.batch.rows["server_facts"].to_pylist() == [{"server": "a", "ts": NOW}]
    assert answer.batch.cursor == "1+1"


def test_a_run_in_a_child_is_measured(call: Call) -> None:
    cost = call("good").cost
    assert cost.peak_rss_mb > 20
    assert 0 <= cost.cpu_s < 1


@pytest.mark.parametrize(
    ("name", "outcome", "says"),
    [
        ("raises", "failed", r"KeyError: 'key' \(line \d+ of mischief.py\)"),
        ("shouts", "failed", r"x… \(cut, 98,\d+ more characters\) \(line \d+ of mischief.py\)"),
        ("leaves", "failed", r"SystemExit: 4"),
        ("mistaken", "failed", r"mistaken returned int: return a pyarrow.Table"),
        ("offline", "unreachable", r"the database is away"),
        ("exits", "crashed", r"ended with exit code 3; its last output: 'goodbye'"),
        ("segfaults", "crashed", r"signal 11 \(SIGSEGV\); it was at line \d+ of mischief.py, segf"),
        ("leaks", "out of memory", r"it used \d+ MB, more than its limit of 250 MB"),
        ("hangs", "timed out", r"deadline of 1 s; it was at line \d+ of mischief.py, hangs"),
        ("spins", "timed out", r"deadline of 1 s; it was at line \d+ of mischief.py, spins"),
        ("interrupts", "crashed", r"it answered with nonsense: something else than a message"),
    ],
)
def test_mischief_ends_a_run_in_words_and_the_next_one_is_well(
    call: Call, name: str, outcome: str, says: str
) -> None:
    with pytest.raises(RunStopped, match=says) as stopped:
        call(name)
    assert stopped.value.outcome == outcome
    assert server(call("good")) == "a"


def test_whatever_a_function_prints_is_no_answer(call: Call) -> None:
    assert server(call("babbles")) == "a"


def test_a_child_serves_run_after_run_and_is_replaced_after_a_crash(call: Call) -> None:
    first = server(call("pid"))
    assert server(call("pid")) == first
    with pytest.raises(RunStopped):
        call("exits")
    assert server(call("pid")) not in (first, str(os.getpid()))


def test_a_child_that_died_between_two_runs_is_replaced_unnoticed(call: Call) -> None:
    first = int(server(call("pid")))
    os.kill(first, 9)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert int(server(call("pid"))) != first


def test_what_a_child_started_ends_with_it(call: Call) -> None:
    with pytest.raises(RunStopped, match=r"its last output: '(\d+)'") as stopped:
        call("litters")
    litter = int(str(stopped.value).rpartition("'")[0].rpartition("'")[2])
    with suppress(ProcessLookupError):  # it is gone already
        handle = os.pidfd_open(litter)
        assert select.select([handle], [], [], 10)[0] == [handle]  # it has ended
        os.close(handle)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("def broken(:\n", r"SyntaxError: .* \(line 12\)"),
        ("import nowhere_to_be_found\n", "ModuleNotFoundError: No module named 'nowhere"),
        ("1 / 0\n", r"ZeroDivisionError: division by zero \(line 12 of bad.py\)"),
        ("", "ImportError: no function in it"),
        ("@function(on=every('5 apples'), writes='metrics')\ndef f(): ...\n", "is not a valid"),
        ("@function(on=every('5s'), writes='metricks')\ndef f(): ...\n", "no table 'metricks'"),
        ("@function(on=rows('metricks'), writes='metrics')\ndef f(): ...\n", "no table 'metricks'"),
        ("@function(on='5s', writes='metrics')\ndef f(): ...\n", "sets nothing off"),
        ("os._exit(7)\n", "while it was loaded its process ended with exit code 7"),
    ],
)
def test_a_source_that_cannot_be_loaded_says_why(
    worker_factory: WorkerFactory, body: str, says: str
) -> None:
    with pytest.raises(LoadFailed, match=says):
        SubprocessExecutor(worker_factory, source(worker_factory.folders, body, "bad")).load()


def test_a_function_of_ours_is_loaded_by_its_module(worker_factory: WorkerFactory) -> None:
    executor = SubprocessExecutor(
        worker_factory, CodeSource(module="functions.connectors.host")
    ).load()
    [host] = executor.functions
    answer = executor.call(host, CallRequest(NOW))
    executor.close()
    assert answer.batch.rows["metrics"].num_rows == 1
    assert answer.batch.cursor is not None


def test_a_run_in_progress_ends_when_its_executor_is_closed(worker_factory: WorkerFactory) -> None:
    body = '@function(on=request(), writes="server_facts")\ndef f(): time.sleep(60)\n'
    executor = SubprocessExecutor(
        worker_factory, source(worker_factory.folders, body, "slow")
    ).load()
    ended: list[str] = []

    def run() -> None:
        try:
            executor.call(executor.functions[0], CallRequest(NOW))
        except RunStopped as stopped:
            ended.append(stopped.outcome)

    thread = threading.Thread(target=run)
    thread.start()
    began = time.monotonic()
    executor.close()
    thread.join(10)
    assert ended == ["stopped"]
    assert time.monotonic() - began < 10


BAD = ("raises", "exits", "segfaults", "leaks", "hangs", "babbles", "interrupts")


@pytest.mark.timeout(180)
def test_everybody_else_goes_on_while_functions_misbehave(house: LakeFixture) -> None:
    runner, stop = Watched(house.folders), threading.Event()
    worker_factory, news = (
        WorkerFactory(runner.folders, Settings()),
        CommitListener(runner.folders, stop),
    )
    scheduled = MISCHIEF.replace("on=request()", 'on=every("100ms")')
    head, *cases = scheduled.split("@function")
    bodies = {name: c for c in cases for name in BAD if f"def {name}(" in c}
    beat = '@function(on=every("100ms"), writes="server_facts")\ndef beat(now): return facts(now)\n'
    sources = [source(runner.folders, f"{head}@function{bodies[name]}", name) for name in BAD]
    source_workers = [
        SourceWorker(runner, SubprocessExecutor(worker_factory, each), news)
        for each in [*sources, source(runner.folders, beat, "beat")]
    ]
    for source_worker in source_workers:
        source_worker.start()
    runner.until(lambda: all(runner.of(name) for name in BAD), "a run of each")
    runner.until_run("beat", times=len(runner.of("beat", "ok")) + 5)
    for source_worker in source_workers:
        source_worker.stop()
    stop.set()
    assert {e["outcome"] for e in runner.of("beat")} == {"ok"}
    assert {name: runner.of(name)[0]["outcome"] for name in BAD} == {
        "raises": "failed", "exits": "crashed", "segfaults": "crashed", "leaks": "out of memory",
        "hangs": "timed out", "babbles": "ok", "interrupts": "crashed",
    }  # fmt: skip
    runner.flush()
    house.commit(runner.clock())
    assert house.one("SELECT count(*) FROM server_facts WHERE server = 'a'") > 5
    assert "line" in house.one("SELECT error FROM runs WHERE function = 'hangs' LIMIT 1")


def test_the_head_of_the_scenes_has_as_many_lines_as_the_tests_say() -> None:
    assert len(HEAD.splitlines()) == 11


OLD_IMPORT = """
from functions.deprecated_imports import DeprecatedImports
sys.meta_path.append(DeprecatedImports({"functions.gone.function": {"function": "function"}}))
from functions.gone.function import function as register
@register(on=request(), writes="server_facts")
def old(now): return facts(now)
"""


def test_an_old_import_works_and_its_warning_is_logged(
    worker_factory: WorkerFactory, caplog: pytest.LogCaptureFixture
) -> None:
    executor = SubprocessExecutor(
        worker_factory, source(worker_factory.folders, OLD_IMPORT, "old")
    ).load()
    answer = executor.call(executor.functions[0], CallRequest(NOW))
    executor.close()
    assert server(answer) == "a"
    assert "old.py, line 15: 'from functions.gone.function import function' ends" in caplog.text
    assert "write 'from hoursight import function'" in caplog.text


def test_a_file_that_is_refused_starts_no_worker(worker_factory: WorkerFactory) -> None:
    source = CodeSource(path="functions/mine.py", refusal="other users can write to it")
    with pytest.raises(LoadFailed, match="other users can write to it"):
        SubprocessExecutor(worker_factory, source).load()


CURIOUS = """
@function(on=request(), writes="server_facts")
def curious(now): return facts(now, f"{os.environ.get('DB_PASSWORD')} {'PATH' in os.environ}")
"""


def test_a_function_does_not_see_a_password_and_its_author_is_told(
    worker_factory: WorkerFactory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "s3cret")
    curious = source(worker_factory.folders, CURIOUS, "curious")
    executor = SubprocessExecutor(worker_factory, curious).load()
    answer = executor.call(executor.functions[0], CallRequest(NOW))
    executor.close()
    assert server(answer) == "None True"
    assert "[functions.curious] environment = ['DB_PASSWORD']" in caplog.text
