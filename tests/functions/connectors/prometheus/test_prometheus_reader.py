"""Prometheus reader against a real server: windows, positions and each scrape once."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from functions.connectors.source_file import read_source
from storage.config.folders import Folders
from tests.conftest import NOW
from tests.functions.connectors.connector_contract import Chain, Contract, Rig, documents, expected
from tests.functions.connectors.prometheus.prometheus_rig import (
    BOOTED,
    PrometheusRig,
    Text,
    fleet,
    gauge,
    times_of,
)
from tests.functions.connectors.source_reads import read_all, rows_of
from tests.functions.prometheus_server import PrometheusServer, needs_prometheus

pytestmark = needs_prometheus


class TestPrometheus(Contract):
    @pytest.fixture
    def rig(self, server: PrometheusServer, text: Text, job: str, folder: Path) -> Rig:
        return PrometheusRig(server, text, job, folder / "other.pem")

    def test_bad_documents_are_rejected_with_the_reason_and_the_others_kept(
        self, rig: Rig, chain: Chain
    ) -> None:
        """Prometheus holds numbers with times only, so bad documents are impossible values."""
        docs = documents(0, 5)
        rig.put(docs)
        times = [doc["ts"] for doc in docs[::3]]
        values = dict(zip(times, (45.0, 4520.0, float("nan"), float("inf"), -1.0), strict=True))
        assert isinstance(rig, PrometheusRig)
        rig.server.put([gauge(rig.job, "mem", values, "web0:80"), gauge(rig.job, "up", values, "")])
        own = f"queries = {{ mem_used_pct = 'mem{{job=\"{rig.job}\"}}' }}"
        run = chain.run_all(rig.text(connection=own))
        assert run.outcome == "ok"
        assert chain.samples() == expected(docs)
        kept = chain.house.reader.query("SELECT mem_used_pct m FROM metrics WHERE m IS NOT NULL")
        assert kept["m"].to_pylist() == [45.0]
        reasons = chain.house.one("SELECT refusals FROM segments WHERE len(refusals) > 0")
        assert any("mem_used_pct" in reason and "4520" in reason for reason in reasons)
        assert any("without the label 'instance'" in reason for reason in reasons)

    def test_an_empty_source_is_no_error_and_writes_nothing(self, rig: Rig, chain: Chain) -> None:
        run = chain.run_all(rig.text())
        assert (run.outcome, run.error) == ("nothing", None)
        assert "no series up{job=" in chain.house.one("SELECT refusals[1] FROM segments")
        assert not chain.samples()


def test_history_of_more_than_11000_points_is_complete_and_in_order(server, job, text, open_read):
    times = times_of(300, 30 * 86_400)
    loads = {ts: float(i % 7) for i, ts in enumerate(times)}
    booted = dict.fromkeys(times, BOOTED)
    server.put([gauge(job, "node_boot_time_seconds", booted), gauge(job, "node_load1", loads)])
    read = open_read(text(step="1m", head='history = "30d"'))
    cursor: str | None = None
    rows: list[Any] = []
    while (batch := read.run(NOW, cursor)).more or batch.cursor:
        cursor = batch.cursor or cursor
        rows += [(row["ts"], row["load_average"]) for row in rows_of(batch)]
    assert rows == list(loads.items())
    assert len(times) == 8640  # at 43,200 steps


def test_a_scrape_that_is_stored_late_is_read_once(server, job, text, open_read):
    read = open_read(text())
    server.put(fleet(job, times_of(5, 300)))
    first, cursor = read_all(read)
    server.put(fleet(job, times_of(5, 100, 50), instance="late:9100"))
    second, cursor = read_all(read, cursor, NOW + timedelta(seconds=40))
    third, _ = read_all(read, cursor, NOW + timedelta(seconds=80))
    assert len(first) == 60
    assert [row["ts"] for row in second if row["server"] == "late"] == times_of(5, 100, 50)
    assert len(second) == 10
    assert third == []


def test_a_window_that_is_too_large_for_the_server_is_read_in_smaller_ones(
    server, job, text, open_read
):
    """The server reads at most 50,000 samples per query; one step has 1,792."""
    times = times_of(5, 150)
    for i in range(7):
        server.put(fleet(job, times, instance=f"s{i}:9100", cores=64))
    rows, _ = read_all(open_read(text()))
    assert len(rows) == len({(row["server"], row["ts"]) for row in rows}) == 7 * len(times)


def test_a_new_process_continues_after_the_scrapes_that_were_read(server, job, text, open_read):
    times = times_of(5, 300)
    server.put(fleet(job, times[:40]))
    _, cursor = read_all(open_read(text()), now=times[40])
    server.put(fleet(job, times[40:], since=200))
    rows, _ = read_all(open_read(text()), cursor)
    assert {row["ts"] for row in rows} >= set(times[40:])
    assert min(row["ts"] for row in rows) >= times[40] - timedelta(seconds=130)  # the overlap


def test_a_page_is_a_table_with_the_new_scrapes_and_the_columns_that_have_a_value(
    server, job, text, tmp_path
):
    source = read_source("prom", text(head='history = "5m"').encode(), Folders.at(tmp_path))
    reader = source.connect()
    times = times_of(5, 60)
    server.put(fleet(job, times))
    [page] = reader.pages(None, NOW)
    assert isinstance(page.documents, pa.Table)
    assert page.documents["timestamp"].to_pylist() == times
    assert set(page.documents["labels.job"].to_pylist()) == {job}
    assert "load_average" in page.documents.column_names
    assert "mem_used_pct" not in page.documents.column_names
    again = list(reader.pages(page.position, NOW + timedelta(seconds=5)))
    reader.close()
    assert sum(len(each.documents) for each in again) == 0
    assert {str(each.position) for each in again} == {str(page.position)}
