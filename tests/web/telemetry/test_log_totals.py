"""Counters over the logs of segments and runs."""

import shutil
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from storage.query.reader import Reader
from tests.web.site_lakes import SiteLakeWriter
from tests.web.telemetry.test_telemetry import NOW, run_row, scrape, segment_row, telemetry_of
from web.telemetry.log_totals import LogTotals


def update(totals: LogTotals, lake: SiteLakeWriter) -> None:
    with closing(Reader.open(lake.folders.data)) as reader:
        totals.update_segments(reader, NOW)
        totals.update_runs(reader, NOW)


def test_rows_before_the_first_update_are_not_counted_but_give_the_newest_times(
    lake: SiteLakeWriter,
) -> None:
    lake.insert("segments", [segment_row(last_ts=NOW), segment_row(table_name="risks")])
    totals = LogTotals()
    update(totals, lake)
    assert totals.counters["hoursight_commits_total"][()] == 0
    assert totals.newest_by_source == {"fleet": NOW}


def test_segments_of_one_commit_are_one_commit(lake: SiteLakeWriter) -> None:
    totals = LogTotals()
    update(totals, lake)
    later = NOW + timedelta(seconds=1)
    lake.insert("segments", [segment_row(), segment_row(), segment_row(ts=later)])
    update(totals, lake)
    assert totals.counters["hoursight_commits_total"][()] == 2
    assert totals.counters["hoursight_segments_total"][("committed",)] == 3


def test_rows_of_other_tables_are_not_rows_of_a_source(lake: SiteLakeWriter) -> None:
    totals = LogTotals()
    update(totals, lake)
    lake.insert("segments", [segment_row(), segment_row(table_name="forecasts")])
    update(totals, lake)
    assert totals.counters["hoursight_rows_total"] == {("metrics",): 8, ("forecasts",): 8}
    assert totals.counters["hoursight_source_rows_total"] == {("fleet",): 8}


def test_a_restart_skips_the_rows_of_the_new_lake_and_keeps_the_counters(
    lake: SiteLakeWriter,
) -> None:
    totals = LogTotals()
    update(totals, lake)
    lake.insert("runs", [run_row("ok")])
    update(totals, lake)
    totals.restart()
    lake.insert("runs", [run_row("ok")])
    update(totals, lake)
    assert totals.counters["hoursight_function_runs_total"] == {("mine", "ok"): 1}


def test_counters_grow_by_what_was_added_and_survive_retention(lake: SiteLakeWriter) -> None:
    telemetry = telemetry_of(lake)
    lake.insert("segments", [segment_row()])
    lake.insert("runs", [run_row("ok")])
    scrape(telemetry)
    lake.insert("segments", [segment_row(), segment_row(outcome="rejected", table_name=None)])
    lake.insert("runs", [run_row("ok"), run_row("failed")])
    samples = scrape(telemetry)
    assert samples['hoursight_source_rows_total{source="fleet"}'] == 8
    assert samples['hoursight_source_refused_total{source="fleet"}'] == 2
    assert samples['hoursight_source_repeated_total{source="fleet"}'] == 3
    assert samples['hoursight_function_runs_total{function="mine",outcome="failed"}'] == 1
    assert samples['hoursight_function_duration_seconds_sum{function="mine"}'] == 1.0
    assert samples['hoursight_function_duration_seconds_count{function="mine"}'] == 2
    lake.connection.execute("DELETE FROM segments; DELETE FROM runs")
    lake.insert("segments", [segment_row()])
    assert scrape(telemetry)['hoursight_source_rows_total{source="fleet"}'] == 16


def test_another_lake_in_its_place_is_no_jump_of_the_counters(
    lake: SiteLakeWriter, tmp_path: Path
) -> None:
    telemetry, series = telemetry_of(lake), 'hoursight_source_rows_total{source="fleet"}'
    lake.insert("segments", [segment_row() for _ in range(5)])
    lake.insert("segments", [segment_row()])
    scrape(telemetry)
    lake.close()
    other = SiteLakeWriter(tmp_path / "other")
    other.insert("segments", [segment_row()])
    other.close()
    shutil.rmtree(lake.folders.data)
    other.folders.data.rename(lake.folders.data)
    assert scrape(telemetry)[series] == 0
    again = SiteLakeWriter(lake.folders.data)
    again.insert("segments", [segment_row()])
    again.close()
    assert scrape(telemetry)[series] == 8
