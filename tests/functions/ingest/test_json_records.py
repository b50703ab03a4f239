"""Records pushed as JSON: what is taken, what is refused and in which words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.ingest.json_records import RecordsResult, read_records, validate_records
from functions.ingest.rejection import PushRejected, reason_records
from functions.ingest.server_facts import ServerFacts
from storage.model.metrics import METRIC_NAMES, METRICS
from storage.model.time_limits import TimeLimits
from tests.conftest import NOW

TS = "2026-05-06T12:00:00Z"
LATER = (NOW + timedelta(minutes=6)).isoformat()


def take(*records: Any, unit: str = "s") -> RecordsResult:
    return validate_records(records, METRICS, NOW, unit, "feed")


def reason(taken: RecordsResult) -> str:
    [only] = reason_records(taken.reasons)
    return str(only["reason"])


def test_our_own_names_are_taken_as_they_are() -> None:
    sent = {name: float(place) for place, name in enumerate(METRIC_NAMES)}
    taken = take({"server": "a", "ts": TS, **sent})
    [row] = taken.rows.to_pylist()
    assert {name: row[name] for name in METRIC_NAMES} == sent
    assert (row["server"], row["source"]) == ("a", "feed")
    assert row["ts"] == datetime(2026, 5, 6, 12, tzinfo=UTC)
    assert not taken.reasons


def test_stock_names_and_percent_in_words_are_known() -> None:
    taken = take({
        "hostname": "a", "timestamp": TS, "cpu_sys_pct": 3, "mem_used_pct": 0, "load1": 1.5,
        "disk_usage_pct": "67% /m", "net_in_mb_s": 12.5,
    })  # fmt: skip
    [row] = taken.rows.to_pylist()
    known = {"cpu_sys_pct": 3.0, "mem_used_pct": 0.0, "disk_usage_pct": 67.0}
    assert {n: row[n] for n in known} == known
    assert (row["load_average"], row["net_in_mb_s"], row["swap_used_pct"]) == (1.5, 12.5, None)


@pytest.mark.parametrize(
    ("time", "unit"),
    [
        (TS, "s"), ("2026-05-06T14:00:00+02:00", "s"), (1778068800, "s"), (1778068800.0, "s"),
        (1778068800000, "ms"), (1778068800000000, "us"), (1778068800000000000, "ns"),
    ],
)  # fmt: skip
def test_times_of_each_form_are_the_same_moment(time: Any, unit: str) -> None:
    beside = {"server": "b", "ts": TS, "load": 1}  # another form in the same request
    rows = take({"server": "a", "ts": time, "load": 1}, beside, unit=unit).rows
    assert set(rows["ts"].to_pylist()) == {datetime(2026, 5, 6, 12, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"ts": TS, "load": 1}, "no server"),
        ({"server": "", "ts": TS, "load": 1}, "no server: name the host"),
        ({"server": 7, "ts": TS, "load": 1}, "server: not a valid name"),
        ({"server": "a", "load": 1}, "no time"),
        ({"server": "a", "ts": None, "load": 1}, "no time"),
        ({"server": "a", "ts": "2026-05-06T12:00:00", "load": 1}, "has no zone"),
        ({"server": "a", "ts": "soon", "load": 1}, "is not a time of format 'iso'"),
        ({"server": "a", "ts": 1778068800000, "load": 1}, "ms, us or ns"),
        ({"server": "a", "ts": LATER, "load": 1}, "in the future"),
        ({"server": "a", "ts": TS}, "no metric is in the record"),
        ({"server": "a", "ts": TS, "loud": 1}, "no metric is in the record"),
        (["a", TS], "a record is not a JSON object"),
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_used_is_refused_alone(wrong: Any, says: str) -> None:
    taken = take({"server": "good", "ts": TS, "load": 1}, wrong)
    assert taken.rows["server"].to_pylist() == ["good"]
    assert taken.refused == 1
    assert says in reason(taken)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (4520, "mem_used_pct: outside 0–100 %"), (-1, "outside"), (10**400, "not a number"),
        ("much", "not a number"), (True, "not a number"), ([1], "not a number"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_true_is_refused_alone(value: Any, says: str) -> None:
    taken = take({"server": "a", "ts": TS, "load": 1, "mem_used_pct": value})
    [row] = taken.rows.to_pylist()
    assert (row["load_average"], row["mem_used_pct"]) == (1.0, None)
    assert (taken.refused, taken.values_refused) == (0, 1)
    assert says in reason(taken)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"uptime": 864_000}, "'uptime' does not say its unit (seconds, hours or days?): send it"),
        ({"network_in": 123_456_789}, "send it as net_in_mb_s"),
        ({"memory_used": 0.45}, "(percent or a fraction?): send it as mem_used_pct"),
        ({"uptime_days": 864_000}, "outside 0–10000 days: check the unit, or raise limits.uptime"),
    ],
)
def test_a_value_in_an_unknown_unit_is_refused_alone_and_never_guessed(
    fields: dict[str, Any], says: str
) -> None:
    taken = take({"server": "a", "ts": TS, "load1": 1, **fields})
    [row] = taken.rows.to_pylist()
    assert [n for n in METRIC_NAMES if row[n] is not None] == ["load_average"]
    assert (taken.refused, taken.values_refused) == (0, 1)
    assert says in reason(taken)


def test_a_record_of_nothing_but_unclear_names_says_which_they_are() -> None:
    taken = take({"server": "a", "ts": TS, "uptime": 5, "uptime_days": None})
    assert (taken.refused, taken.values_refused) == (1, 1)
    assert "'uptime' does not say" in taken.reasons.ranked()[0].reason


def test_a_value_at_saturation_is_clamped_and_counted() -> None:
    taken = take({"server": "a", "ts": TS, "cpu_user_pct": 100.005, "mem_used_pct": -0.2})
    [row] = taken.rows.to_pylist()
    assert (row["cpu_user_pct"], row["mem_used_pct"]) == (100, 0)
    assert (taken.values_refused, taken.reasons.clamped) == (0, 2)
    assert "less than 1 % outside 0–100, stored as the bound" in taken.reasons.ranked()[0].reason


def test_profile_site_and_cores_are_told_once_and_when_they_change() -> None:
    facts = ServerFacts()
    record = {"server": "ppdb1", "ts": TS, "load": 1, "profile": "web_api", "cores": 8}
    named = take(record).facts
    [row] = facts.changed(named)["server_facts"].to_pylist()
    assert (row["profile"], row["cores"]) == ("web_api", 8)  # whatever the name suggests
    facts.remember(named)
    assert facts.changed(take(record).facts) == {}
    assert "server_facts" in facts.changed(take(record | {"cores": 16}).facts)


def test_unknown_fields_are_named() -> None:
    assert take({"server": "a", "ts": TS, "load": 1, "mem_usd_pct": 3}).ignored == ("mem_usd_pct",)


@pytest.mark.parametrize("body", [b"[]", b'{"records": []}'])
def test_no_records_are_no_mistake(body: bytes) -> None:
    assert take(*read_records(body)).rows.num_rows == 0


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 422, "not JSON"), (b"{", 422, "not JSON"), (b'"x"', 422, "has no records"),
        (b'{"server": "a"}', 422, "has no records"), (b"[" * 100_000, 422, "not JSON"),
        (b"[" + b"1," * 10_000 + b"1]", 413, "10001 records are more than 10000"),
    ],
)  # fmt: skip
def test_a_body_that_is_none_is_refused_whole(body: bytes, status: int, says: str) -> None:
    with pytest.raises(PushRejected, match=says) as refused:
        read_records(body)
    assert refused.value.status == status


ANYTHING = st.one_of(
    st.just(""), st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
)  # fmt: skip
FIELDS = {"timestamp": ANYTHING | st.just(TS), "server": ANYTHING | st.just("a")}
SENT = st.fixed_dictionaries(FIELDS | {"load": ANYTHING | st.just(1.5), "cores": ANYTHING})


@settings(suppress_health_check=[HealthCheck.too_slow])  # on a machine that others use too
@given(st.lists(SENT, max_size=5))
def test_whatever_is_sent_becomes_a_row_of_a_sane_time_or_a_refusal(sent: list[Any]) -> None:
    taken = take(*sent)
    assert taken.rows.num_rows + taken.refused == len(sent)
    times = taken.rows["ts"].to_pylist()
    assert all(time.year >= 1971 and time <= NOW + timedelta(minutes=5) for time in times)
    ServerFacts().changed(taken.facts)


def test_an_empty_text_is_no_time_and_no_name() -> None:
    assert reason(take({"server": "a", "ts": "", "load": 1, "cores": 2})).startswith("no time")
    assert reason(take({"server": "", "ts": TS, "load": 1})).startswith("no server")


def test_nan_in_one_record_refuses_that_value_alone() -> None:
    body = (
        f'[{{"server": "a", "ts": "{TS}", "load": NaN, "cpu_user_pct": 5}},'
        f'{{"server": "b", "ts": "{TS}", "load": -Infinity}},'
        f'{{"server": "c", "ts": "{TS}", "load": 2}}]'
    )  # fmt: skip
    taken = take(*read_records(body.encode()))
    kept = {
        row["server"]: (row["load_average"], row["cpu_user_pct"]) for row in taken.rows.to_pylist()
    }
    assert kept == {"a": (None, 5.0), "c": (2.0, None)}
    assert (taken.refused, taken.values_refused) == (1, 2)
    assert "load_average: not a number" in str(reason_records(taken.reasons))


@pytest.mark.parametrize(
    ("time", "unit", "says"),
    [
        ("0001-01-01T00:00:00Z", "s", "is older than 10 years: send the time of the sample"),
        (1778068800, "ms", "is older than 10 years: name its unit with ?time=s (one of"),
        (1778068800000000, "s", "in the future: name its unit with ?time=us (one of"),
        (LATER, "s", "lies more than 5 minutes in the future: check the sender's clock"),
        ("2009-05-06T12:00:00Z", "s", "is older than 10 years: check the sender's clock; for"),
    ],
)
def test_a_time_that_cannot_be_true_is_refused_with_its_record(
    time: Any, unit: str, says: str
) -> None:
    good = {"server": "b", "ts": TS, "load": 1}
    taken = take({"server": "web1", "ts": time, "load": 1}, good, unit=unit)
    [reported] = reason_records(taken.reasons)
    assert taken.rows["server"].to_pylist() == ["b"]
    assert says in reported["reason"]
    assert str(time) in reported["example"]
    assert "web1" in reported["example"]


def test_the_age_limit_is_the_one_of_the_settings() -> None:
    old = {"server": "a", "ts": "2009-05-06T12:00:00Z", "load": 1}
    limits = TimeLimits(max_age=timedelta(days=7300))
    assert validate_records([old], METRICS, NOW, "s", "feed", limits).refused == 0


@pytest.mark.parametrize("odd", ["1_0", "\u0661\u0662", "0x1F", "1,234.5", "12,5"])
def test_text_that_is_no_plain_number_is_refused(odd: str) -> None:
    taken = take({"server": "a", "ts": TS, "load": odd, "cpu_user_pct": 5})
    assert taken.rows["load_average"].to_pylist() == [None]
    assert (taken.refused, taken.values_refused) == (0, 1)
