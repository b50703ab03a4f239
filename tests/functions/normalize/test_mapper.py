"""Documents to rows: paths, units, counters, and what is refused with which words."""

import math
import tomllib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.normalize.mapper import Mapped, Mapper
from functions.normalize.mapping import read_mapping

NOW = datetime(2026, 5, 6, 12, tzinfo=UTC)


def mapper(text: str = "") -> Mapper:
    return Mapper(read_mapping(tomllib.loads(text)), "shop", site="fra")


def doc(server: str = "a", seconds: float = 0, **fields: Any) -> dict[str, Any]:
    return {"ts": NOW + timedelta(seconds=seconds), "hostname": server, **fields}


def of_one(text: str, metric: str, **fields: Any) -> Any:
    """The value that a mapping of one metric makes of one document, beside another metric."""
    rows = mapper(f"metrics.{metric} = {text}").map([doc(load1=1, **fields)]).rows.to_pylist()
    return rows[0].get(metric)


@pytest.mark.parametrize(
    ("entry", "metric", "fields", "value"),
    [
        ("{ field = 'v' }", "cpu_user_pct", {"v": 0.5}, 0.5),  # never guessed to be a fraction
        ("{ field = 'v_pct', unit = 'fraction' }", "cpu_user_pct", {"v_pct": 0.5}, 50),
        ("{ field = 'v' }", "cpu_user_pct", {"v": 0}, 0),
        ("{ field = 'v' }", "cpu_user_pct", {"v": None}, None),
        ("{ field = 'v' }", "cpu_user_pct", {}, None),
        ("{ field = 'v' }", "cpu_user_pct", {"v": "45.2"}, 45.2),
        ("{ field = 'v', unit = 'core_percent' }", "java_cpu_pct", {"v": 320, "cores": 8}, 40),
        ("{ field = 'v', unit = 'core_fraction' }", "java_cpu_pct", {"v": 3.2, "cores": 8}, 40),
        ("{ field = 'v', unit = 'bytes_s' }", "net_in_mb_s", {"v": 2_500_000}, 2.5),
        ("{ field = 'v', unit = 'bits_s' }", "net_in_mb_s", {"v": 8_000_000}, 1),
        ("{ field = 'v', unit = 'mbit_s' }", "net_in_mb_s", {"v": 80}, 10),
        ("{ field = 'v', unit = 'ms' }", "uptime_days", {"v": 86_400_000}, 1),
        ("{ field = 'v' }", "disk_usage_pct", {"v": "67% /mount"}, 67),
        ("{ field = 'v', plus = ['n', 'gone'] }", "cpu_user_pct", {"v": 45, "n": 41.5}, 86.5),
        ("{ field = 'v', plus = 'n' }", "cpu_user_pct", {"n": 41.5}, None),
        ("{ field = 'v', complement = true }", "cpu_idle_pct", {"v": 12.5}, 87.5),
        ("{ field = 'v', of = 't', complement = true }", "mem_used_pct", {"v": 1, "t": 4}, 75),
        ("{ field = 'v', unit = 'bytes', per = '5m' }", "net_in_mb_s", {"v": 600_000_000}, 2),
        ("{ field = 'v', unit = 'kbit_s' }", "net_in_mb_s", {"v": 8000}, 1),
        ("{ field = 'v', where = { k = 'x*' } }", "cpu_user_pct", {"v": 5, "k": "xy"}, 5),
        ("{ field = 'v', where = { k = 'x*' } }", "cpu_user_pct", {"v": 5, "k": "y"}, None),
        ("{ field = 'a.b.c' }", "load_average", {"a": {"b": {"c": 3}}}, 3),
        ("{ field = 'a.b' }", "load_average", {"a.b": 4}, 4),  # a key with a dot in it
        ("{ field = 'd[1].u' }", "disk_usage_pct", {"d": [{"u": 1}, {"u": 9}]}, 9),
        ("{ field = 'd[5].u' }", "disk_usage_pct", {"d": [{"u": 1}]}, None),
        ("{ field = 'd[].u', take = 'max' }", "disk_usage_pct", {"d": [{"u": 1}, {"u": 9}]}, 9),
        ("{ field = 'd[]', take = 'mean' }", "disk_usage_pct", {"d": ["1% /", "9% /b", None]}, 5),
        ("{ field = 'u', of = 't' }", "mem_used_pct", {"u": 3, "t": 12}, 25),
        ("{ field = 'u', of = 't' }", "swap_used_pct", {"u": 0, "t": 0}, None),
        ("[{ field = 'x', unit = 'ms' }, { field = 'y' }]", "uptime_days", {"y": 3}, 3),
        ("{ field = ['x', 'y'] }", "load_average", {"x": None, "y": 0}, 0),
    ],
)
def test_a_value_is_what_its_unit_says(
    entry: str, metric: str, fields: dict[str, Any], value: Any
) -> None:
    result = of_one(entry, metric, **fields)
    assert result is None if value is None else result == pytest.approx(value)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("n/a", "cpu_user_pct (field cpu_user_pct): is not a number, as 'n/a' of a"),
        (True, "is not a number, as True of a"),
        ({"x": 1}, "is not a number"),
        (math.nan, "is not a number, as nan"),
        (math.inf, "is not a number, as inf"),
        (4520, "unit percent): lies outside 0–100, as 4520 % of a: state the field's unit"),
        (-1, "lies outside 0–100"),
    ],
)
def test_a_bad_value_is_refused_in_words_and_the_rest_of_its_document_kept(
    bad: Any, says: str
) -> None:
    mapped = mapper().map([doc(cpu_user_pct=bad, mem_used_pct=7), doc("b", cpu_user_pct=5)])
    rows = mapped.rows.to_pylist()
    assert [(r["cpu_user_pct"], r["mem_used_pct"]) for r in rows] == [(None, 7), (5, None)]
    assert mapped.rejects.count == 1
    assert says in mapped.rejects.sentences()[0]


