from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from functions.engine.executors.executor import RunStopped
from functions.engine.executors.function_call import CallResult
from functions.engine.executors.worker_protocol import CodeSource, Raised
from functions.engine.function import Batch, Function, function
from functions.engine.runner import Runner
from functions.engine.serving_model import ServingModel
from functions.engine.triggers import every
from functions.engine.window import Window
from storage.config.folders import Folders
from storage.config.settings import Settings, SimulatorSettings, SourceSettings
from storage.inbox.segment import provenance_of
from storage.model.schema import table
from storage.platform.error_text import MAX_ERROR_CHARS, MAX_REASONS
from tests.conftest import NOW, LakeFixture
from tests.functions.engine.engine_scenes import declared


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """A data folder without a lake, for what needs none."""
    return Folders.at(tmp_path).create()


def runner_of(folders: Folders, settings: Settings | None = None) -> Runner:
    return Runner(folders, settings or Settings(), clock=lambda: NOW)


def made(call: Callable[..., Any], *writes: str) -> Function:
    return function(on=every("5s"), writes=writes or "scenarios")(call)


def scenario(minutes: int = 0) -> pa.Table:
    rows = [{"ts": NOW - timedelta(minutes=minutes), "scenario": "healthy"}]
    return pa.Table.from_pylist(rows, table("scenarios").arrow)


def waiting(folders: Folders) -> list[tuple[str, str | None]]:
    """Table and cursor of each segment in the inbox, by table."""
    return sorted((each.table, each.cursor) for each in map(provenance_of, folders.inbox.iterdir()))


def idle() -> Batch:
    return Batch()


def look(window: Window) -> Batch:
    window.sql("SELECT 1")
    return Batch()


def explode() -> Batch:
    raise RuntimeError("boom")


def counting(name: str = "count") -> Function:
    """A source whose cursor counts its runs."""

    def count(cursor: str | None) -> Batch:
        number = int(cursor or 0) + 1
        return Batch({"scenarios": scenario(number)}, cursor=str(number))

    count.__name__ = name
    return made(count)


def in_parts(parts: int) -> Function:
    """A function that has more to do until its run number `parts`."""

    def count(cursor: str | None) -> Batch:
        number = int(cursor or 0) + 1
        return Batch({"scenarios": scenario(number)}, cursor=str(number), more=number < parts)

    return made(count)


def test_what_is_done_in_parts_is_told_as_one_run_with_all_rows(folders: Folders) -> None:
    run = runner_of(folders).run_whole(in_parts(3), "test", NOW)
    assert (run.outcome, run.batch.more, run.batch.cursor) == ("ok", False, "3")
    assert run.batch.rows["scenarios"].num_rows == 3
    assert waiting(folders) == [("scenarios", "1"), ("scenarios", "2"), ("scenarios", "3")]


def test_a_dry_run_of_parts_is_the_first_and_says_that_there_are_more(folders: Folders) -> None:
    run = runner_of(folders).run_whole(in_parts(3), "test", NOW, dry=True)
    assert (run.batch.row_count, run.batch.more) == (1, True)
    assert waiting(folders) == []


def test_a_function_is_handed_what_it_names_and_nothing_else(house: LakeFixture) -> None:
    handed: dict[str, Any] = {}

    def ask(model: object, now: object, cursor: object, window: object) -> Batch:
        handed.update(model=model, now=now, cursor=cursor, window=window)
        return Batch()

    assert runner_of(house.folders).run(made(ask), "test", NOW).error is None
    assert (handed["now"], handed["cursor"]) == (NOW, None)
    assert isinstance(handed["model"], ServingModel)
    assert isinstance(handed["window"], Window)


def test_an_adapter_is_handed_its_own_settings(folders: Folders) -> None:
    handed = []

    def simulator(settings: SimulatorSettings) -> Batch:
        handed.append(settings)
        return Batch()

    mine = SimulatorSettings(servers=3)
    settings = Settings(sources=SourceSettings(simulator=mine))
    runner_of(folders, settings).run(made(simulator), "test")
    assert handed == [mine]


def test_a_function_that_asks_nothing_of_the_lake_runs_before_there_is_one(
    folders: Folders,
) -> None:
    run = runner_of(folders).run(counting(), "test")
    assert (run.outcome, run.entry["input_snapshot"]) == ("ok", None)


def test_a_function_that_needs_the_lake_says_so_when_there_is_none(folders: Folders) -> None:
    run = runner_of(folders).run(made(look), "test")
    assert run.outcome == "failed"
    assert (run.error or "").startswith("LakeMissing: ")


def test_what_a_function_raises_is_its_runs_error_and_hurts_nobody(folders: Folders) -> None:
    runner = runner_of(folders)
    run = runner.run(made(explode), "test")
    assert (run.outcome, run.error) == ("failed", "RuntimeError: boom")
    assert waiting(folders) == []
    assert runner.run(counting(), "test").outcome == "ok"


