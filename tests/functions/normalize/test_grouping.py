"""Metricbeat's documents, each of which tells a part, become whole rows."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from functions.normalize.grouping import DocumentGrouping
from functions.normalize.mapper import Mapper
from functions.normalize.mapping import read_mapping

START = datetime(2026, 5, 6, 12, tzinfo=UTC)
METRICBEAT = read_mapping({"stock": "metricbeat"})


def beat(server: str, seconds: float, **system: Any) -> dict[str, Any]:
    at = (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    return {"@timestamp": at, "host": {"name": server}, "system": system}


def period(server: str, seconds: float) -> Iterator[dict[str, Any]]:
    """What one period of Metricbeat's system module sends of a server."""
    yield beat(
        server, seconds, cpu={"cores": 4, "user": {"pct": 0.8}, "idle": {"norm": {"pct": 0.75}}}
    )
    yield beat(
        server,
        seconds + 0.01,
        memory={"actual": {"used": {"pct": 0.5}}, "swap": {"used": {"pct": 0}}},
    )
    yield beat(server, seconds + 0.02, load={"1": 0.42, "cores": 4})
    for name, speed in (("eth0", 1e6), ("eth1", 2e6), ("lo", 9e9), ("veth12", 5e6)):
        yield beat(server, seconds + 0.03, network={"name": name, "in": {"bytes": speed * seconds}})
    for mount, used in (("/", 0.3), ("/data", 0.91)):
        yield beat(server, seconds + 0.04, filesystem={"mount_point": mount, "used": {"pct": used}})
    yield beat(server, seconds + 0.05, process={"pid": 1})


def us(seconds: float) -> int:
    return int((START + timedelta(seconds=seconds)).timestamp() * 1e6)


def rows_of(table: pa.Table | None) -> list[dict[str, Any]]:
    assert table is not None
    rows: list[dict[str, Any]] = table.sort_by([("ts", "ascending")]).to_pylist()
    return rows


def test_one_row_has_all_that_was_told_within_a_period() -> None:
    mapper, gathering = Mapper(METRICBEAT, "beats"), DocumentGrouping(METRICBEAT)
    for seconds in (1, 11):
        mapped = mapper.map(list(period("a", seconds)))
        assert mapped.rejects.sentences() == ()
        gathering.add(mapped.rows)
    first, second = rows_of(gathering.take(us(60)))
    assert (first["server"], first["ts"]) == ("a", START)
    shown = {name: first[name] for name in ("cpu_user_pct", "cpu_idle_pct", "mem_used_pct",
             "swap_used_pct", "disk_usage_pct", "load_average")}  # fmt: skip
    assert shown == pytest.approx({
        "cpu_user_pct": 20, "cpu_idle_pct": 75, "mem_used_pct": 50, "swap_used_pct": 0,
        "disk_usage_pct": 91, "load_average": 0.42,
    })  # fmt: skip
    assert first["net_in_mb_s"] is None
    assert second["net_in_mb_s"] == pytest.approx(3)  # both real links, each by itself


def test_a_period_that_drifts_over_the_edge_of_a_span_does_not_double_the_traffic() -> None:
    mapper, gathering = Mapper(METRICBEAT, "beats"), DocumentGrouping(METRICBEAT)
    for seconds in (0, 10.1, 19.9, 30.1):
        gathering.add(mapper.map(list(period("a", seconds))).rows)
    result = [row["net_in_mb_s"] for row in rows_of(gathering.take(us(90)))]
    assert result == [None, pytest.approx(3), pytest.approx(3)]


def test_a_span_waits_until_it_is_over_and_settled() -> None:
    mapper, gathering = Mapper(METRICBEAT, "beats"), DocumentGrouping(METRICBEAT)
    gathering.add(mapper.map([beat("a", 1, load={"1": 1})]).rows)
    assert not rows_of(gathering.take(us(19)))
    assert gathering.oldest_us == us(0)
    gathering.add(mapper.map([beat("a", 9, memory={"used": {"pct": 0.1}})]).rows)
    (row,) = rows_of(gathering.take(us(20)))
    assert (row["load_average"], row["mem_used_pct"]) == (1, pytest.approx(10))
    assert gathering.oldest_us is None


def test_what_comes_too_late_is_a_row_at_its_own_time() -> None:
    mapper, gathering = Mapper(METRICBEAT, "beats"), DocumentGrouping(METRICBEAT)
    gathering.add(mapper.map([beat("a", 1, load={"1": 1})]).rows)
    gathering.take(us(60))
    gathering.add(mapper.map([beat("a", 3.5, memory={"used": {"pct": 0.1}})]).rows)
    (row,) = rows_of(gathering.take(us(61)))
    assert row["ts"] == START + timedelta(seconds=3.5)


def test_the_documents_of_an_older_file_that_begins_are_gathered() -> None:
    mapper, gathering = Mapper(METRICBEAT, "beats"), DocumentGrouping(METRICBEAT)
    gathering.take(us(60))
    gathering.begin()
    for seconds, part in ((1, {"load": {"1": 1}}), (3.5, {"memory": {"used": {"pct": 0.1}}})):
        gathering.add(mapper.map([beat("a", seconds, **part)]).rows)
    (row,) = rows_of(gathering.take(us(61)))
    assert (row["ts"], row["load_average"]) == (START, 1)
    assert row["mem_used_pct"] == pytest.approx(10)


def test_snaps_and_stacked_links_of_metricbeat_do_not_count() -> None:
    mapper, gathering = Mapper(METRICBEAT, "beats"), DocumentGrouping(METRICBEAT)
    facts = []
    for seconds in (1, 11):
        documents = [
            beat("a", seconds, network={"name": name, "in": {"bytes": 1e6 * seconds}})
            for name in ("eth0", "bond0", "eth0.100", "br0", "vmbr0", "cali0a1b")
        ]
        documents += [
            beat("a", seconds, filesystem={"mount_point": mount, "type": kind, "used": {"pct": p}})
            for mount, kind, p in (
                ("/", "ext4", 0.41), ("/snap/core/1", "squashfs", 1), ("/mnt/x", "efivarfs", 0.97),
            )
        ]  # fmt: skip
        mapped = mapper.map(documents)
        gathering.add(mapped.rows)
        facts += mapped.facts.to_pylist()
    first, second = rows_of(gathering.take(us(60)))
    assert first["disk_usage_pct"] == pytest.approx(41)
    assert second["net_in_mb_s"] == pytest.approx(1)
    assert [(fact["disk_volume"], fact["net_links"]) for fact in facts] == [("/", "eth0")]