def test_a_share_just_over_the_whole_is_clamped_in_its_own_unit_and_counted() -> None:
    text = "metrics.mem_used_pct = { field = 'mem', unit = 'fraction' }"
    mapped = mapper(text).map([doc(mem=1.00005), doc("b", mem=1.02)])
    [row] = mapped.rows.to_pylist()
    assert (row["server"], row["mem_used_pct"]) == ("a", 100)
    assert (mapped.rejects.count, mapped.rejects.clamped) == (2, 1)  # the value, and its document
    says = "mem_used_pct (field mem, unit fraction): less than 1 % outside 0–100, stored as the"
    assert any(each.startswith(says) for each in mapped.rejects.sentences())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"hostname": "a", "load": 1}, "time (field timestamp or ts or time): missing"),
        ({"ts": NOW, "load": 1}, "server (field server_name or hostname or host or server): miss"),
        ({"ts": "2026-05-06T12:00:00", "hostname": "a", "load": 1}, "has no zone"),
        ({"ts": 1_778_068_800, "hostname": "a", "load": 1}, "is a number, and the mapping says"),
        ({"ts": "yesterday", "hostname": "a", "load": 1}, "is not a time of format 'iso'"),
        ({"ts": NOW, "hostname": "a", "lod": 1}, "has no metric that could be used"),
    ],
)
def test_a_record_without_server_time_or_metric_is_refused_and_the_others_kept(
    fields: dict[str, Any], says: str
) -> None:
    mapped = mapper().map([fields, doc("b", load=2)])
    assert mapped.rows["server"].to_pylist() == ["b"]
    assert mapped.rejects.count == 1
    assert says in mapped.rejects.sentences()[0]


@pytest.mark.parametrize(
    ("time", "value"),
    [
        ("{ field = 'ts' }", "2026-05-06T14:00:00+02:00"),
        ("{ field = 'ts' }", "2026-05-06T12:00:00.000000000Z"),
        ("{ field = 'ts', zone = 'Europe/Berlin' }", "2026-05-06 14:00:00"),
        ("{ field = 'ts', zone = 'Europe/Berlin' }", datetime(2026, 5, 6, 14)),  # noqa: DTZ001
        ("{ field = 'ts', format = 'epoch_s' }", 1_778_068_800),
        ("{ field = 'ts', format = 'epoch_s' }", "1778068800"),
        ("{ field = 'ts', format = 'epoch_ms' }", 1_778_068_800_000),
        ("{ field = 'ts', format = 'epoch_us' }", 1_778_068_800_000_000),
        ("{ field = 'ts', format = 'epoch_ns' }", 1_778_068_800_000_000_000),
        (
            "{ field = 'ts', format = '%d.%m.%Y %H:%M', zone = 'UTC' }",
            "06.05.2026 12:00",
        ),
    ],
)
def test_times_come_in_many_forms(time: str, value: Any) -> None:
    one = doc(load=1) | {"ts": value}
    for documents in ([one], [one, doc(load=2) | {"ts": []}]):  # at once, and one by one
        rows = mapper(f"time = {time}").map(documents).rows
        assert rows["ts"].to_pylist() == [NOW]


def test_seconds_taken_for_milliseconds_are_refused_with_the_remedy() -> None:
    text = "time = { field = 'ts', format = 'epoch_ms' }"
    mapped = mapper(text).map([doc(load=1) | {"ts": 1_778_068_800}])
    assert "write format = 'epoch_s'" in mapped.rejects.sentences()[0]


NET = "metrics.net_in_mb_s = { field = 'rx', unit = 'bytes', counter = true }"


def rates(mapped: Mapped) -> list[Any]:
    return [row.get("net_in_mb_s") for row in mapped.rows.to_pylist()]


def test_a_counter_is_its_difference_by_time_per_server_over_pages() -> None:
    each = mapper(NET)
    first = each.map([doc("a", 0, rx=0, load=0), doc("b", 0, rx=5e6, load=0)])
    second = each.map([doc("b", 10, rx=5e6, load=0), doc("a", 10, rx=20e6, load=0)])
    assert rates(first) == [None, None]
    assert rates(second) == [0, 2]