def test_a_function_that_returns_nonsense_has_failed(folders: Folders) -> None:
    run = runner_of(folders).run(made(lambda: 42), "test")
    assert run.outcome == "failed"
    assert "returned int: return a pyarrow.Table" in (run.error or "")


def test_rows_that_do_not_fit_their_table_have_failed_and_move_no_cursor(folders: Folders) -> None:
    rows = pa.table({"moment": [1]})
    runner = runner_of(folders)
    run = runner.run(made(lambda: Batch({"scenarios": rows}, cursor="7")), "test")
    assert (run.outcome, "no column moment" in (run.error or "")) == ("failed", True)
    assert waiting(folders) == []
    assert runner.run(counting("<lambda>"), "test").batch.cursor == "1"


def test_a_run_that_found_nothing_writes_nothing(folders: Folders) -> None:
    run = runner_of(folders).run(made(idle), "test")
    assert (run.outcome, run.error) == ("nothing", None)
    assert waiting(folders) == []


def test_the_enter_runs_runs_reaches_the_lake(house: LakeFixture) -> None:
    house.put("scenarios", scenario(minutes=5))
    house.commit()

    def copy(window: Window) -> Batch:
        window.sql("SELECT * FROM scenarios")
        return Batch({"scenarios": pa.concat_tables([scenario(1), scenario(2)])}, window_key="w")

    runner = runner_of(house.folders)
    snapshot = house.reader.snapshot()
    runner.run(made(copy), "rows in scenarios", NOW)
    runner.flush()
    house.commit()
    entry = house.reader.query("SELECT * FROM runs").to_pylist()[0]
    assert (entry["function"], entry["trigger"], entry["ts"]) == ("copy", "rows in scenarios", NOW)
    assert (entry["rows_out"], entry["window_key"], entry["outcome"]) == (2, "w", "ok")
    assert (entry["rows_in"], entry["input_snapshot"]) == (1, snapshot)


def test_a_failed_run_stands_in_the_ledger_with_its_error(house: LakeFixture) -> None:
    runner = runner_of(house.folders)
    runner.run(made(lambda: 42), "test")
    runner.flush()
    house.commit()
    assert "returned int" in house.one("SELECT error FROM runs WHERE outcome = 'failed'")


def test_an_error_of_any_length_is_cut_before_it_is_stored(house: LakeFixture) -> None:
    def shout() -> Batch:
        raise RuntimeError("x" * 100_000)

    runner = runner_of(house.folders)
    run = runner.run(made(shout), "test")
    runner.failed_to_load(CodeSource(path="a.py"), "y" * 100_000)
    runner.record_source_event("a", "files", "refused", "z" * 100_000)
    runner.flush()
    house.commit()
    stored = house.reader.query("SELECT error FROM runs")["error"].to_pylist()
    stored += house.reader.query("SELECT detail FROM sources")["detail"].to_pylist()
    assert run.error in stored
    assert len(stored) == 3
    assert all(len(e) <= MAX_ERROR_CHARS and e.endswith(" more characters)") for e in stored)


def test_the_reasons_of_a_batch_are_cut_before_they_are_stored(house: LakeFixture) -> None:
    def refuse() -> Batch:
        return Batch({}, refused=200, reasons=("x" * 100_000, *map(str, range(199))))

    runner_of(house.folders).run(made(refuse), "test")
    (path,) = house.folders.inbox.glob("*-scenarios-*.parquet")
    assert path.stat().st_size < 20_000
    house.commit()
    refusals = house.one("SELECT refusals FROM segments WHERE rows_refused = 200")
    assert len(refusals) == MAX_REASONS
    assert max(map(len, refusals)) <= MAX_ERROR_CHARS


def test_each_run_is_flushed_once(folders: Folders) -> None:
    runner = runner_of(folders)
    runner.run(made(idle), "test")
    for _ in range(2):
        runner.flush()
    assert [name for name, _ in waiting(folders)] == ["runs"]


def test_a_segment_tells_where_its_rows_come_from(house: LakeFixture) -> None:
    def tell(window: Window) -> Batch:
        window.sql("SELECT 1")
        return Batch({"scenarios": scenario()}, "c", "key", "a model")

    source = made(tell)
    snapshot = house.reader.snapshot()
    runner_of(house.folders).run(source, "test", NOW)
    provenance = provenance_of(next(house.folders.inbox.iterdir()))
    assert (provenance.function, provenance.code_hash, provenance.created_at) == (
        "tell", source.code_hash, NOW,
    )  # fmt: skip
    assert (provenance.input_snapshot, provenance.window_key, provenance.model) == (
        snapshot,
        "key",
        "a model",
    )


def test_a_cursor_is_remembered_from_run_to_run(folders: Folders) -> None:
    runner, source = runner_of(folders), counting()
    for _ in range(3):
        batch = runner.run(source, "test").batch
    assert batch.cursor == "3"