def test_a_counter_that_was_reset_has_no_rate_and_goes_on() -> None:
    result = mapper(NET).map(
        [doc("a", 10 * i, rx=v, load=0) for i, v in enumerate([9e6, 1e6, 2e6])]
    )
    assert rates(result) == [None, None, pytest.approx(0.1)]


def test_facts_are_told_once_and_again_when_they_change() -> None:
    site = "site = { field = 'tags', prefix = 'site:' }\n"
    text = site + "profile = { field = 'role', values = { db = 'database' } }"
    each = mapper(text)
    one = doc(load=1, role="db", cores=4, tags=["linux", "site:ber"])
    facts = each.map([one]).facts.to_pylist()
    assert [(f["profile"], f["site"], f["cores"]) for f in facts] == [("database", "ber", 4)]
    assert each.map([one]).facts.num_rows == 0
    assert each.map([doc(load=1)]).facts.num_rows == 0  # what is not said is still known
    assert each.map([one | {"cores": 8}]).facts["cores"].to_pylist() == [8]


def test_a_sum_over_cores_of_an_unknown_number_is_refused() -> None:
    mapped = mapper("metrics.java_cpu_pct = { field = 'j', unit = 'core_percent' }").map(
        [doc(load=1, j=300)]
    )
    assert mapped.rows["java_cpu_pct"].to_pylist() == [None]
    assert "name their field in mapping.cores" in mapped.rejects.sentences()[0]


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("67% /x"),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers()),
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow])  # on a machine that others use too
@given(st.lists(st.fixed_dictionaries({"ts": VALUES, "hostname": VALUES, "load": VALUES})))
def test_whatever_comes_becomes_a_row_in_range_or_a_refusal(documents: list[Any]) -> None:
    mapped = mapper().map(documents)
    assert mapped.rows.num_rows + mapped.rejects.count >= len(documents)
    result = mapped.rows["load_average"].to_pylist() if mapped.rows.num_rows else []
    assert all(0 <= value < math.inf for value in result)


def test_a_fixed_server_is_that_of_every_document() -> None:
    mapped = mapper("server = { fixed = 'web09' }").map([{"ts": NOW, "load1": 1}])
    assert mapped.rows["server"].to_pylist() == ["web09"]
    assert not mapped.rejects


def test_only_records_that_match_are_looked_at() -> None:
    documents = [doc(load1=1, kind="x"), {"kind": "y"}, doc("b", load1=2, kind="x")]
    mapped = mapper("where = { kind = 'x' }").map(documents)
    assert mapped.rows["server"].to_pylist() == ["a", "b"]
    assert not mapped.rejects


def test_values_of_records_that_do_not_match_an_entry_are_not_refused() -> None:
    text = "metrics.cpu_user_pct = { field = 'value', where = { key = 'cpu' } }"
    records = [doc(key="cpu", value="5", load1=1), doc("b", key="os", value="Linux", load1=1)]
    mapped = mapper(text).map(records)
    assert mapped.rows["cpu_user_pct"].to_pylist() == [5, None]
    assert not mapped.rejects


def test_one_counter_a_record_is_a_metric_a_row_and_unmapped_counters_are_no_refusal() -> None:
    text = """
    stock = "none"
    time = { field = "ts" }
    server = { field = "hostname" }
    metrics.cpu_user_pct = { field = "value", where = { key = "cpu" } }
    metrics.mem_used_pct = { field = "value", where = { key = "mem" } }
    """
    records = [doc(key="cpu", value=5), doc(key="mem", value=6), doc(key="disk", value=7)]
    mapped = mapper(text).map(records)
    assert mapped.rows["cpu_user_pct"].to_pylist() == [5, None]
    assert mapped.rows["mem_used_pct"].to_pylist() == [None, 6]
    assert not mapped.rejects


def test_a_decimal_comma_is_read_where_it_is_stated_and_else_named_as_the_remedy() -> None:
    documents = [doc(load1="1.234,5", cpu_user_pct="12,5")]
    [row] = mapper("decimal = ','").map(documents).rows.to_pylist()
    assert (row["load_average"], row["cpu_user_pct"]) == (1234.5, 12.5)
    refused = mapper().map(documents).rejects
    assert refused.count >= 2
    assert "write decimal = ',' in [mapping]" in refused.ranked()[0].remedy


def test_elements_of_a_list_are_left_out_by_name() -> None:
    text = (
        "metrics.net_in_mb_s = { field = 'n[].rx', take = 'sum', unit = 'mb_s', each = 'n[].i', "
        "except = ['lo'] }"
    )
    links = [{"i": "lo", "rx": 9}, {"i": "eth0", "rx": 1}, {"i": "eth1", "rx": 2}]
    rows = mapper(text).map([doc(n=links)]).rows
    assert rows["net_in_mb_s"].to_pylist() == [3]


def test_a_server_has_one_name_for_all_spellings_of_its_address() -> None:
    servers = ("2001:db8:0:0:0:0:5:1", "[2001:DB8::5:1]", "2001:db8::5:2")
    rows = mapper().map([doc(server, load1=1.0) for server in servers]).rows
    assert rows["server"].to_pylist() == ["2001:db8::5:1", "2001:db8::5:1", "2001:db8::5:2"]