def test_after_a_restart_the_cursor_is_found_in_the_inbox(folders: Folders) -> None:
    source = counting()
    runner_of(folders).run(source, "test")
    assert runner_of(folders).run(source, "test").batch.cursor == "2"


def test_after_a_restart_the_cursor_is_found_in_the_ledger(house: LakeFixture) -> None:
    source, first = counting(), runner_of(house.folders)
    for seconds in range(3):
        first.run(source, "test", NOW + timedelta(seconds=seconds))
        house.commit()
    assert waiting(house.folders) == []
    assert runner_of(house.folders).run(source, "test").batch.cursor == "4"


def test_what_waits_in_the_inbox_is_newer_than_the_ledger(house: LakeFixture) -> None:
    source, first = counting(), runner_of(house.folders)
    first.run(source, "test", NOW)
    house.commit()
    first.run(source, "test", NOW + timedelta(seconds=1))
    assert runner_of(house.folders).run(source, "test").batch.cursor == "3"


def test_each_function_has_a_cursor_of_its_own(folders: Folders) -> None:
    def other(cursor: str | None) -> Batch:
        return Batch(cursor=f"after {cursor}")

    runner_of(folders).run(counting(), "test")
    assert runner_of(folders).run(made(other), "test").batch.cursor == "after None"


def test_a_cursor_that_moves_without_rows_is_kept(house: LakeFixture) -> None:
    runner_of(house.folders).run(made(lambda: Batch(cursor="7")), "test")
    house.commit()
    assert house.one("SELECT cursor FROM segments") == "7"


FACTS = pa.Table.from_pylist([{"server": "a", "ts": NOW}], table("server_facts").arrow)


def test_the_main_table_alone_carries_the_cursor(folders: Folders) -> None:
    rows = {
        "scenarios": scenario(),
        "server_facts": FACTS,
        "truth": table("truth").arrow.empty_table(),
    }
    source = made(lambda: Batch(rows, cursor="c"), "scenarios", "server_facts", "truth")
    runner_of(folders).run(source, "test")
    assert waiting(folders) == [("scenarios", "c"), ("server_facts", None)]


@pytest.mark.parametrize("main", ["scenarios", "truth"])
def test_the_main_table_comes_last_so_that_no_cursor_outruns_its_rows(
    folders: Folders, main: str
) -> None:
    rows = {main: pa.table({"moment": [1]}), "server_facts": FACTS}
    source = made(lambda: Batch(rows, cursor="c"), main, "server_facts")
    assert runner_of(folders).run(source, "test").outcome == "failed"
    assert waiting(folders) == [("server_facts", None)]


def test_a_dry_run_answers_and_writes_nothing(folders: Folders) -> None:
    runner, source = runner_of(folders), counting()
    run = runner.run(source, "test", dry=True)
    runner.flush()
    assert run.batch.row_count == 1
    assert waiting(folders) == []
    assert runner.run(source, "test").batch.cursor == "1"


def test_a_replay_believes_the_time_it_is_given(house: LakeFixture) -> None:
    then, seen = NOW - timedelta(days=3), []

    def look(now: datetime, window: Window) -> Batch:
        seen.append((now, window.now))
        return Batch()

    run = runner_of(house.folders).run(made(look), "replay", then)
    assert seen == [(then, then)]
    assert run.entry["ts"] == then


def test_without_a_time_the_clock_is_asked(folders: Folders) -> None:
    assert runner_of(folders).run(made(idle), "test").entry["ts"] == NOW


def test_all_queries_of_a_run_see_one_snapshot(house: LakeFixture) -> None:
    counts = []

    def look(window: Window) -> Batch:
        for _ in range(2):
            counts.append(window.sql("SELECT count(*) AS n FROM scenarios")["n"][0].as_py())
            house.put("scenarios", scenario())
            house.commit()
        return Batch()

    assert runner_of(house.folders).run(made(look), "test").error is None
    assert counts == [0, 0]


@pytest.mark.parametrize("outcome", ["ok", "nothing"])
def test_a_run_measures_what_it_cost(folders: Folders, outcome: str) -> None:
    source = counting() if outcome == "ok" else made(idle)
    run = runner_of(folders).run(source, "test")
    assert run.outcome == outcome
    assert run.entry["duration_ms"] > 0
    assert run.entry["peak_rss_mb"] > 1


def test_a_function_waits_without_fault_until_there_is_a_lake(tmp_path: Path) -> None:
    class Early:
        def call(self, *_: object) -> CallResult:
            raise RunStopped("failed", "no lake yet", raised=Raised("LakeMissing", "no lake yet"))

    runner = Runner(Folders.at(tmp_path).create(), Settings(), clock=lambda: NOW)
    run = runner.run(declared(), "test", executor=Early())
    assert (run.waits, run.is_fault) == (True, False)
    assert runner.run_log.runs("fragile") == []
